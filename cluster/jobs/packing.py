"""Pack a run for a cluster: the code, the configuration, and the files that it names."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import synthgen
from cluster.preflight.sizes import in_bytes
from synthgen.config import RunConfig, dump_config
from synthgen.config.base import Section
from synthgen.errors import ConfigError, OutputError
from synthgen.revision import REVISION_FILE, git_revision

CONFIG_FILE = "config.yaml"
"""Name of the resolved configuration in a package."""

PACKAGES = ("synthgen", "samplers", "pipelines", "cluster")

_PATHS = frozenset(
    {"labels", "store", "wanted", "forbidden", "weights", "base", "vae", "fineface", "ip_adapter",
     "model"}
)  # fmt: skip
"""Keys whose text may be a file or a folder."""

_LIMIT = 500 << 20
"""Largest package [bytes]: it travels in one message of Ray's, of 512 MiB at most."""


@dataclass(frozen=True, slots=True)
class Package:
    """A folder to be sent.

    Attributes:
        folder: where it lies.
        bytes: size of its files.
        notes: one sentence for each file that the nodes must have themselves.
    """

    folder: Path
    bytes: int
    notes: tuple[str, ...]


def pack(config: RunConfig, folder: Path) -> Package:
    """Copy what a job needs into a folder.

    Relative paths of the configuration go with the job, under the same names, so that the job is
    the same run as `synthgen generate` here. Absolute paths are the nodes' own. Nothing else of
    the working folder goes along.

    Args:
        config: the run.
        folder: an empty folder.

    Raises:
        OutputError: if the output is a relative path: it would vanish with the job's own folder.
        ConfigError: if a path leads out of the working folder, or the package is too large.
    """
    check_output_of_job(config.output.path)
    for package in PACKAGES:
        source = Path(synthgen.__file__).parents[1] / package
        shutil.copytree(source, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "synthgen" / REVISION_FILE).write_text(git_revision() or "")
    (folder / CONFIG_FILE).write_text(dump_config(_on_this_cluster(config)), encoding="utf-8")
    named = list(dict.fromkeys(_named(config)))
    for path in named:
        _copy(path, folder)
    sizes = {path: _size(folder / path) for path in (*PACKAGES, *filter(_goes_along, named))}
    _check_size(sizes)
    notes = [_note(path) for path in named if Path(path).is_absolute()]
    return Package(folder, sum(sizes.values()), tuple(notes))


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


def _named(section: Section) -> Iterator[str]:
    """Yield the texts in a configuration that are files or folders here."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        parts = value if isinstance(value, list | tuple) else [value]
        for part in parts:
            if isinstance(part, Section):
                yield from _named(part)
            elif isinstance(part, str) and name in _PATHS and _is_path(part):
                yield part


def _is_path(text: str) -> bool:
    """Tell files and folders from Hub ids and names such as `mini`."""
    return Path(text).is_absolute() or (text not in ("mini", "libreface") and Path(text).exists())


def _goes_along(path: str) -> bool:
    return not Path(path).is_absolute()


def _copy(path: str, folder: Path) -> None:
    if not _goes_along(path):
        return
    if ".." in Path(path).parts:
        raise ConfigError(
            f"{path} leads out of the working folder, and only what lies below it goes along with "
            "a job; give the absolute path of a place that all nodes share"
        )
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if Path(path).is_dir():
        shutil.copytree(path, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(path, target)


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _check_size(sizes: dict[str, int]) -> None:
    if (total := sum(sizes.values())) >= _LIMIT:
        largest = max(sizes, key=lambda path: sizes[path])
        raise ConfigError(
            f"the job would carry {in_bytes(total)}, most of it in {largest}, and Ray takes "
            f"{in_bytes(_LIMIT)}; put it where all nodes see it and give its "
            "absolute path, or a Hub id"
        )


def _note(path: str) -> str:
    return f"{path} does not go along: each node must have it there"
