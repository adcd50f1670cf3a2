"""Push a dataset: what the Hub lacks is sent first, and committed in order when all is there."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.hf_api import RepoFile

from synthgen.config.run import run_id_of
from synthgen.dataset import layout
from synthgen.dataset.pushing.contents import (
    Contents,
    File,
    gather,
    refuse_changed,
    source_runs,
)
from synthgen.dataset.pushing.hub import Hub, check_repo, endpoint
from synthgen.dataset.storage import Storage
from synthgen.errors import DatasetError, OutputError, RunError
from synthgen.foreign import counted, excerpt, first_few
from synthgen.redaction import without_secrets

_BATCH_FILES = 64
_BATCH_BYTES = 256_000_000
"""Bounds of what is sent at a time; behind a URL so much is on this machine's disk."""

_COMMIT_FILES = 250
"""Files of a commit at most: the Hub takes seconds for so many, and ends what takes a minute."""

_SHOWN = 3

Stage = Literal["checked", "sent"]
Tell = Callable[[Stage, int, int], None]
"""Takes what is counted, the bytes that are done, and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushing:
    """A push that is asked for.

    Attributes:
        dataset: folder or URL of a dataset.
        repo: repository on the Hub, `OWNER/NAME`.
        public: whether everybody may see it.
        partial: push what an unfinished run has finished, with a card of that.
        replace: take the place of another dataset or card in the repository.
        revision: branch, made where there is none, or `refs/pr/N`; None: the main one.
        create_pr: open a pull request against the main branch.
    """

    dataset: str
    repo: str
    public: bool = False
    partial: bool = False
    replace: bool = False
    revision: str | None = None
    create_pr: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """The outcome of a push.

    Attributes:
        rows: split → rows.
        files: files of the dataset.
        sent: those of them that the Hub did not have.
        size: size of these [bytes].
        deleted: files of an earlier push that the dataset has no more.
        address: where people look at it.
        load: the Python call that loads it.
        notes: what the user should know, a sentence each.
    """

    rows: Mapping[str, int]
    files: int
    sent: int
    size: int
    deleted: tuple[str, ...]
    address: str
    load: str
    notes: tuple[str, ...]


def foresee(asked: Pushing, tell: Tell = lambda *_: None) -> Contents:
    """Return what a push would send, compared with its checksums; the Hub is asked nothing.

    Raises:
        DatasetError: if the dataset is unfinished, damaged, holds nothing, or its card is of other
            data.
        OutputError: if a run is writing it, or the repository's name is none.
    """
    _check(asked)
    return gather(
        asked.dataset, asked.repo, asked.partial, lambda done, size: tell("checked", done, size)
    )


def describe_foreseen(asked: Pushing, contents: Contents) -> str:
    """Write what a push would do, a file a line."""
    branch = "a new pull request" if asked.create_pr else f"branch {asked.revision or 'main'}"
    seen = "public" if asked.public else "private"
    width = len(f"{max(file.size for file in contents.files):,}")
    lines = [f"{file.size:>{width},} {file.name}" for file in contents.files]
    lines.append(
        f"{counted(len(contents.files), 'file')}, {contents.size:,} bytes: "
        f"{_rows(contents.rows)} of run {contents.run}"
    )
    if contents.left:
        lines.append(f"stays here: {first_few([excerpt(name, 60) for name in contents.left], 10)}")
    lines += [
        f"to: dataset {asked.repo} at {endpoint()}, {seen}, {branch}",
        "there: files of these names are replaced, files of an earlier push that the dataset has "
        "no more are deleted, all others stay",
        "nothing was sent: the Hub was not asked what it has already",
    ]
    return "\n".join(lines)


def push(asked: Pushing, tell: Tell = lambda *_: None) -> Pushed:
    """Push a dataset; what is refused is refused before anything is sent.

    All that the Hub lacks is sent before the first commit, so that an interrupted push leaves the
    repository as it was; commits hold at most 250 files, in the order of the contents, the card in
    the last. What the Hub has already is not sent again.

    Args:
        asked: the push.
        tell: is called while checksums are compared, and while files are sent.

    Raises:
        DatasetError: if the dataset is unfinished, damaged, holds nothing, its card is of other
            data, or it changes meanwhile.
        OutputError: if there is no token, the name is none, the repository is seen by all or holds
            another dataset, or the Hub refuses or does not answer.
        RunError: the same of the Hub, once something was sent.
    """
    _check(asked)
    hub = Hub(asked.repo, asked.revision, asked.create_pr)
    contents = foresee(asked, tell)
    hub.check_card(_card(contents))
    hub.open(asked.public)
    there = hub.files()
    if not asked.replace:
        _refuse_other(hub, asked.repo, contents, there)
    names = {file.name for file in contents.files}
    lacking = [file for file in contents.files if not _is_there(file, there)]
    obsolete = [name for name in sorted(there) if layout.is_ours(name) and name not in names]
    if lacking or obsolete:
        additions = _send(hub, contents.storage, lacking, tell)
        refuse_changed(contents)
        deletions = [CommitOperationDelete(name, is_folder=False) for name in obsolete]
        _commit(hub, contents, additions, deletions)
        _see(hub, contents)
    at = f", revision={json.dumps(hub.revision)}" if hub.revision else ""
    return Pushed(
        rows=contents.rows,
        files=len(contents.files),
        sent=len(lacking),
        size=sum(file.size for file in lacking),
        deleted=tuple(obsolete),
        address=hub.address(),
        load=f"datasets.load_dataset({json.dumps(asked.repo)}{at})",
        notes=tuple(hub.notes),
    )


def describe_pushed(asked: Pushing, pushed: Pushed) -> str:
    """Write what a push has done, a fact a line."""
    there = pushed.files - pushed.sent
    sent = f"{pushed.sent} of {counted(pushed.files, 'file')} sent, {pushed.size:,} bytes"
    if not pushed.sent:
        sent = f"{counted(pushed.files, 'file')}"
    known = f", {there if pushed.sent else 'all'} there already" if there else ""
    lines = [f"{without_secrets(asked.dataset)}: {_rows(pushed.rows)}; {sent}{known}"]
    if pushed.deleted:
        lines.append(
            f"deleted there, from an earlier push: {first_few(list(pushed.deleted), _SHOWN)}"
        )
    return "\n".join([*lines, f"look at it: {pushed.address}", f"load it: {pushed.load}"])


def _check(asked: Pushing) -> None:
    check_repo(asked.repo)
    if asked.create_pr and asked.revision is not None:
        raise OutputError(
            f"--create-pr opens a pull request against the main branch, and --revision names "
            f"{excerpt(asked.revision)}; leave one of the two out"
        )


def _rows(rows: Mapping[str, int]) -> str:
    by_split = ", ".join(f"{split} {number}" for split, number in rows.items())
    return f"{counted(sum(rows.values()), 'sample')} ({by_split})"


def _card(contents: Contents) -> str:
    return next((file.data or b"").decode() for file in contents.files if file.name == layout.CARD)


def _refuse_other(hub: Hub, repo: str, contents: Contents, there: Mapping[str, RepoFile]) -> None:
    """Refuse a repository with another dataset, or a card that nobody here has written."""
    or_else = "name another repository, or say --replace to put this dataset in its place"
    if layout.RUN not in there:
        if layout.CARD in there:
            raise OutputError(
                f"{repo} has a {layout.CARD} that is none of a dataset of synthgen; {or_else}"
            )
        return
    run = next(file for file in contents.files if file.name == layout.RUN)
    if _is_there(run, there):
        return
    found = hub.record()
    whose = found and (run_id_of(found.configuration), source_runs(found))
    if whose != (contents.run, contents.sources):
        other = f"the dataset of run {whose[0]}" if whose else "a dataset that cannot be read"
        raise OutputError(f"{repo} holds {other}, and this is run {contents.run}; {or_else}")


def _is_there(file: File, there: Mapping[str, RepoFile]) -> bool:
    """Tell whether the repository holds a file with this content."""
    found = there.get(file.name)
    if found is None or found.size != file.size:
        return False
    if found.lfs is not None:
        return found.lfs.sha256 == file.sha256
    return file.data is not None and found.blob_id == _blob_id(file.data)


def _may_be_there(file: File, found: RepoFile | None) -> bool:
    """Tell whether a shard's file that the repository keeps as no large file is as long."""
    if found is None or found.lfs is not None or file.data is not None:
        return False
    return found.size == file.size


