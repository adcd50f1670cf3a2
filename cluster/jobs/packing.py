"""Pack a run for a cluster: the code, the configuration, and the files that it names."""

import fnmatch
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import synthgen
from cluster.preflight.findings import in_bytes
from synthgen.config import RunConfig, dump_config
from synthgen.config.components import source_of
from synthgen.errors import ConfigError, OutputError
from synthgen.foreign import excerpt, first_few, regular_file
from synthgen.installation import PACKAGES
from synthgen.revision import REVISION_FILE, git_revision

CONFIG_FILE = "config.yaml"
"""Name of the resolved configuration in a package."""

_STAY = frozenset({".git", ".hg", ".svn", ".ssh", ".aws", ".gnupg", "__pycache__"})
"""Folders that stay behind: no run reads them, and they may hold what is nobody's business."""

_SECRETS = (
    *(".env", ".env.*", ".netrc", ".pypirc", ".git-credentials", "*credentials*.json"),
    *("*.pem", "*.key", "*.p12", "id_rsa*", "id_ed25519*"),
)
"""Names of files that stay behind, for the same reasons."""

_LIMIT = 500 << 20
"""Largest package [bytes]: it travels in one message of Ray's, of 512 MiB at most."""


@dataclass(frozen=True, slots=True)
class Package:
    """A folder to be sent.

    Attributes:
        folder: where it lies.
        files: its files, as names below the folder → bytes.
        notes: one sentence for each file that the nodes must have themselves, and for each that
            stays behind.
    """

    folder: Path
    files: Mapping[str, int]
    notes: tuple[str, ...]

    @property
    def bytes(self) -> int:
        """Size of its files."""
        return sum(self.files.values())


def pack(config: RunConfig, folder: Path) -> Package:
    """Copy what a job needs into a folder.

    Relative paths of the configuration go with the job, under the same names, so that the job is
    the same run as `synthgen generate` here, and so do modules of the working folder that
    components are named by. Absolute paths are the nodes' own. Nothing else of the working folder
    goes along.

    Args:
        config: the run.
        folder: an empty folder.

    Raises:
        OutputError: if the output is a relative path: it would vanish with the job's own folder.
        ConfigError: if a path leads out of the working folder or holds what cannot be packed, or
            the package is too large.
    """
    check_output_of_job(config.output.path)
    said = [path for component in config.components() for path in component.local_paths()]
    named = list(dict.fromkeys([*said, *_modules(config)]))
    along = [path for path in named if _goes_along(path)]
    code = Path(synthgen.__file__).parents[1]
    found = {name: _files(code / name) for name in PACKAGES} | {p: _files(p) for p in along}
    left = {path: [file for file in files if _stays(file)] for path, files in found.items()}
    files = {
        str(Path(path, file)): (code if path in PACKAGES else Path(), size)
        for path, sizes in found.items()
        for file, size in sizes.items()
        if not _stays(file)
    }
    _check_size({path: sum(sizes.values()) for path, sizes in found.items()})
    for name, (base, _) in files.items():
        _copy(base / name, folder / name)
    texts = {
        f"synthgen/{REVISION_FILE}": git_revision() or "",
        CONFIG_FILE: dump_config(_on_this_cluster(config)),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    sizes = {name: size for name, (_, size) in files.items()}
    sizes |= {name: (folder / name).stat().st_size for name in texts}
    notes = [
        f"{excerpt(path)} does not go along: each node must have it there"
        for path in named
        if not _goes_along(path)
    ]
    notes += [note for path in along if (note := _note_of_left(path, left[path]))]
    return Package(folder, sizes, tuple(notes))


def archive(package: Package, file: Path) -> None:
    """Write a package as a ZIP archive: Ray itself would leave out what a `.gitignore` names.

    Raises:
        ConfigError: if the archive lacks a file, or has another size of it than was listed.
    """
    with ZipFile(file, "w", strict_timestamps=False) as written:
        for name in package.files:
            written.write(package.folder / name, name)
    with ZipFile(file) as written:
        there = {entry.filename: entry.file_size for entry in written.infolist()}
    lacking = [name for name, size in package.files.items() if there.get(name) != size]
    if lacking:
        raise ConfigError(
            f"{excerpt(lacking[0])} changed while the job was packed ({len(lacking)} files did); "
            "submit again when nobody writes there"
        )


def check_output_of_job(path: str) -> None:
    """Refuse an output that only the job's own folder would see.

    Raises:
        OutputError: if the path is relative.
    """
    if "://" not in path and not Path(path).is_absolute():
        raise OutputError(
            f"output.path {path} is relative, and a job works in a copy of the code that is "
            "deleted after it; give a URL such as s3://bucket/name, or the absolute path of a "
            "folder that all nodes share"
        )


def _on_this_cluster(config: RunConfig) -> RunConfig:
    """Let the job join the cluster that runs it, whatever the configuration names."""
    cluster = config.cluster.model_copy(update={"address": None})
    return config.model_copy(update={"cluster": cluster})


def _modules(config: RunConfig) -> Iterator[str]:
    """Yield the files and folders of components that no distribution brings."""
    here = Path.cwd()
    for component in config.components():
        if source := source_of(type(component)):
            below = source.is_relative_to(here)
            yield str(source.relative_to(here) if below else source)


def _goes_along(path: str) -> bool:
    return not (Path(path).is_absolute() or path.startswith("~"))


def _files(path: str | Path) -> dict[str, int]:
    """List what a path of the configuration holds: names below it → bytes, links followed.

    Raises:
        ConfigError: if it leads out of the working folder, or holds what cannot be read.
    """
    shown = excerpt(path)
    if ".." in Path(path).parts:
        raise ConfigError(
            f"{shown} leads out of the working folder, and only what lies below it goes along with "
            "a job; give the absolute path of a place that all nodes share"
        )
    if not Path(path).is_dir():
        return {"": regular_file(path, "the job's file", ConfigError)}
    found: dict[str, int] = {}
    total = 0
    for place, folders, names in os.walk(path, onerror=_refuse, followlinks=True):
        folders[:] = sorted(name for name in folders if name not in _STAY)
        here = Path(place)
        if any(here.samefile(above) for above in here.parents if above.is_relative_to(path)):
            raise ConfigError(f"{excerpt(here)} is a link to a folder above it; take it away")
        for name in sorted(names):
            size = regular_file(here / name, "the job's file", ConfigError)
            found[str((here / name).relative_to(path))] = size
            total += size
        if total >= _LIMIT:  # it is refused, however much more there is
            break
    return found


def _refuse(error: OSError) -> None:
    raise ConfigError(f"{excerpt(error.filename)} cannot be packed: {error.strerror}") from error


def _stays(file: str) -> bool:
    name = Path(file).name
    return any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in _SECRETS)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise ConfigError(f"{excerpt(source)} cannot be packed: {error.strerror}") from error


def _check_size(sizes: dict[str, int]) -> None:
    if (total := sum(sizes.values())) >= _LIMIT:
        largest = max(sizes, key=lambda path: sizes[path])
        raise ConfigError(
            f"the job would carry at least {in_bytes(total)}, most of it in {largest}, "
            f"and Ray takes {in_bytes(_LIMIT)}; put it where all nodes see it and give its "
            "absolute path, or a Hub id"
        )


def _note_of_left(path: str, files: list[str]) -> str | None:
    if not files:
        return None
    named = first_few([excerpt(Path(path, file)) for file in files], 1)
    return f"{named} does not go along: by its name it holds a secret, and no run reads it"
