"""Names of the files of a dataset, relative to its folder, and the form of its JSON files.

Shard names carry no total, so that a finished run can be extended.
"""

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

from synthgen.foreign import excerpt

ShardKey = tuple[str, int]
"""Split and number of a shard."""

CARD = "README.md"
PICTURE = "assets/samples.png"
CROISSANT = "croissant.json"
CONFIG = ".synthgen/config.yaml"
RUN = ".synthgen/run.json"
LEASE = ".synthgen/lease.json"
INDEX = ".synthgen/markers.json"
MERGING = ".synthgen/merging.json"

DATA = "data"
REJECTS = "rejects"
REJECT_IMAGES = "reject_images"
MARKERS = ".synthgen/shards"

OF_SHARDS = (DATA, REJECTS, REJECT_IMAGES)
"""Folders of the files that a marker vouches for."""

FOLDERS = ("", *OF_SHARDS, "assets", ".synthgen", MARKERS)
"""Every folder that may hold a file of ours; the first is the dataset's own."""

_SUFFIXES = {**dict.fromkeys(OF_SHARDS, "parquet"), MARKERS: "json"}
_MANIFEST = ".c2pa"
_DIGITS = 5
"""Digits of a shard's number, at least."""
_SINGLE_FILES = frozenset({CARD, PICTURE, CROISSANT, CONFIG, RUN, LEASE, INDEX, MERGING})
_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{16}-(?P<name>.+)")


def data_file(split: str, number: int) -> str:
    """Return the name of a shard's rows."""
    return _shard_file(DATA, split, number)


def reject_file(split: str, number: int) -> str:
    """Return the name of a shard's rejected attempts."""
    return _shard_file(REJECTS, split, number)


def reject_image_file(split: str, number: int) -> str:
    """Return the name of the pictures that a shard keeps of its rejected attempts."""
    return _shard_file(REJECT_IMAGES, split, number)


def manifest_file(name: str) -> str:
    """Return the name of the signed manifest of a shard's file."""
    return name.removesuffix(".parquet") + _MANIFEST


def is_manifest(name: str) -> bool:
    """Tell whether a name is that of a signed manifest of a shard's file."""
    return name.endswith(_MANIFEST) and shard_of(vouched_for(name)) is not None


def vouched_for(manifest: str) -> str:
    """Return the name of the file that a signed manifest speaks of."""
    return manifest.removesuffix(_MANIFEST) + ".parquet"


def marker_file(split: str, number: int) -> str:
    """Return the name of the marker that says that a shard is whole."""
    return _shard_file(MARKERS, split, number)


def patterns(folder: str, split: str, last: int) -> list[str]:
    """Return glob patterns that match a split's shards alone: a copy beside them has another name.

    Args:
        folder: `DATA` or `REJECTS`.
        split: the split.
        last: number of its last shard.
    """
    suffix = _SUFFIXES[folder]
    lengths = range(_DIGITS, max(len(str(last)), _DIGITS) + 1)
    return [f"{folder}/{split}-{'[0-9]' * length}.{suffix}" for length in lengths]


def shard_of(name: str) -> ShardKey | None:
    """Return the shard that a data, rejects or marker file belongs to; None for other names."""
    folder, _, file = name.rpartition("/")
    match = re.fullmatch(r"(\w+)-(\d{5,})\.(\w+)", file)
    if match is None or _SUFFIXES.get(folder) != match[3]:
        return None
    key = match[1], int(match[2])
    return key if _shard_file(folder, *key) == name else None


def temporary_file(name: str, token: str) -> str:
    """Return the name under which a file is written until it is whole.

    Args:
        name: the final name.
        token: 16 hexadecimal digits.
    """
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}.tmp-{token}-{file}"


def is_temporary(name: str) -> bool:
    """Tell whether a file is what a crash left of the writing of one of our files."""
    folder, slash, file = name.rpartition("/")
    match = _TEMPORARY.fullmatch(file)
    return match is not None and _is_final(f"{folder}{slash}{match['name']}")


def is_ours(name: str) -> bool:
    """Tell whether a run of synthgen may have written a file of this name."""
    return _is_final(name) or is_temporary(name)


def repair_command(url: str) -> str:
    """Return the command that looks what can be mended in a dataset, as a shell takes it."""
    return f"synthgen repair {shlex.quote(url)}"


def _is_final(name: str) -> bool:
    return name in _SINGLE_FILES or shard_of(name) is not None or is_manifest(name)


def _shard_file(folder: str, split: str, number: int) -> str:
    return f"{folder}/{split}-{number:0{_DIGITS}d}.{_SUFFIXES[folder]}"


NOT_WHOLE = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
"""Exceptions that reading a value out of a corrupt file raises."""

_LONGEST_CAUSE = 120


def to_json(values: Mapping[str, Any]) -> bytes:
    """Write a mapping, keys in their order."""
    return json.dumps(values, indent=2, ensure_ascii=False).encode() + b"\n"


def from_json(data: bytes) -> dict[str, Any]:
    """Read a mapping.

    Raises:
        ValueError: if the file is not JSON, or holds no mapping.
    """
    values = json.loads(data)
    if not isinstance(values, dict):
        raise ValueError(f"it holds a {type(values).__name__}")
    return values


def cause(error: Exception) -> str:
    """Say in a few words what one of `NOT_WHOLE` means."""
    text = excerpt(error, _LONGEST_CAUSE)
    return f"no {text}" if isinstance(error, KeyError) else text
