from dataclasses import replace

import pytest

from synthgen.dataset import Storage, layout
from synthgen.dataset.lease import Holder
from synthgen.report.status import DriverHeartbeat, HeartbeatReader

ELSEWHERE = Holder("a" * 32, "node-1", 42, "other-boot/1", "7", "2026-11-21T09:00:00.5+00:00")
DRIVER = "process 42 on node-1, since 2026-11-21 09:00:00 UTC"


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path))


def _hold(storage, holder):
    storage.write(layout.LEASE, holder.to_json())


def test_nobody_holds_a_run_without_a_lease(storage):
    assert HeartbeatReader(storage).read() is None


def test_a_driver_of_this_machine_is_seen_at_once(storage, clock):
    here = Holder.here()
    _hold(storage, here)
    assert HeartbeatReader(storage, clock).read() == DriverHeartbeat(str(here), True, 0.0)


def test_a_driver_of_this_machine_is_seen_to_be_gone(storage, clock):
    gone = replace(Holder.here(), started="1")
    _hold(storage, gone)
    assert HeartbeatReader(storage, clock).read() == DriverHeartbeat(str(gone), False, 0.0)


def test_one_look_does_not_tell_whether_another_machines_driver_is_alive(storage, clock):
    _hold(storage, ELSEWHERE)
    assert HeartbeatReader(storage, clock).read() == DriverHeartbeat(DRIVER, None, 0.0)


def test_a_heartbeat_shows_that_it_is_alive_and_a_long_silence_that_it_is_gone(storage, clock):
    reader = HeartbeatReader(storage, clock)
    _hold(storage, ELSEWHERE)
    reader.read()
    clock.now += 5
    assert reader.read() == DriverHeartbeat(DRIVER, None, 5.0)
    _hold(storage, ELSEWHERE.next_beat())
    assert reader.read() == DriverHeartbeat(DRIVER, True, 0.0)
    clock.now += 30
    assert reader.read() == DriverHeartbeat(DRIVER, True, 30.0)
    clock.now += 1
    assert reader.read() == DriverHeartbeat(DRIVER, False, 31.0)


def test_a_lease_that_nobody_can_read_is_watched_too(storage, clock):
    storage.write(layout.LEASE, b"{")
    reader = HeartbeatReader(storage, clock)
    assert reader.read() == DriverHeartbeat("an unknown process", None, 0.0)
    clock.now += 31
    assert reader.read() == DriverHeartbeat("an unknown process", False, 31.0)


def test_a_lease_that_is_given_back_holds_nothing(storage, clock):
    reader = HeartbeatReader(storage, clock)
    _hold(storage, ELSEWHERE)
    reader.read()
    storage.delete(layout.LEASE)
    assert reader.read() is None
    _hold(storage, ELSEWHERE)
    assert reader.read() == DriverHeartbeat(DRIVER, None, 0.0)
