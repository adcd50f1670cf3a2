import subprocess
import sys
import time
from dataclasses import replace

import pytest
from s3_server import s3_server
from tiny_dataset import CONFIG, PLAN, make_dataset, make_record

from synthgen.dataset import Lease, Storage, check_output, inspect_dataset, lease, open_run
from synthgen.dataset.lease import Holder, parse_holder, place, start_time
from synthgen.errors import OutputError, RunError

FILE = ".synthgen/lease.json"
AWAY = Holder("f" * 32, "node-7", 4242, "elsewhere/1", "99", "2031-02-03T04:05:06.000007+00:00")
SAID = "process 4242 on node-7, since 2031-02-03 04:05:06 UTC"


class Clock:
    """Time that passes only while somebody sleeps; at given moments something happens."""

    def __init__(self, events=None):
        self.now = 0.0
        self.events = events or {}

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        for moment in [moment for moment in self.events if moment <= self.now]:
            self.events.pop(moment)()


@pytest.fixture(params=["folder", "memory"])
def storage(request, tmp_path):
    url = str(tmp_path / "out") if request.param == "folder" else f"memory://{tmp_path}/out"
    return Storage(url)


def hold(storage, holder):
    storage.write(FILE, holder.to_json())


def make_lease(storage, clock, overwrite=False):
    return Lease(storage, overwrite=overwrite, sleep=clock.sleep, clock=clock)


def test_a_lease_names_its_holder_and_is_released_also_after_an_error(storage):
    with make_lease(storage, Clock()) as held:
        held.check()
        holder = parse_holder(storage.read(FILE))
        assert holder is not None
        assert holder.is_alive()
    assert not storage.exists(FILE)
    with pytest.raises(ZeroDivisionError), make_lease(storage, Clock()):
        raise ZeroDivisionError
    assert not storage.exists(FILE)


def test_a_heartbeat_counts_up_by_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT", 0.01)
    storage = Storage(str(tmp_path))
    with Lease(storage):
        deadline = time.monotonic() + 30
        while parse_holder(storage.read(FILE)).beat < 3:
            assert time.monotonic() < deadline


HOLDING = """
import sys, time
from synthgen.dataset import Lease, Storage
with Lease(Storage(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_living_process_of_this_machine_is_named_and_a_dead_one_is_replaced_at_once(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "held\n"
    storage, clock = Storage(str(tmp_path)), Clock()
    holder = parse_holder(storage.read(FILE))
    assert holder.pid == child.pid
    with pytest.raises(OutputError) as caught:
        make_lease(storage, clock, overwrite=True).look()
    assert str(caught.value) == (
        f"{tmp_path} is being written by another run ({holder}); wait for its end, or choose "
        "another output.path"
    )
    assert clock.now == 0
    child.kill()
    wait_for_end(child.pid)
    with make_lease(storage, clock, overwrite=True) as held:
        held.check()
    assert clock.now == lease.SETTLE
    child.wait()


def wait_for_end(pid):
    """Wait until a killed process is dead; nobody has asked for its exit code yet."""
    deadline = time.monotonic() + 30
    while start_time(pid) and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_number_that_another_process_bears_now_is_a_dead_process(tmp_path):
    storage, clock = Storage(str(tmp_path)), Clock()
    hold(storage, replace(AWAY, pid=1, place=place(), started="0"))
    with make_lease(storage, clock):
        assert clock.now == lease.SETTLE


def test_a_heartbeat_that_moves_is_another_run(storage):
    hold(storage, AWAY)
    clock = Clock({7: lambda: hold(storage, AWAY.next_beat())})
    with pytest.raises(OutputError) as caught:
        make_lease(storage, clock).look()
    assert str(caught.value) == (
        f"{storage.url} is being written by another run ({SAID}); wait for its end, or choose "
        "another output.path"
    )
    assert 7 <= clock.now <= 8
    assert storage.read(FILE) == AWAY.next_beat().to_json()


@pytest.mark.parametrize(
    "found",
    [
        AWAY,
        replace(AWAY, since="1999-01-01T00:00:00.000000+00:00"),
        replace(AWAY, place=f"{place().partition('/')[0]}/1", pid=1, started=start_time(1)),
        replace(AWAY, place=""),
        None,
    ],
    ids=["ahead", "behind", "another container", "unknown system", "half written"],
)
def test_a_heartbeat_that_stands_still_by_the_watchers_clock_is_replaced(storage, found):
    storage.write(FILE, found.to_json() if found else b'{"token": "f')
    clock = Clock()
    mine = make_lease(storage, clock)
    mine.look()
    assert clock.now == lease.STALE
    assert storage.read(FILE) != mine._mine.to_json()
    with mine:
        assert clock.now == lease.STALE + lease.SETTLE
    assert not storage.exists(FILE)


def test_a_lease_that_is_released_while_it_is_watched_is_free(storage):
    hold(storage, AWAY)
    clock = Clock({3: lambda: storage.delete(FILE)})
    with make_lease(storage, clock):
        assert clock.now < lease.STALE


def test_overwriting_does_not_replace_a_holder_that_may_still_write(storage):
    hold(storage, AWAY)
    with pytest.raises(OutputError) as caught:
        make_lease(storage, Clock(), overwrite=True).look()
    assert str(caught.value) == (
        f"{storage.url} was left by {SAID}, whose actors may still be writing; continue it "
        f"without --overwrite, or delete {FILE} there once they are gone"
    )


def test_of_two_that_replace_at_the_same_time_one_goes_on(storage):
    hold(storage, AWAY)
    other = replace(AWAY, token="e" * 32, host="node-8")
    clock = Clock(
        {
            lease.STALE + lease.SETTLE: lambda: hold(storage, other),
            lease.STALE + 9: lambda: hold(storage, other.next_beat()),
        }
    )
    with pytest.raises(OutputError, match=r"another run \(process 4242 on node-8"):
        make_lease(storage, clock).__enter__()
    assert storage.read(FILE) == other.next_beat().to_json()


def test_whoever_was_replaced_while_it_stood_still_stops_and_leaves_the_lease(storage):
    with make_lease(storage, Clock()) as held:
        hold(storage, AWAY)
        held.beat()
        with pytest.raises(RunError) as caught:
            held.check()
        assert str(caught.value) == (
            f"{storage.url} was taken over by another run ({SAID}) while this one stood still; "
            "what is committed stays"
        )
    assert storage.read(FILE) == AWAY.to_json()


def test_s3_decides_between_two_writers():
    with s3_server() as bucket:
        storage = Storage(f"{bucket}/out")
        assert storage.create("a", b"one")
        assert not storage.create("a", b"two")
        assert storage.create("a", b"one")
        assert not storage.replace("a", b"two", b"three")
        assert storage.replace("a", b"one", b"four")
        assert not storage.replace("b", b"", b"x")
        assert storage.read("a") == b"four"
        clock = Clock()
        with make_lease(storage, clock) as held:
            held.beat()
            held.check()
            assert parse_holder(storage.read(FILE)).beat == 1
        assert not storage.exists(FILE)


def test_a_held_dataset_is_ours_whole_and_begins_anew_under_its_lease(tmp_path):
    storage = make_dataset(str(tmp_path / "whole"))
    empty = Storage(str(tmp_path / "empty"))
    with Lease(storage), Lease(empty):
        assert inspect_dataset(storage.url).problems == ()
        check_output(empty, make_record().configuration, 8)
        assert open_run(empty, make_record(), CONFIG, PLAN) == {}
        assert open_run(storage, make_record(), CONFIG, PLAN, overwrite=True) == {}
        assert storage.exists(FILE)
