"""The dataset that is exported: whole, at rest, and with names that files may bear."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np

from synthgen.config.run import run_id_of
from synthgen.dataset import layout
from synthgen.dataset.damage import telling_damage
from synthgen.dataset.lease import Lease
from synthgen.dataset.markers import ShardMarker, read_markers
from synthgen.dataset.merging.sources import PATIENCE, Source
from synthgen.dataset.opening import reached
from synthgen.dataset.parquet import read_columns
from synthgen.dataset.retry import RetryPolicy
from synthgen.dataset.run_record import RunRecord, read_record
from synthgen.dataset.schema import DATA_VERSION, Feature, data_features
from synthgen.dataset.shards import verify_shard
from synthgen.dataset.statistics import in_order_of_splits
from synthgen.dataset.storage import Storage
from synthgen.errors import DatasetError
from synthgen.foreign import excerpt, first_few
from synthgen.redaction import without_secrets

_FILE_NAME = re.compile(r"\w[\w-]{0,119}", re.ASCII)
"""Sample ids that may name a file: no dots, which end a key of WebDataset's, and no slashes."""

_SHOWN = 3


def open_source(url: str, partial: bool = False) -> Source:
    """Open a dataset that is to be exported.

    Args:
        url: folder or URL.
        partial: take what an unfinished run has finished.

    Returns:
        The dataset with those of its shards that have rows, in the order of its splits.

    Raises:
        DatasetError: if it is no dataset of ours, a run is writing it, its run is not finished, or
            it has no row.
        OutputError: if the store does not answer.
    """
    storage = reached(url, RetryPolicy(PATIENCE))
    record = read_record(storage)
    refuse_written(storage)
    markers = in_order_of_splits(record, read_markers(storage).values())
    if not partial:
        refuse_unfinished(storage, record, markers)
    kept = tuple(marker for marker in markers if marker.rows)
    if not kept:
        raise DatasetError(f"{without_secrets(url)} holds no finished sample; nothing to export")
    name = str(record.configuration.get("name") or PurePosixPath(storage.root).name)
    return Source(name, storage, record, run_id_of(record.configuration), kept)


def refuse_written(storage: Storage) -> None:
    """Refuse a dataset that a run is writing now.

    Raises:
        OutputError: if a run holds its lease, and is alive.
    """
    Lease(storage, otherwise="stop it: finished shards stay").look()


def refuse_unfinished(
    storage: Storage,
    record: RunRecord,
    markers: Iterable[ShardMarker],
    or_else: str = ", or --partial takes what is there",
) -> None:
    """Refuse a dataset whose run has not worked all of its samples.

    Args:
        storage: the dataset.
        record: its record.
        markers: its finished shards.
        or_else: what else a user may do.

    Raises:
        DatasetError: if samples are left to be worked.
    """
    done = sum(marker.stop - marker.start for marker in markers)
    if done != record.samples:
        raise DatasetError(
            f"{without_secrets(storage.url)} is not finished: its run has {done} of "
            f"{record.samples} samples; `synthgen generate` with its configuration makes the others"
            f"{or_else}"
        )


def fingerprint(markers: Iterable[ShardMarker]) -> str:
    """Return the SHA-256 of the names and checksums of the data files, in their order."""
    digest = hashlib.sha256()
    for marker in markers:
        name = layout.data_file(*marker.key)
        digest.update(f"{name} {marker.files[name].sha256}\n".encode())
    return digest.hexdigest()


def all_features(source: Source, au_columns: bool = False) -> dict[str, Feature]:
    """Return the columns of an export: those of the rows, and those in plain values that are due.

    Args:
        source: the dataset.
        au_columns: give each AU of the vectors a column of its own, whatever the dataset has.
    """
    schema = source.record.schema
    return data_features(
        replace(schema, au_columns=au_columns or schema.au_columns, data_version=DATA_VERSION)
    )


def verify(source: Source, marker: ShardMarker) -> None:
    """Compare a shard's files with their checksums.

    Raises:
        DatasetError: if one is not what its marker says.
    """
    for problem in verify_shard(source.storage, marker):
        raise DatasetError(
            f"{source.url} is not whole: {problem}; `synthgen generate` with its configuration "
            "makes the shard again"
        )


def check_ids(source: Source) -> None:
    """Refuse sample ids that are no names of files, or that two rows bear.

    Eight bytes of each row are kept.

    Raises:
        DatasetError: if there is one.
    """
    hashes: list[np.ndarray] = []
    for marker in source.markers:
        name = layout.data_file(*marker.key)
        for ids in _ids(source, marker):
            for sample_id in ids:
                if sample_id is None or not _FILE_NAME.fullmatch(sample_id):
                    raise DatasetError(
                        f"{name} of {source.url} has the sample id {excerpt(sample_id, 60)!r}, "
                        "which can name no file: letters, digits, - and _ are allowed"
                    )
            hashes.append(np.array([_short_hash(sample_id) for sample_id in ids], np.uint64))
    found, counts = np.unique(np.concatenate(hashes), return_counts=True)
    if (doubled := found[counts > 1]).size:
        raise DatasetError(
            f"{source.url} has {doubled.size} sample ids that stand more than once (such as "
            f"{_named(source, set(doubled[:_SHOWN].tolist()))}); `synthgen inspect` lists them"
        )


def _ids(source: Source, marker: ShardMarker) -> list[list[str]]:
    name = layout.data_file(*marker.key)
    with telling_damage(source.storage, marker):
        batches = read_columns(source.storage, name, ["sample_id"])
        return [batch.column(0).to_pylist() for batch in batches]


def _short_hash(sample_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(sample_id.encode(), digest_size=8).digest(), "little")


def _named(source: Source, hashes: set[int]) -> str:
    found: dict[str, None] = {}
    for marker in source.markers:
        for ids in _ids(source, marker):
            found.update(dict.fromkeys(one for one in ids if _short_hash(one) in hashes))
    return first_few(list(found), _SHOWN)
