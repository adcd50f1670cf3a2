import json
from datetime import UTC, datetime, timedelta

import pytest

from synthgen.dataset import Storage
from synthgen.errors import DatasetError
from synthgen.report.heart import Heart, HeartReader

LEASE = ".synthgen/lease.json"


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def _beat(storage, ago=0.0):
    at = datetime.now(UTC) - timedelta(seconds=ago)
    storage.write(LEASE, json.dumps({"holder": "node-1:42", "time": at.isoformat()}).encode())


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path))


def test_nobody_holds_a_run_without_a_lease(storage):
    assert HeartReader(storage).read() is None


def test_one_look_at_a_lease_of_this_minute_shows_a_driver(storage):
    _beat(storage, ago=5)
    heart = HeartReader(storage).read()
    assert heart is not None
    assert (heart.driver, heart.beats) == ("node-1:42", True)
    assert heart.silence == pytest.approx(5, abs=3)


def test_one_look_at_an_old_lease_tells_nothing(storage):
    _beat(storage, ago=600)
    heart = HeartReader(storage).read()
    assert heart is not None
    assert heart.beats is None
    assert heart.silence == pytest.approx(600, abs=3)


def test_a_lease_that_changes_is_held_whatever_the_clocks_say(storage):
    clock = Clock()
    reader = HeartReader(storage, clock)
    _beat(storage, ago=7200)
    assert reader.read().beats is None
    _beat(storage, ago=7195)
    clock.now += 5
    assert reader.read() == Heart("node-1:42", True, 0.0)
    clock.now += 61
    assert reader.read() == Heart("node-1:42", False, 61.0)


def test_a_lease_that_stands_still_is_not_held(storage):
    clock = Clock()
    reader = HeartReader(storage, clock)
    _beat(storage)
    assert reader.read().beats is True
    clock.now += 61
    assert reader.read() == Heart("node-1:42", False, 61.0)


def test_a_corrupt_lease_is_named(storage):
    storage.write(LEASE, b"{}")
    with pytest.raises(DatasetError) as caught:
        HeartReader(storage).read()
    assert str(caught.value) == (f"{LEASE} is corrupt (no 'holder'); delete it if no driver runs")
