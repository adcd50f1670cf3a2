"""The dataset on disk: shards, markers, the record of the run, the card, inspection."""

from synthgen.dataset.card import render_card, write_card
from synthgen.dataset.inspection import (
    Inspection,
    describe_inspection,
    inspect_dataset,
    sample_rows,
)
from synthgen.dataset.layout import ShardKey
from synthgen.dataset.lease import Lease
from synthgen.dataset.markers import FileStamp, MarkerIndex, ShardMarker, read_markers
from synthgen.dataset.opening import ShardRange, check_output, open_run, reached, remove_leftovers
from synthgen.dataset.retry import RetryPolicy
from synthgen.dataset.run_record import RunRecord, read_record
from synthgen.dataset.shards import ShardResult, commit_shard, verify_shard
from synthgen.dataset.sheet import contact_sheet, encode_png
from synthgen.dataset.statistics import AUStatistics, Statistics, read_statistics
from synthgen.dataset.storage import Storage

__all__ = [
    "AUStatistics",
    "FileStamp",
    "Inspection",
    "Lease",
    "MarkerIndex",
    "RetryPolicy",
    "RunRecord",
    "ShardKey",
    "ShardMarker",
    "ShardRange",
    "ShardResult",
    "Statistics",
    "Storage",
    "check_output",
    "commit_shard",
    "contact_sheet",
    "describe_inspection",
    "encode_png",
    "inspect_dataset",
    "open_run",
    "reached",
    "read_markers",
    "read_record",
    "read_statistics",
    "remove_leftovers",
    "render_card",
    "sample_rows",
    "verify_shard",
    "write_card",
]
