"""Banks as Parquet files: bounded before they are read, and written whole or not at all."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from samplers.flame.bank import FORMAT, MOST_ROWS, VERSION, Bank, BankAbout
from samplers.flame.expression import FLAME_WIDTH
from synthgen.action_units import ActionUnitSet
from synthgen.dataset.whole_files import replacing
from synthgen.errors import ActionUnitError, BankError
from synthgen.foreign import excerpt, first_line, reading, regular_file, shown

ABOUT_KEY = "synthgen"
"""Key of a bank's metadata."""

LARGEST = 2 << 30
"""Bytes of a bank that are read at most."""

_LONGEST_ABOUT = 1 << 20
_LONGEST_TEXT = 2_000
_COLUMNS = ("flame", "aus", "source", "quality")


def read_bank(path: str | Path) -> Bank:
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
        refuse_packed(file.metadata, path)
    if not 0 < rows <= MOST_ROWS:
        raise BankError(f"{where} holds {rows:,} faces; a bank has 1 to {MOST_ROWS:,}")
    with reading(path, BankError):
        table = pq.read_table(
            path,
            columns=list(_COLUMNS),
            read_dictionary=["source"],
            page_checksum_verification=True,
        )
        table.validate(full=True)
    return Bank.build(
        _matrix(table, "flame", FLAME_WIDTH, where),
        _matrix(table, "aus", len(action_units), where),
        action_units,
        _sources(table, where),
        about,
        table.column("quality").to_numpy(),
        where,
    )


def write_bank(path: str | Path, bank: Bank) -> None:
    """Write a bank whole or not at all; equal banks give equal bytes.

    Raises:
        BankError: if the name does not end in .parquet, a text of the description is one that no
            bank holds, or the file cannot be written.
    """
    path = Path(path)
    check_bank_path(path)
    table = _table(bank)
    _read_about(table.schema.metadata, excerpt(path))
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, part):
            pq.write_table(
                table,
                part,
                compression="zstd",
                use_dictionary=False,
                version="2.6",
                write_page_checksum=True,  # so that a flipped bit is no other number
            )
    except (OSError, ValueError, pa.ArrowException) as error:
        raise BankError(f"{path} cannot be written: {first_line(error)}") from error


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


def _table(bank: Bank) -> pa.Table:
    quality = np.full(len(bank), np.nan, np.float32) if bank.quality is None else bank.quality
    columns = {
        "flame": _fixed_lists(bank.flame),
        "aus": _fixed_lists(bank.aus),
        "source": pa.array(bank.sources, type=pa.string()),
        "quality": pa.array(quality, type=pa.float32(), from_pandas=True),
    }
    metadata = {ABOUT_KEY: bank.about.to_json(bank.action_units)}
    return pa.table(columns).replace_schema_metadata(metadata)


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


def refuse_packed(metadata: pq.FileMetaData, path: Path) -> None:
    """Refuse a few bytes that would become very many.

    Raises:
        BankError: with both numbers.
    """
    meant = sum(
        metadata.row_group(group).column(place).total_uncompressed_size
        for group in range(metadata.num_row_groups)
        for place in range(metadata.num_columns)
    )
    if meant > LARGEST:
        raise BankError(
            f"{excerpt(path)} holds {path.stat().st_size:,} bytes that would become {meant:,}; at "
            f"most {LARGEST:,} are read"
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
