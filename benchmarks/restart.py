"""Time until a run with 10,000 finished shards begins work again, and its memory.

The shards are finished by writing their markers and files of some bytes; then the real driver
continues the run, with a worker that stops it at the first shard that it is given.

Run: python benchmarks/restart.py [--shards 10000] [--s3] [--no-index] [--executor inline|ray]
With --executor ray a local Ray is started before, and the time includes the start of its actors.
With --s3 the dataset lies on a real S3 server on loopback (moto's, one process: it is what limits).
"""

import argparse
import contextlib
import hashlib
import io
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import ray

from cluster.driver import generate
from cluster.records import make_record
from cluster.worker import Worker
from samplers.plan import Plan, build_plan
from samplers.spec import Shard
from synthgen.config import RunConfig, dump_config, parse_config
from synthgen.dataset import FileStamp, MarkerIndex, ShardMarker, Storage, layout, open_run
from synthgen.errors import RunError

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))


def _file(rows: int) -> bytes:
    """Return a Parquet file of some rows: a run that goes on looks at footers."""
    buffer = io.BytesIO()
    pq.write_table(pa.table({"row": range(rows)}), buffer)
    return buffer.getvalue()


SHARD_SIZE = 100
STOP = "the first shard came at"
FILE = _file(SHARD_SIZE)
STAMP = FileStamp(hashlib.sha256(FILE).hexdigest(), len(FILE))
FINGERPRINT = {
    **{name: {} for name in ("pipeline", "verifier", "identity", "labels", "stores", "licences")},
    "hardware": "CPU",
}


class StoppingWorker(Worker):
    """A worker without models that ends the run at its first shard."""

    def __init__(self) -> None:
        """Load nothing."""

    def fingerprint(self) -> dict:
        """Return what the record of the run says."""
        return FINGERPRINT

    def work(self, shard: Shard, isolate: bool = False) -> ShardMarker:
        """End the run, and say when."""
        raise RunError(f"{STOP} {time.time()}")

    def counts(self) -> dict[str, int]:
        """Return that nothing was made."""
        return {"judged": 0, "accepted": 0}

    def stop(self) -> None:
        """Do nothing: nothing runs."""


def configuration(url: str, shards: int) -> RunConfig:
    """Return a run of one more shard than are finished."""
    return parse_config(
        {
            "name": "restart",
            "seed": 7,
            "samples": (shards + 1) * SHARD_SIZE,
            "output": {"path": url, "shard_size": SHARD_SIZE, "splits": {"train": 1.0}},
            "expressions": {"prior": "emotions", "categories": ["neutral", "happy"]},
            "identities": {
                "source": "prompts",
                "template": "a {person} with {hair} hair and {skin} skin",
                "slots": {
                    "person": ["man", "woman"],
                    "hair": ["black", "brown", "blond", "red", "gray"],
                    "skin": ["pale", "light", "tan", "brown", "dark"],
                },
                "expressions_per_identity": max(1, (shards + 1) * SHARD_SIZE // 40),
            },
            "pipeline": {"name": "procedural"},
        }
    )


def finish(config: RunConfig, plan: Plan, shards: int, indexed: bool) -> None:
    """Begin the run and finish its first shards; index them, as the driver does as it goes."""
    storage = Storage(config.output.path)
    planned = list(plan.shards())
    open_run(storage, make_record(config, plan, FINGERPRINT), dump_config(config), planned)
    filesystem = storage._filesystem
    markers = [_marker(shard) for shard in planned[:shards]]
    files: dict[str, bytes] = {}
    for marker in markers:
        files |= dict.fromkeys(marker.files, FILE) | {marker.name: marker.to_json()}
    paths = {storage._path(name): data for name, data in files.items()}
    for folder in {path.rpartition("/")[0] for path in paths} if storage.is_local else ():
        filesystem.makedirs(folder, exist_ok=True)
    filesystem.pipe(paths)
    if indexed:
        MarkerIndex(storage).keep({marker.key: marker for marker in markers})


def _marker(shard: Shard) -> ShardMarker:
    size = shard.stop - shard.start
    key = shard.split, shard.number
    names = layout.data_file(*key), layout.reject_file(*key)
    return ShardMarker(
        split=shard.split,
        number=shard.number,
        start=shard.start,
        stop=shard.stop,
        rows=size,
        attempts=2 * size,
        accepted=size,
        rejected={"active_error": size},
        errors=0,
        missing=(),
        seconds={"paint": 12.345, "measure": 2.345, "encode": 1.234, "write": 0.123},
        files=dict.fromkeys(names, STAMP),
    )


def load_stopping(config: RunConfig, plan: Plan) -> Worker:
    """Return a worker that ends the run."""
    return StoppingWorker()


def restart(config: RunConfig, executor: str) -> float:
    """Return the seconds from the driver's start to its first shard."""
    begin = time.time()
    try:
        generate(config, executor, load=load_stopping)
    except RunError as error:
        text, _, end = str(error).rpartition(" ")
        if text != STOP:
            raise
        return float(end) - begin
    raise RuntimeError("the run ended without a shard")


@contextlib.contextmanager
def output(on_s3: bool) -> Iterator[str]:
    """Yield an empty output."""
    if on_s3:
        from s3_server import s3_server

        with s3_server() as bucket:
            yield f"{bucket}/out"
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield f"{folder}/out"


def main() -> None:
    """Measure a restart."""
    parser = argparse.ArgumentParser(description="How long a restart takes.")
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--s3", action="store_true")
    parser.add_argument("--no-index", action="store_true")
    parser.add_argument("--executor", choices=["inline", "ray"], default="inline")
    arguments = parser.parse_args()
    with output(arguments.s3) as url:
        config = configuration(url, arguments.shards)
        finish(config, build_plan(config), arguments.shards, not arguments.no_index)
        if arguments.executor == "ray":
            ray.init(address="local", include_dashboard=False, logging_level="ERROR")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds = restart(config, arguments.executor)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    place = "S3" if arguments.s3 else "a local disk"
    print(
        f"{arguments.shards} finished shards on {place}, {arguments.executor}: work begins after "
        f"{seconds:.2f} s; the process holds {after / 1e3:.0f} MB at most, {before / 1e3:.0f} MB "
        "before"
    )


if __name__ == "__main__":
    main()
