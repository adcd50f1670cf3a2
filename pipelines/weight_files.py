"""Checks of weight files before they are loaded: bounded, one sentence on a fault; no torch.

What an outsider's file says about itself (how long its header is, how large its tensors are) is
held against the file's own size before memory is taken.
"""

import hashlib
import json
import math
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from synthgen.action_units import ActionUnitSet
from synthgen.errors import ActionUnitError, WeightsError
from synthgen.foreign import excerpt, first_line, regular_file, shown


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


FLOATS = ("F16", "BF16", "F32", "F64")
"""Number formats of weights, as safetensors call them."""

_LARGEST_HEADER = 16 * 2**20
"""Bytes of a safetensors header that are read; Stable Diffusion's largest has 100,000."""

_LARGEST_JSON = 2**20
_LARGEST_TOKENIZER = 64 * 2**20
_BESIDE_TOKENS = (".safetensors", ".bin", ".h5", ".msgpack")  # weights, as a CLIP's folder has them

_WIDTHS = {
    "BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4,
    "F32": 4, "F64": 8, "I64": 8, "U64": 8, "C64": 8,
}  # fmt: skip
"""Bytes of a number."""

_COUNTERS = ("position_ids", "num_batches_tracked")
"""Ends of the names of tensors that are no weights and hold whole numbers."""

_MOST_UNITS = 2**20
"""Largest size (width, vocabulary, pixels) that a model's configuration may name."""

_DEEPEST = 32

_LFS = b"version https://git-lfs.github.com/spec/"
_PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head")


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor, as a safetensors header tells of it."""

    dtype: str
    shape: tuple[int, ...]


def check_sha256(expected: Mapping[str, str], used: Mapping[str, Path]) -> None:
    """Refuse files that are not those that a configuration expects, before they are loaded.

    Raises:
        WeightsError: if a file has another checksum, or none of the name is used.
    """
    for name, digest in expected.items():
        if name not in used:
            raise WeightsError(
                f"pipeline.weights.sha256 names {name!r}, which this run does not use; it uses "
                f"{', '.join(used)}"
            )
        if (found := file_sha256(used[name])) != digest:
            raise WeightsError(
                f"{used[name]} is not the file that pipeline.weights.sha256 expects of {name}: its "
                f"checksum is {found}, not {digest}; fetch it again, or change the key if you "
                "trust it"
            )


def check_weight_file(path: Path, what: str = "weight file") -> int:
    """Refuse what is no file, and what stands in a weight file's place after a failed download.

    Args:
        path: the file.
        what: what the sentence calls it.

    Returns:
        Its size [bytes].

    Raises:
        WeightsError: if it is missing, no regular file, empty, a Git LFS pointer or a web page.
    """
    size = regular_file(path, what, WeightsError)
    with _opened(path) as file:
        start = file.read(512).lstrip().lower()
    shown = excerpt(path)
    if not size:
        raise WeightsError(f"{shown} is empty; copy or download it again")
    if start.startswith(_LFS):
        raise WeightsError(
            f"{shown} is a Git LFS pointer, not the file itself; run `git lfs pull` in its "
            "folder, or download the file"
        )
    if start.startswith(_PAGES):
        raise WeightsError(
            f"{shown} is a web page, not weights: a download went wrong (a login or an error page, "
            "perhaps); download the file again"
        )
    return size


def read_safetensors_header(path: Path) -> tuple[dict[str, TensorEntry], dict[str, str]]:
    """Read what a safetensors file holds, without its tensors.

    Returns:
        Name → what the header says of the tensor, and the metadata.

    Raises:
        WeightsError: if it is no safetensors file, its header is too long, or its tensors do not
            fill it.
    """
    size = check_weight_file(path)
    shown = excerpt(path)
    with _opened(path) as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= size - 8:
            raise WeightsError(
                f"{shown} is no safetensors file, or was cut off: its header would have "
                f"{length:,} bytes, the file has {size:,}"
            )
        if length > _LARGEST_HEADER:
            raise WeightsError(
                f"{shown} has a header of {length:,} bytes; at most {_LARGEST_HEADER:,} are read, "
                "so it is hardly a weight file"
            )
        header = _parsed(file.read(length), f"the header of {shown}")
    texts = header.pop("__metadata__", {})
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise WeightsError(f"the header of {shown} has metadata that are no texts")
    entries = {name: _entry(name, part, shown) for name, part in header.items()}
    ends = max((part["data_offsets"][1] for part in header.values()), default=0)
    if ends != size - 8 - length:
        raise WeightsError(
            f"{shown} is damaged or was cut off: its tensors take {ends:,} bytes, the file holds "
            f"{size - 8 - length:,}; copy or download it again"
        )
    return entries, texts


ACTION_UNITS_KEY = "action_units"
"""Key of a file's metadata that names AUs: `AU1,AU2,…`."""


def named_aus(
    texts: Mapping[str, str], where: str, key: str = ACTION_UNITS_KEY
) -> ActionUnitSet | None:
    """Return the AUs that a file's metadata name, in the order of its numbers; None: it names none.

    Args:
        texts: the metadata.
        where: the file, for the error.
        key: key of the metadata.

    Raises:
        WeightsError: if what is named is no set of AUs in FACS order.
    """
    if (named := texts.get(key)) is None:
        return None
    names = tuple(named.split(","))
    try:
        found = ActionUnitSet.of(names)
    except ActionUnitError as error:
        raise WeightsError(f"{where}, {key} in its metadata: {error}") from error
    if found.names != names:
        raise WeightsError(
            f"{where}, {key} in its metadata: {shown(named)} must be in the order of "
            f"FACS: {','.join(found.names)}"
        )
    return found


