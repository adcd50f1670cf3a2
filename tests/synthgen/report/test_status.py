import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tiny_markers import marker_of, write_marker, write_run

from synthgen.dataset import Storage, layout
from synthgen.dataset.lease import Holder
from synthgen.dataset.markers import ShortStratum
from synthgen.dataset.pace import measure_pace
from synthgen.errors import DatasetError
from synthgen.report.status import (
    DriverHeartbeat,
    Status,
    StatusReader,
    describe_status,
    read_status,
    status_json,
    watch_status,
)

SAD = ShortStratum(asked=2, accepted=0, images=5, rejected={"inactive": 4, "error": 1})


def _times(begin, seconds=10.0):
    at = datetime(2026, 11, 21, 9, tzinfo=UTC) + timedelta(seconds=begin)
    return {
        "started": at.isoformat(),
        "finished": (at + timedelta(seconds=seconds)).isoformat(),
        "worker": "node-1:7",
        "hardware": "CPU",
    }


def _status(**changes):
    marker = marker_of(0, seconds={"paint": 9.5, "measure": 2.0, "write": 0.1}, **_times(0))
    values = {
        "url": "out/small",
        "name": "small",
        "samples": 20,
        "rows": 4,
        "accepted": 4,
        "missing": 0,
        "shards": 6,
        "whole_shards": 1,
        "attempts": 5,
        "rejected": {"inactive": 1},
        "errors": 0,
        "hardware": ("CPU",),
        "pace": measure_pace([marker]),
        "since_last": 3.0,
        "heart": DriverHeartbeat("node-1:5", True, 2.0),
        "cost_per_hour": 3.6,
    }
    return Status(**{**values, **changes})


def test_a_running_run():
    assert describe_status(_status()).splitlines() == [
        "out/small: running, by node-1:5",
        "4 of 20 samples (20.0%), 1 of 6 shards",
        "5 images made, 80.0% accepted",
        "rejected: 1 inactive",
        "speed: 0.5 images/s by 1 worker over the last shards, 0.5 over all",
        "bottleneck: generate (busy: generate 95%, measure 20%, write 1% of the workers' time)",
        "cost: 2.5 per thousand accepted images (3.6 an hour, 0.00278 worker hours in whole "
        "shards)",
        "last shard: 3 s ago",
        "time left: 40 s",
    ]


def test_a_run_that_nobody_works_on_says_no_time_left():
    lines = describe_status(_status(heart=None, since_last=90_000.0)).splitlines()
    assert lines[0] == "out/small: not running; synthgen generate continues it"
    assert lines[-1] == "last shard: 1 d 1 h ago"


@pytest.mark.parametrize(
    ("heart", "says"),
    [
        (
            DriverHeartbeat("x", False, 0.0),
            "not running, x is gone; synthgen generate continues it",
        ),
        (DriverHeartbeat("x", None, 7.5), "held by x; no heartbeat in 8 s of waiting for one"),
    ],
)
def test_a_driver_that_is_silent(heart, says):
    status = _status(heart=heart)
    assert describe_status(status).splitlines()[0] == f"out/small: {says}"
    assert status.seconds_left is None


def test_a_whole_run_tells_what_it_lacks():
    status = _status(
        rows=18,
        accepted=17,
        missing=2,
        attempts=25,
        whole_shards=6,
        errors=1,
        hardware=("CPU", "NVIDIA H200"),
        cost_per_hour=None,
        short={"sad": SAD},
    )
    assert (status.finished, status.whole, status.running) == (True, False, False)
    assert describe_status(status).splitlines() == [
        "out/small: finished with less than was asked",
        "18 of 20 samples (90.0%), 6 of 6 shards",
        "25 images made, 68.0% accepted",
        "rejected: 1 inactive",
        "unaccepted: 1 samples hold the best of their attempts",
        "missing: 2 samples found no accepted image",
        "  sad: 2 short; 0 of 5 images accepted (4 inactive, 1 error)",
        "  strata not recorded: 1 short",
        "failed: 1 samples raised; see reason 'error' in rejects",
        "made on: CPU, NVIDIA H200",
        "speed: 0.5 images/s by 1 worker over the last shards, 0.5 over all",
        "bottleneck: generate (busy: generate 95%, measure 20%, write 1% of the workers' time)",
    ]


