"""Find weights: a folder of this machine, or a snapshot from the Hugging Face Hub."""

import re
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage] - httpx's or httpx2's
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from synthgen.errors import WeightsError

_HUB_SECONDS = 10.0
"""Patience with the Hub where it is only asked whether it has something [s]."""


class NotFetchedError(WeightsError):
    """Weights are on the Hub, perhaps, and not on this machine.

    Attributes:
        repo: their id.
        revision: their revision; None: the default branch.
    """

    def __init__(self, text: str, repo: str, revision: str | None) -> None:
        super().__init__(text)
        self.repo, self.revision = repo, revision

    def __reduce__(self) -> tuple[type, tuple[str, str, str | None]]:
        return type(self), (str(self), self.repo, self.revision)


def resolve(
    id_or_folder: str | Path,
    *,
    revision: str | None = None,
    files: Sequence[str] = (),
    either: Sequence[str] = (),
    patterns: Sequence[str] = (),
    setting: str | None = None,
    fetch: bool = True,
) -> Path:
    """Return a folder that holds weights, fetched from the Hub if it is no folder here.

    What was fetched before is found in the Hub's cache, without a network too.

    Args:
        id_or_folder: Hub id such as `Tvaranka/fineface`, or a folder. A text that is no id
            (absolute, or beginning with `.` or `~`) is always a folder.
        revision: branch, tag or commit on the Hub; None: the default branch.
        files: paths that must be there; a `.ckpt` file may be there as `.safetensors`.
        either: paths one of which must be there; the Hub is asked for all of them.
        patterns: further files to fetch, as shell patterns.
        setting: configuration key that names these weights, for the error.
        fetch: whether to fetch what is not on this machine.

    Returns:
        The folder.

    Raises:
        WeightsError: if the folder or one of the files is missing, or the Hub does not give them,
            or is not to be asked.
    """
    folder = Path(id_or_folder).expanduser()
    here = folder.is_dir()
    if not here:
        if not _may_be_id(str(id_or_folder)):
            raise WeightsError(
                f"weights folder {id_or_folder} does not exist; it must hold {_list(files, either)}"
            )
        if fetch:
            more = [*either, *patterns]
            folder = _fetch(str(id_or_folder), revision, files, more, setting)
        else:
            folder = _cached(str(id_or_folder), revision, setting)
    missing = missing_files(folder, files)
    if either and not any((folder / name).is_file() for name in either):
        missing.append(either[0])
    if missing and not here and not fetch:
        named = f" ({setting})" if setting else ""
        raise NotFetchedError(
            f"{id_or_folder}{_at(revision)}{named} is on this machine without {missing[0]}; "
            "`synthgen weights fetch CONFIG` fetches it",
            str(id_or_folder),
            revision,
        )
    if missing:
        wanted = _list(files, either if missing[0] in either else ())
        raise WeightsError(
            f"{id_or_folder} has no file {missing[0]}{_at(revision)}; it must hold {wanted}"
        )
    return folder


def names_folder(text: str) -> bool:
    """Return whether a text means a folder, not a Hub id: there is one, or it can be no id."""
    return not _may_be_id(text) or Path(text).is_dir()


def trouble_with(repo: str, revision: str | None) -> str | None:
    """Ask the Hub whether it would give a repository; return why not, or None."""
    try:
        HfApi().repo_info(repo, revision=revision, timeout=_HUB_SECONDS)
    except GatedRepoError:
        return _refused(repo, revision, gated=True)
    except (HFValidationError, RepositoryNotFoundError, RevisionNotFoundError):
        return _refused(repo, revision, gated=False)
    except (HTTPError, OSError) as error:
        return f"the Hugging Face Hub does not answer ({type(error).__name__})"
    return None


def commit_of(path: Path) -> str | None:
    """Return the commit that a snapshot of the Hub's cache, or a file in it, is of; else None."""
    return next(
        (
            folder.name
            for folder in (path, *path.parents)
            if folder.parent.name == "snapshots" and re.fullmatch("[0-9a-f]{40}", folder.name)
        ),
        None,
    )


def missing_files(folder: Path, files: Sequence[str]) -> list[str]:
    """Return those of some files that a folder lacks; a `.ckpt` may be there as `.safetensors`."""
    return [name for name in files if not any((folder / twin).is_file() for twin in _twins(name))]


def _may_be_id(text: str) -> bool:
    return not text.startswith((".", "~", "/")) and text.count("/") <= 1 and "\\" not in text


def _cached(repo: str, revision: str | None, setting: str | None) -> Path:
    try:
        return Path(snapshot_download(repo, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError) as error:
        named = f" ({setting})" if setting else ""
        raise NotFetchedError(
            f"{repo}{_at(revision)}{named} is not on this machine: no folder of that name, and not "
            "in the Hub's cache; `synthgen weights fetch CONFIG` fetches it",
            repo,
            revision,
        ) from error


def _fetch(
    repo: str,
    revision: str | None,
    files: Sequence[str],
    patterns: Sequence[str],
    setting: str | None,
) -> Path:
    wanted = [twin for name in files for twin in _twins(name)] + list(patterns)
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=wanted or None))
    except (HFValidationError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise WeightsError(_refused(repo, revision, isinstance(error, GatedRepoError))) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise WeightsError(_offline(repo, revision, files, setting)) from error


def _refused(repo: str, revision: str | None, gated: bool) -> str:
    if gated:
        return f"{repo} must be opened on the Hugging Face Hub: accept its licence, and log in"
    return f"{repo}{_at(revision)} is neither a folder here nor on the Hugging Face Hub"


def _offline(repo: str, revision: str | None, files: Sequence[str], setting: str | None) -> str:
    named = f"set {setting} to its path" if setting else "give its path"
    return (
        f"cannot fetch {_list(files)} of {repo}{_at(revision)} from the Hugging Face Hub; with no "
        f"network here, download it elsewhere, put its folder at {repo} below the working folder, "
        f"or anywhere and {named}"
    )


def _twins(name: str) -> list[str]:
    if name.endswith(".ckpt"):
        return [name, name.removesuffix(".ckpt") + ".safetensors"]
    return [name]


def _at(revision: str | None) -> str:
    return f" at revision {revision}" if revision else ""


def _list(files: Sequence[str], either: Sequence[str] = ()) -> str:
    wanted = [*files, *([" or ".join(either)] if either else [])]
    return ", ".join(wanted) or "the weights"
