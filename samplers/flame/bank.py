"""A bank of expressions: faces of which both the FLAME numbers and the Action Units are known.

A bank is a Parquet file of the columns `flame` (55 × float32), `aus` (k × float32), `source` (the
sha256 of the picture, never its name) and `quality`, whose metadata say which AUs these are and
which networks read both.
"""

import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32

from samplers.flame.expression import FLAME_WIDTH, FlameExpression, flame_batch
from synthgen.action_units import MAX_INTENSITY, MIN_INTENSITY, ActionUnitSet
from synthgen.dataset.whole_files import replacing
from synthgen.errors import ActionUnitError, BankError
from synthgen.foreign import excerpt, first_line, reading, regular_file, shown

ABOUT_KEY = "synthgen"
"""Key of a bank's metadata."""

FORMAT, VERSION = "flame-bank", 1

LARGEST = 2 << 30
"""Bytes of a bank that are read at most."""

MOST_ROWS = 1_000_000
"""Rows of a bank at most."""

_LONGEST_ABOUT = 1 << 20
_LONGEST_TEXT = 2_000
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COLUMNS = ("flame", "aus", "source", "quality")


@dataclass(frozen=True, slots=True, kw_only=True)
class BankAbout:
    """Networks, licences and origin of a bank.

    Attributes:
        extractor: name of the network that read the FLAME numbers.
        extractor_fingerprint: `sha256:` and the checksum of its weights; empty where nobody knows.
        measurer: name of the network that measured the AUs.
        measurer_fingerprints: file → sha256 of its weights; empty where nobody knows.
        licences: what was used → its licence.
        text: where the faces come from, for people to read.
    """

    extractor: str
    extractor_fingerprint: str = ""
    measurer: str
    measurer_fingerprints: Mapping[str, str] = field(default_factory=dict)
    licences: Mapping[str, str] = field(default_factory=dict)
    text: str = ""

    def to_json(self, action_units: ActionUnitSet) -> str:
        """Write it, with the AUs of a bank, for a file's metadata."""
        told = {
            "format": FORMAT,
            "version": VERSION,
            "action_units": list(action_units.names),
            "extractor": {"name": self.extractor, "fingerprint": self.extractor_fingerprint},
            "measurer": {
                "name": self.measurer,
                "fingerprints": dict(self.measurer_fingerprints),
            },
            "licences": dict(self.licences),
            "text": self.text,
        }
        return json.dumps(told, sort_keys=True)


@dataclass(frozen=True, eq=False)
class Bank:
    """Expressions that are known in FLAME's numbers and in AUs; a row is a face.

    Attributes:
        flame: 50 expression coefficients, 2 eyelids, 3 of the jaw, of each face.
        aus: the AUs that were measured in it [0–5].
        action_units: which AUs these are.
        sources: sha256 of the picture of each face, in hexadecimal digits.
        quality: how well each face was found, larger is better; NaN where nobody knows; None where
            nobody knows of any.
        about: networks, licences and origin.
        where: the file, for sentences.
    """

    flame: Float32[np.ndarray, "rows 55"]
    aus: Float32[np.ndarray, "rows aus"]
    action_units: ActionUnitSet
    sources: tuple[str, ...]
    quality: Float32[np.ndarray, " rows"] | None
    about: BankAbout
    where: str = "bank"

    @classmethod
    def build(
        cls,
        flame: Any,
        aus: Any,
        action_units: ActionUnitSet,
        sources: Sequence[str],
        about: BankAbout,
        quality: Any = None,
        where: str = "bank",
    ) -> "Bank":
        """Check what is to become a bank.

        Args:
            flame: [rows, 55].
            aus: [rows, AUs], measured intensities [0–5].
            action_units: the AUs, in their order.
            sources: sha256 of each picture, in 64 hexadecimal digits.
            about: networks, licences and origin.
            quality: [rows]; NaN where nobody knows.
            where: the file, for sentences.

        Raises:
            BankError: if there is no row, lengths differ, an expression is not 55 finite numbers,
                an AU is outside [0, 5], or a source is no sha256.
        """
        numbers = flame_batch(flame, where)
        rows = len(numbers)
        if not 0 < rows <= MOST_ROWS:
            raise BankError(f"{where} holds {rows:,} faces; a bank has 1 to {MOST_ROWS:,}")
        measured = _measured(aus, rows, action_units, where)
        if len(sources) != rows:
            raise BankError(f"{where} holds {rows} faces and {len(sources)} sources")
        for row, source in enumerate(sources):
            if not _SHA256.fullmatch(source):
                raise BankError(
                    f"{where}: row {row} (from 0) has the source {shown(source)}; it must be the "
                    "sha256 of the picture in 64 hexadecimal digits, never its name"
                )
        return cls(
            numbers,
            measured,
            action_units,
            tuple(sources),
            _qualities(quality, rows, where),
            about,
            where,
        )

    @classmethod
    def read(cls, path: str | Path) -> "Bank":
        """Read a bank.

        Raises:
            BankError: if the file is missing, too large, or no bank, or holds what none may.
        """
        path = Path(path)
        regular_file(path, "the bank", BankError, LARGEST)
        where = excerpt(path)
        with reading(path, BankError), pq.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
            about, action_units = _read_about(schema.metadata or {}, where)
            _refuse_columns(schema, len(action_units), where)
            _refuse_packed(file.metadata, path, where)
        if not 0 < rows <= MOST_ROWS:
            raise BankError(f"{where} holds {rows:,} faces; a bank has 1 to {MOST_ROWS:,}")
        with reading(path, BankError):
            table = pq.read_table(path, columns=list(_COLUMNS), read_dictionary=["source"])
            table.validate(full=True)
        return cls.build(
            _matrix(table, "flame", FLAME_WIDTH, where),
            _matrix(table, "aus", len(action_units), where),
            action_units,
            _sources(table, where),
            about,
            table.column("quality").to_numpy(),
            where,
        )

    def write(self, path: str | Path) -> None:
        """Write the bank whole or not at all; equal banks give equal bytes.

        Raises:
            BankError: if the name does not end in .parquet, or the file cannot be written.
        """
        path = Path(path)
        check_bank_path(path)
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path, part):
                pq.write_table(
                    self._table(), part, compression="zstd", use_dictionary=False, version="2.6"
                )
        except (OSError, ValueError, pa.ArrowException) as error:
            raise BankError(f"{path} cannot be written: {first_line(error)}") from error

    @cached_property
    def digest(self) -> str:
        """A sha256 of what rendering takes: numbers, AUs, sources and who read them.

        Quality, licences and text do not change it.
        """
        about = self.about
        told = json.dumps(
            [
                list(self.action_units.names),
                [about.extractor, about.extractor_fingerprint],
                [about.measurer, dict(about.measurer_fingerprints)],
            ],
            sort_keys=True,
        )
        digest = sha256(told.encode())
        for values in (self.flame, self.aus):
            digest.update(values.astype("<f4").tobytes())
        digest.update("\0".join(self.sources).encode())
        return digest.hexdigest()

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.flame)

    def expression(self, row: int) -> FlameExpression:
        """Return the expression of a face."""
        return FlameExpression(self.flame[row], self.sources[row])

    def _table(self) -> pa.Table:
        quality = np.full(len(self), np.nan, np.float32) if self.quality is None else self.quality
        columns = {
            "flame": _fixed_lists(self.flame),
            "aus": _fixed_lists(self.aus),
            "source": pa.array(self.sources, type=pa.string()),
            "quality": pa.array(quality, type=pa.float32(), from_pandas=True),
        }
        metadata = {ABOUT_KEY: self.about.to_json(self.action_units)}
        return pa.table(columns).replace_schema_metadata(metadata)