def count_numbers(path: Path) -> int:
    """Count the numbers in a weight file; a pickle's size is taken as that of 32-bit numbers.

    Raises:
        WeightsError: if it is no weight file.
    """
    if path.suffix != ".safetensors":
        return check_weight_file(path) // 4
    return sum(math.prod(entry.shape) for entry in read_safetensors_header(path)[0].values())


def check_number_formats(entries: Mapping[str, TensorEntry], where: str) -> None:
    """Refuse weights that are whole numbers, truth values or complex: they load without a word.

    Raises:
        WeightsError: if one is, but for counters.
    """
    for name, entry in entries.items():
        if entry.dtype not in FLOATS and not name.endswith(_COUNTERS):
            raise WeightsError(
                f"{where}: {excerpt(name, 100)} holds numbers of the format {entry.dtype}; weights "
                f"must be {', '.join(FLOATS)}"
            )


def check_zip(path: Path) -> None:
    """Refuse a PyTorch file that unpacks to more than it holds; a file that is no zip passes.

    Raises:
        WeightsError: if a part of it is compressed, which `torch.save` never does, or its parts
            claim more bytes than the file has.
    """
    size = check_weight_file(path)
    with _opened(path) as file:
        if file.read(4) != b"PK\x03\x04":
            return
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise WeightsError(
            f"{excerpt(path)} cannot be read as a PyTorch file: {first_line(error)}"
        ) from error
    unpacked = sum(part.file_size for part in parts)
    if unpacked > size or any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        raise WeightsError(
            f"{excerpt(path)} unpacks to {unpacked:,} bytes from {size:,}; PyTorch files are not "
            "compressed, so this one is refused"
        )


def read_json(path: Path, what: str = "file", largest: int = _LARGEST_JSON) -> dict[str, Any]:
    """Read a JSON object that another's program wrote.

    Args:
        path: the file.
        what: what the sentence calls it.
        largest: bytes that it may have at most.

    Raises:
        WeightsError: if it is missing, no regular file, too large, or no JSON object.
    """
    regular_file(path, what, WeightsError, largest)
    with _opened(path) as file:
        content = file.read(largest)
    return _parsed(content, f"{what} {excerpt(path)}")


def read_model_config(path: Path, tensors: int | None = None) -> dict[str, Any]:
    """Read a JSON file that says how large a model is, and refuse sizes that only fill the memory.

    Args:
        path: `config.json` of a model, or `scheduler_config.json`.
        tensors: number of tensors in its weight file: no model has more layers; None: it has none.

    Raises:
        WeightsError: as `read_json`, or if a size in it cannot be.
    """
    config = read_json(path, "model configuration")
    for key, value in _leaves(config):
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        if value == -math.inf:
            continue  # the bound that DPM-Solver's saved configuration says it has not
        if not abs(value) <= _MOST_UNITS:  # NaN is refused, too
            raise WeightsError(
                f"model configuration {excerpt(path)}: {excerpt(key, 100)} is "
                f"{excerpt(value, 30)}; at most {_MOST_UNITS:,} is possible"
            )
        if tensors is not None and "layers" in key and value > tensors:
            raise WeightsError(
                f"model configuration {excerpt(path)}: {excerpt(key, 100)} is {value}; the "
                f"weights beside it are {tensors} tensors"
            )
    return config


def check_tokenizer_files(folder: Path) -> None:
    """Refuse tokenizer files that no tokenizer can be: huge, no JSON, or no files.

    Raises:
        WeightsError: if one of them is.
    """
    if not folder.is_dir():
        raise WeightsError(f"{excerpt(folder)} is no folder of a tokenizer")
    for path in sorted(folder.iterdir()):
        if path.suffix == ".json":
            read_json(path, "tokenizer file", _LARGEST_TOKENIZER)
        elif not path.is_dir() and path.suffix not in _BESIDE_TOKENS:
            regular_file(path, "tokenizer file", WeightsError, _LARGEST_TOKENIZER)


def _opened(path: Path) -> Any:
    try:
        return path.open("rb")
    except OSError as error:
        raise WeightsError(f"{excerpt(path)} cannot be read: {error.strerror}") from error


def _parsed(content: bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{what} is no JSON: {first_line(error, 100)}") from error
    if not isinstance(found, dict):
        raise WeightsError(f"{what} holds no JSON object, but {type(found).__name__}")
    return found


def _entry(name: str, part: Any, shown: str) -> TensorEntry:
    """Check what a header says of one tensor."""
    told: dict[str, Any] = part if isinstance(part, dict) else {}
    shape, offsets = told.get("shape"), told.get("data_offsets")
    named = isinstance(told.get("dtype"), str)
    if not named or not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2:
        raise WeightsError(f"the header of {shown} does not say what {excerpt(name, 100)!r} is")
    width, taken = _WIDTHS.get(part["dtype"]), offsets[1] - offsets[0]
    if width is not None and math.prod(shape) * width != taken:
        raise WeightsError(
            f"the header of {shown} gives {excerpt(name, 100)} the shape {excerpt(shape, 60)} of "
            f"{part['dtype']} and {taken:,} bytes, which do not go together"
        )
    return TensorEntry(part["dtype"], tuple(shape))


def _are_counts(values: Any) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 2**63 for v in values)


def _leaves(value: Any, key: str = "", depth: int = 0) -> list[tuple[str, Any]]:
    """Return every value that holds no others, with the key that it stands under."""
    if depth > _DEEPEST:
        raise WeightsError(f"a model configuration is nested more than {_DEEPEST} deep")
    if isinstance(value, dict):
        parts = [(str(name), part) for name, part in value.items()]
    elif isinstance(value, list):
        parts = [(key, part) for part in value]
    else:
        return [(key, value)]
    return [leaf for name, part in parts for leaf in _leaves(part, name, depth + 1)]