def test_a_run_before_its_first_shard(tmp_path):
    write_run(tmp_path)
    assert describe_status(read_status(str(tmp_path))).splitlines() == [
        f"{tmp_path}: not running; synthgen generate continues it",
        "0 of 20 samples (0.0%), 0 of 6 shards",
        "speed: no shard is whole yet",
    ]


def test_a_dataset_from_before_times_were_kept(tmp_path):
    write_marker(write_run(tmp_path), 0)
    assert describe_status(read_status(str(tmp_path))).splitlines()[-1] == "speed: not recorded"


def test_a_status_is_counted_from_the_markers(tmp_path):
    storage = write_run(tmp_path, cost_per_hour=3.6)
    write_marker(storage, 0, **_times(0))
    write_marker(storage, 1, rows=3, accepted=3, missing=("sample-00000009",), **_times(10))
    storage.write(".synthgen/shards/.tmp-0123456789abcdef-train-00002.json", b"{")
    storage.write("data/train-00002.parquet", b"half")
    status = read_status(str(tmp_path))
    assert (status.rows, status.accepted, status.missing) == (7, 7, 1)
    assert (status.whole_shards, status.shards, status.attempts) == (2, 6, 10)
    assert (status.rejected, status.hardware) == ({"inactive": 2}, ("CPU",))
    assert status.cost_per_thousand == pytest.approx(3.6 * 20 / 3600 / 7 * 1000)
    assert read_status(str(tmp_path), 7.2).cost_per_hour == 7.2


def test_a_shard_of_a_shorter_run_is_not_whole(tmp_path):
    storage = write_run(tmp_path)
    write_marker(storage, 2, stop=10, rows=2)
    assert read_status(str(tmp_path)).whole_shards == 1
    write_run(tmp_path, samples=24)
    status = read_status(str(tmp_path))
    assert (status.rows, status.whole_shards, status.shards) == (2, 0, 6)


class CountingStorage(Storage):
    """Counts what is read."""

    reads = 0

    def read(self, name):
        self.reads += 1
        return super().read(name)


def test_each_marker_is_read_once(tmp_path):
    write_marker(write_run(tmp_path), 0)
    storage = CountingStorage(str(tmp_path))
    reader = StatusReader(str(tmp_path), storage=storage)
    assert reader.read().rows == 4
    before = storage.reads
    assert reader.read().rows == 4
    assert storage.reads == before + 2
    write_marker(Storage(str(tmp_path)), 1)
    assert reader.read().rows == 8
    assert storage.reads == before + 5


def test_a_status_waits_for_a_heartbeat_of_another_machine(tmp_path):
    holder = replace(Holder.here(), place="other-boot/1")
    write_run(tmp_path).write(layout.LEASE, holder.to_json())
    heart = read_status(str(tmp_path), patience=0.01).heart
    assert heart is not None
    assert heart.beats is None
    assert heart.silence > 0.01


def test_a_run_is_watched_until_it_is_whole(tmp_path):
    storage = write_run(tmp_path, samples=8)
    seen = []

    def show(status):
        seen.append(status.whole_shards)
        split = ("train", "test")[len(seen) - 1] if len(seen) < 3 else "train"
        write_marker(storage, 0, split=split)

    watch_status(str(tmp_path), None, show, every=0.0)
    assert seen == [0, 1, 2]


def test_a_status_is_one_line_of_json():
    found = json.loads(status_json(_status(short={"sad": SAD})))
    assert (found["finished"], found["whole"]) == (False, False)
    assert found["short"]["sad"]["rejected"] == {"inactive": 4, "error": 1}
    assert list(found)[:4] == ["url", "name", "samples", "rows"]
    assert found["running"] is True
    assert found["whole"] is False
    assert found["driver"] == {"driver": "node-1:5", "beats": True, "silence": 2.0}
    assert found["seconds_left"] == 40.0
    assert found["stages"] == {"paint": 0.95, "measure": 0.2, "write": 0.01}
    assert found["held_back_by"] == "paint"
    nothing = json.loads(status_json(replace(_status(), pace=None, since_last=None, heart=None)))
    assert nothing["images_per_second"] is None
    assert nothing["driver"] is None


def test_there_is_no_status_where_there_is_no_dataset(tmp_path):
    with pytest.raises(DatasetError) as caught:
        read_status(str(tmp_path))
    assert str(caught.value) == f"there is no synthgen dataset in {tmp_path}: no .synthgen/run.json"