def check_bank_path(path: str | Path) -> None:
    """Refuse what cannot become a bank, before hours are spent on what goes into it.

    Raises:
        BankError: if the name has another ending, or is that of a folder or below a file.
    """
    path = Path(path)
    where = excerpt(path)
    if path.suffix != ".parquet":
        raise BankError(f"{where} cannot be written; a bank ends in .parquet")
    with reading(path, BankError):
        is_folder = path.is_dir()
        above = next(folder for folder in path.absolute().parents if folder.exists())
    if is_folder:
        raise BankError(f"{where} cannot be written: it is a folder")
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise BankError(
            f"{where} cannot be written: {excerpt(above)} is no folder that can be written to"
        )


def _measured(
    aus: Any, rows: int, action_units: ActionUnitSet, where: str
) -> Float32[np.ndarray, "rows aus"]:
    given = np.asarray(aus)
    wanted = (rows, len(action_units))
    if given.shape != wanted or given.dtype.kind not in "fiu":
        raise BankError(
            f"{where}: the AUs are an array of shape {list(given.shape)[:8]} and type "
            f"{given.dtype}; beside {rows} faces they must be numbers of shape {list(wanted)}, one "
            f"for each of {excerpt(', '.join(action_units.names))}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        measured = given.astype(np.float32)
        fits = (measured >= MIN_INTENSITY) & (measured <= MAX_INTENSITY)
    for row, au in np.argwhere(~fits)[:1].tolist():
        raise BankError(
            f"{where}: row {row} (from 0) has {action_units.names[au]} at "
            f"{shown(given[row, au].item())}; an intensity is in [0, 5]"
        )
    return measured


def _qualities(quality: Any, rows: int, where: str) -> Float32[np.ndarray, " rows"] | None:
    if quality is None:
        return None
    given = np.asarray(quality)
    if given.shape != (rows,) or given.dtype.kind not in "fiu":
        raise BankError(
            f"{where}: quality is an array of shape {list(given.shape)[:8]} and type "
            f"{given.dtype}; beside {rows} faces it must be numbers of shape {[rows]}"
        )
    numbers = given.astype(np.float32)
    for row in np.flatnonzero(np.isinf(numbers))[:1].tolist():
        raise BankError(f"{where}: row {row} (from 0) has an infinite quality")
    return None if np.isnan(numbers).all() else numbers


def _fixed_lists(values: np.ndarray) -> pa.FixedSizeListArray:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), type=pa.float32())
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _read_about(metadata: Mapping[bytes, bytes], where: str) -> tuple[BankAbout, ActionUnitSet]:
    """Read who made a bank, and its AUs.

    Raises:
        BankError: if the metadata are not those of a bank.
    """
    text = metadata.get(ABOUT_KEY.encode(), b"")
    told: Any = None
    if len(text) <= _LONGEST_ABOUT:
        try:
            told = json.loads(text)
        except (ValueError, RecursionError):
            told = None
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise BankError(
            f"{where} is no bank of expressions; synthgen flame bank makes one of photos, and "
            "synthgen flame import one of FLAME numbers with AUs beside them"
        )
    if told.get("version") != VERSION:
        raise BankError(
            f"{where} is a bank of version {shown(told.get('version'))}; this synthgen reads "
            f"version {VERSION}"
        )
    names = told.get("action_units")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise BankError(f"{where} does not say which AUs it holds; a bank without AUs is of no use")
    try:
        action_units = ActionUnitSet.of(names)
    except ActionUnitError as error:
        raise BankError(f"{where}: its action_units: {error}") from error
    if action_units.names != tuple(names):
        raise BankError(
            f"{where}: its action_units are {excerpt(', '.join(names))}; they must stand in the "
            "order of FACS's numbers"
        )
    extractor, measurer = _part(told, "extractor", where), _part(told, "measurer", where)
    about = BankAbout(
        extractor=_text(extractor, "name", where),
        extractor_fingerprint=_text(extractor, "fingerprint", where),
        measurer=_text(measurer, "name", where),
        measurer_fingerprints=_texts(measurer, "fingerprints", where),
        licences=_texts(told, "licences", where),
        text=_text(told, "text", where),
    )
    return about, action_units


