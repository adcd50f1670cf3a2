"""Faults at three moments of a run in one process: each changes no byte.

Those of actors, nodes and whole drivers are in `test_fault_matrix_ray.py`.
"""

import errno
import os
import re
import shutil
import subprocess
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from faults import (
    MOMENTS,
    NAMES,
    SHARDS,
    Clock,
    Disturbed,
    Remembering,
    assert_nothing_half,
    assert_whole,
    committed,
    disturb,
    poisonous,
    small_run,
    undisturbed_run,
)
from held_workers import Gates, InThread

from cluster.driver import generate
from pipelines.libreface import LibreFaceVerifier
from pipelines.libreface.check import ActionUnitCheck
from synthgen.dataset import Lease, Storage, layout, lease, read_markers, retry, whole_files
from synthgen.dataset.lease import Holder, parse_holder, start_time
from synthgen.errors import OutputError, RunError

at_each_moment = pytest.mark.parametrize("moment", MOMENTS, ids=NAMES)
FUTURE, PAST = "2099-12-31T23:59:59.999999+00:00", "1999-01-01T00:00:00.000000+00:00"


@pytest.fixture(scope="module", autouse=True)
def remembering():
    """Load the verifier once, and measure the same batch once."""
    reader = Remembering(LibreFaceVerifier.from_pretrained("mini"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "held_workers.load_checks",
            lambda config, device: [ActionUnitCheck(reader, config.verify.checks[0].policy)],
        )
        yield


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Return what the run gives when nothing happens."""
    return undisturbed_run(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(autouse=True)
def writing_as_before(monkeypatch):
    """Undo after each test what the gates `half` change in this process."""
    monkeypatch.setattr(whole_files, "_write", whole_files._write)


def undisturbed_load(folder):
    return Gates(folder / "no gates", []).loader()


@at_each_moment
def test_a_batch_that_raises(expected, tmp_path, monkeypatch, moment):
    config = small_run(tmp_path / "out", max_failures=1)
    raised = []

    def happen():
        raised.append(committed(config))
        assert_nothing_half(config, expected)
        raise ValueError("these samples do not go together")

    source = poisonous(moment.shard, happen)
    monkeypatch.setattr("pipelines.procedural.source.ProceduralSource", source)
    moment = moment.at("data")
    stops = [f"{moment.shard}:begin", *moment.stops]
    run = disturb(tmp_path, moment, config, "inline", stops=stops)
    assert len(raised) >= 2  # as a whole, and then before it was made sample by sample
    assert set(raised) == {moment.committed}
    assert run.result() == expected.summary
    assert_whole(config, expected)


class Disk:
    """A disk that refuses what is written, with half of it on it, for as long as is said."""

    def __init__(self, code):
        self._code = code
        self._left = 0
        self._fsync = os.fsync
        self._lock = threading.Lock()
        self.refused = 0

    def refuse(self, times):
        self._left = times

    def fsync(self, handle):
        with self._lock:
            refuses = self._left > 0
            self._left -= refuses
            self.refused += refuses
        if refuses and os.path.isfile(f"/proc/self/fd/{handle}"):
            os.ftruncate(handle, os.fstat(handle).st_size // 2)
        if refuses:
            raise OSError(self._code, os.strerror(self._code))
        self._fsync(handle)


@at_each_moment
def test_a_store_that_fails_for_a_while(expected, tmp_path, monkeypatch, moment):
    monkeypatch.setattr(retry, "_FIRST_PAUSE", 0.001)
    disk = Disk(errno.EIO)
    monkeypatch.setattr(os, "fsync", disk.fsync)
    config = small_run(tmp_path / "out")
    run = disturb(tmp_path, moment, config, "inline")
    disk.refuse(7)
    assert run.result() == expected.summary
    assert disk.refused == 7
    assert_whole(config, expected)


@at_each_moment
def test_a_disk_that_is_full_until_there_is_room(expected, tmp_path, monkeypatch, moment):
    disk = Disk(errno.ENOSPC)
    config = small_run(tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", disk.fsync)
        run = disturb(tmp_path, moment, config, "inline")
        disk.refuse(1000)
        with pytest.raises(RunError) as caught:
            run.result()
    assert re.fullmatch(
        rf"cannot write \S+ in {re.escape(config.output.path)}: no space left on device; "
        rf"{moment.committed} of 4 shards are committed: mend this, and run again to continue",
        str(caught.value),
    )
    assert_nothing_half(config, expected)
    assert committed(config) == moment.committed
    assert left_behind(config) == []
    summary = generate(config, "inline", load=undisturbed_load(tmp_path))
    assert summary == expected.summary
    assert_whole(config, expected)


def left_behind(config):
    """Return the temporary files and the lease that are there."""
    storage = Storage(config.output.path)
    names = [name for folder in layout.FOLDERS for name in storage.names(folder)]
    return [name for name in names if layout.is_temporary(name) or name == layout.LEASE]


@at_each_moment
@pytest.mark.parametrize("place", ["here", "elsewhere"])
def test_a_second_driver(expected, tmp_path, monkeypatch, moment, place):
    monkeypatch.setattr(lease, "BEAT", 0.01)
    monkeypatch.setattr(lease, "_LOOK", 0.02)
    parent = os.getppid()
    first = replace(Holder.here(), pid=parent, started=start_time(parent))
    if place == "elsewhere":
        first = replace(first, host="node-7", place="another boot/1")
    config = small_run(tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(Holder, "here", lambda: first)
        run = disturb(tmp_path, moment, config, "inline")
    with pytest.raises(OutputError) as caught:
        generate(config, "inline", load=must_not_load)
    assert str(caught.value) == (
        f"{config.output.path} is being written by another run ({first}); wait for its end, or "
        "choose another output.path"
    )
    assert_nothing_half(config, expected)
    assert run.result() == expected.summary
    assert_whole(config, expected)


def must_not_load(config, plan):
    raise AssertionError("a driver that is refused loads nothing")


@pytest.fixture(scope="module")
def left_by_dead_drivers(tmp_path_factory, expected):
    """Return what a driver leaves that dies at each of the moments: number → folder."""
    folder = tmp_path_factory.mktemp("dying")
    config = small_run(folder / "out")
    gates = Gates(folder / "gates", sorted({stop for each in MOMENTS for stop in each.stops}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole_files, "_write", whole_files._write)
        patch.setattr(lease, "BEAT", 600.0)  # nothing is written while a folder is copied
        load = gates.loader()
        run = InThread(lambda: generate(config, "inline", load=load))
        for number, moment in enumerate(MOMENTS):
            Disturbed(moment, gates, config, run)
            assert_nothing_half(config, expected)
            shutil.copytree(config.output.path, folder / str(number))
            later = {stop for each in MOMENTS[number + 1 :] for stop in each.stops}
            for stop in set(moment.stops) - later:
                gates.open(stop)
        run.result()
    assert_whole(config, expected)
    return lambda moment: folder / str(MOMENTS.index(moment))


@pytest.fixture
def clock(monkeypatch):
    """Return the clock of the driver's lease."""
    clock = Clock()
    monkeypatch.setattr("cluster.driver.Lease", partial(Lease, sleep=clock.sleep, clock=clock))
    return clock


def dead_process():
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def change_holder(storage, **changes):
    holder = replace(parse_holder(storage.read(layout.LEASE)), **changes)
    storage.write(layout.LEASE, holder.to_json())


@at_each_moment
@pytest.mark.parametrize("place", ["here", "elsewhere"])
def test_a_dead_driver(expected, left_by_dead_drivers, tmp_path, clock, moment, place):
    config = small_run(tmp_path / "out")
    shutil.copytree(left_by_dead_drivers(moment), config.output.path)
    elsewhere = {"host": "node-7", "place": "another boot/1"} if place == "elsewhere" else {}
    change_holder(Storage(config.output.path), pid=dead_process(), **elsewhere)
    summary = generate(config, "inline", load=undisturbed_load(tmp_path))
    assert summary == expected.summary
    assert clock.now == lease.SETTLE + (lease.STALE if elsewhere else 0)
    assert_whole(config, expected)


@at_each_moment
def test_clocks_that_disagree(expected, left_by_dead_drivers, tmp_path, clock, moment):
    config = small_run(tmp_path / "out")
    shutil.copytree(left_by_dead_drivers(moment), config.output.path)
    storage = Storage(config.output.path)
    change_holder(storage, host="node-7", place="another boot/1", since=FUTURE)
    for number, marker in enumerate(read_markers(storage).values()):
        started, finished = [(FUTURE, PAST), (PAST, FUTURE)][number % 2]
        changed = replace(marker, started=started, finished=finished)
        storage.write(marker.name, changed.to_json())
    for number, path in enumerate(sorted(Path(config.output.path).rglob("*"))):
        os.utime(path, [(0, 0), (2**32, 2**32)][number % 2])
    summary = generate(config, "inline", load=undisturbed_load(tmp_path))
    assert summary == expected.summary
    assert clock.now == lease.STALE + lease.SETTLE
    assert summary.pace is not None
    assert summary.pace.worker_seconds >= 0
    assert_whole(config, expected)


def test_the_matrix_knows_the_shards_of_its_run(expected):
    assert sorted(expected.digests) == sorted(
        f"{folder}/{shard}.parquet" for folder in ("data", "rejects") for shard in SHARDS
    )