def _blob_id(data: bytes) -> str:
    """Return the name that git gives a content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _send(
    hub: Hub, storage: Storage, files: Sequence[File], tell: Tell
) -> list[CommitOperationAdd]:
    """Send the content of files, and return what is to be committed, in their order."""
    size, done = sum(file.size for file in files), 0
    additions: list[CommitOperationAdd] = []
    tell("sent", 0, size)
    for batch in _batches(files):
        with _at_hand(storage, batch) as paths:
            sending = [
                CommitOperationAdd(file.name, paths[file.name] if file.data is None else file.data)
                for file in batch
            ]
            hub.send(sending)
            for file, addition in zip(batch, sending, strict=True):
                if addition.upload_info.sha256.hex() != file.sha256:
                    raise _changed(storage, file)
                if not storage.is_local and isinstance(addition.path_or_fileobj, str):
                    # Its copy goes, and what is no large file is sent with the commit.
                    addition.path_or_fileobj = Path(addition.path_or_fileobj).read_bytes()
        additions += sending
        done += sum(file.size for file in batch)
        tell("sent", done, size)
    return additions


def _batches(files: Sequence[File]) -> Iterator[list[File]]:
    batch: list[File] = []
    size = 0
    for file in files:
        if batch and (len(batch) == _BATCH_FILES or size + file.size > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch


@contextmanager
def _at_hand(storage: Storage, files: Sequence[File]) -> Iterator[dict[str, str]]:
    """Have the files of shards on this machine, those behind a URL as copies that go again."""
    of_shards = [file for file in files if file.data is None]
    if storage.is_local:
        yield {file.name: f"{storage.root}/{file.name}" for file in of_shards}
        return
    with tempfile.TemporaryDirectory(prefix="synthgen-push-") as folder:
        paths = {file.name: str(Path(folder, file.name)) for file in of_shards}
        for file in of_shards:
            _copy(storage, file, Path(paths[file.name]))
        yield paths


def _copy(storage: Storage, file: File, path: Path) -> None:
    digest = hashlib.sha256()
    try:
        path.parent.mkdir(exist_ok=True)
        with storage.open(file.name) as source, path.open("wb") as copy:
            shutil.copyfileobj(source, _Hashed(copy, digest.update))
    except OSError as error:
        raise OutputError(
            f"cannot copy {file.name} to {excerpt(path.parent)} to send it: "
            f"{error.strerror or error}; TMPDIR names another folder for copies"
        ) from error
    if digest.hexdigest() != file.sha256:
        raise _changed(storage, file)


class _Hashed:
    """A file that is hashed while it is written."""

    def __init__(self, file: BinaryIO, update: Callable[[bytes], None]) -> None:
        self._file, self._update = file, update

    def write(self, data: bytes) -> int:
        """Write some bytes."""
        self._update(data)
        return self._file.write(data)


def _changed(storage: Storage, file: File) -> DatasetError:
    return DatasetError(
        f"{file.name} of {without_secrets(storage.url)} is not what its marker says; `synthgen "
        "generate` with the dataset's configuration makes the shard again"
    )


def _commit(
    hub: Hub,
    contents: Contents,
    additions: Sequence[CommitOperationAdd],
    deletions: Sequence[CommitOperationDelete],
) -> None:
    """Commit in order; what the dataset has no more goes with the last of it, the card."""
    parts = [
        list(additions[start : start + _COMMIT_FILES])
        for start in range(0, len(additions), _COMMIT_FILES)
    ]
    parts = parts or [[]]
    for number, part in enumerate(parts, 1):
        last = number == len(parts)
        title = f"Push {contents.name} (run {contents.run})"
        message = title if len(parts) == 1 else f"{title}, part {number} of {len(parts)}"
        hub.commit([*part, *(deletions if last else ())], message)


def _see(hub: Hub, contents: Contents) -> None:
    """See that the repository holds all of it: a rule of its own may leave files out."""
    there = hub.files()
    absent = [
        file.name
        for file in contents.files
        if not (_is_there(file, there) or _may_be_there(file, there.get(file.name)))
    ]
    if absent:
        raise RunError(
            f"the repository lacks {first_few(absent, _SHOWN)} after the push; a .gitignore or "
            "somebody else there may keep them out"
        )