def _part(told: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = told.get(key)
    if not isinstance(value, dict):
        raise BankError(f"{where}: {key} in its metadata is {shown(value)}; it must be a mapping")
    return value


def _text(told: Mapping[str, Any], key: str, where: str) -> str:
    value = told.get(key)
    if not isinstance(value, str) or not _is_storable(value):
        raise BankError(
            f"{where}: {key} in its metadata is {shown(value)}; it must be text of at most "
            f"{_LONGEST_TEXT:,} characters"
        )
    return value


def _texts(told: Mapping[str, Any], key: str, where: str) -> dict[str, str]:
    value = _part(told, key, where)
    return {_text({key: name}, key, where): _text(value, name, where) for name in value}


def _is_storable(text: str) -> bool:
    """Return whether every table and file can hold a text."""
    surrogates = any("\ud800" <= character <= "\udfff" for character in text)
    return len(text) <= _LONGEST_TEXT and "\0" not in text and not surrogates


def _refuse_columns(schema: pa.Schema, aus: int, where: str) -> None:
    wanted = {
        "flame": pa.list_(pa.float32(), FLAME_WIDTH),
        "aus": pa.list_(pa.float32(), aus),
        "source": pa.string(),
        "quality": pa.float32(),
    }
    for name, kind in wanted.items():
        places = schema.get_all_field_indices(name)
        if len(places) != 1:
            raise BankError(
                f"{where} has {len(places) or 'no'} column{'s' * (len(places) > 1)} {name!r}; a "
                f"bank has one of each of {', '.join(wanted)}"
            )
        found = schema.field(places[0]).type
        same = (
            found.list_size == kind.list_size and found.value_type == kind.value_type
            if pa.types.is_fixed_size_list(found) and pa.types.is_fixed_size_list(kind)
            else found == kind
        )
        if not same:
            raise BankError(
                f"{where}: column {name!r} holds {excerpt(found)}; a bank's holds {kind}"
            )


def _refuse_packed(metadata: pq.FileMetaData, path: Path, where: str) -> None:
    """Refuse a few bytes that would become very many."""
    meant = sum(
        metadata.row_group(group).column(place).total_uncompressed_size
        for group in range(metadata.num_row_groups)
        for place in range(metadata.num_columns)
    )
    if meant > LARGEST:
        raise BankError(
            f"{where} holds {path.stat().st_size:,} bytes that would become {meant:,}; at most "
            f"{LARGEST:,} are read"
        )


def _matrix(table: pa.Table, name: str, width: int, where: str) -> np.ndarray:
    column = table.column(name).combine_chunks()
    flat = column.flatten()
    if column.null_count or flat.null_count or len(flat) != len(column) * width:
        raise BankError(f"{where}: column {name!r} has empty places; every number must be there")
    return flat.to_numpy(zero_copy_only=False).reshape(-1, width)


def _sources(table: pa.Table, where: str) -> list[str]:
    column = table.column("source")
    if column.null_count:
        raise BankError(f"{where}: column 'source' has empty places; every face has a source")
    for chunk in column.chunks:
        for word in chunk.dictionary if pa.types.is_dictionary(chunk.type) else ():
            if len(word.as_buffer()) != 64:
                raise BankError(
                    f"{where}: column 'source' holds a text of {len(word.as_buffer()):,} bytes; it "
                    "must be the sha256 of a picture in 64 hexadecimal digits"
                )
    return column.to_pylist()
