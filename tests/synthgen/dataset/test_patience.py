import errno
import logging
import pickle

import pytest
from aiohttp import ClientConnectionError, ServerDisconnectedError
from botocore.exceptions import EndpointConnectionError, NoCredentialsError, ReadTimeoutError
from gcsfs.retry import HttpError

from synthgen.dataset import RetryPolicy, Storage
from synthgen.dataset.retry import is_of_store, is_passing, pause
from synthgen.errors import DatasetError, OutputError

PASSING = [
    ConnectionResetError(),
    TimeoutError(),
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.ESTALE, "Stale file handle"),
    OSError(errno.EBUSY, "Please reduce your request rate."),
    EndpointConnectionError(endpoint_url="http://nowhere"),
    ReadTimeoutError(endpoint_url="http://nowhere"),
    ClientConnectionError(),
    ServerDisconnectedError(),
    HttpError({"code": 503, "message": "away"}),
    HttpError({"code": "429", "message": "slower"}),
]
LASTING = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    OSError(errno.EROFS, "Read-only file system"),
    PermissionError("Access Denied"),
    FileNotFoundError("The specified bucket does not exist"),
    NotADirectoryError(),
    NoCredentialsError(),
    HttpError({"code": 401, "message": "no"}),
    NotImplementedError(),
]


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now = 0.0
        self.pauses = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


def failing(times, error):
    left = [error] * times

    def attempt():
        if left:
            raise left.pop()
        return "done"

    return attempt


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_passes_is_tried_again(error):
    assert is_passing(error)
    assert is_of_store(error)


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_lasts_fails_at_once(error):
    assert not is_passing(error)
    assert is_of_store(error)
    clock = Clock()
    with pytest.raises(type(error)):
        RetryPolicy(300, clock.sleep, clock).call("write a", failing(1, error))
    assert clock.pauses == []


def test_a_defect_of_the_program_is_none_of_the_store():
    assert not is_of_store(TypeError("no"))
    assert not is_passing(TypeError("no"))


def test_pauses_double_with_a_jitter_that_is_the_same_each_time(caplog):
    clock = Clock()
    patience = RetryPolicy(300, clock.sleep, clock)
    with caplog.at_level(logging.WARNING):
        assert patience.call("write data/a", failing(10, ConnectionResetError("gone"))) == "done"
    assert clock.pauses == [pause("write data/a", number) for number in range(10)]
    for number, seconds in enumerate(clock.pauses):
        longest = min(0.5 * 2**number, 30)
        assert longest / 2 <= seconds < longest
    assert pause("write data/a", 3) != pause("write data/b", 3)
    assert caplog.messages == [
        "cannot write data/a now (gone); trying again for up to 300 s",
    ]


def test_patience_ends_with_a_last_attempt_at_its_end():
    clock = Clock()
    with pytest.raises(ConnectionResetError):
        RetryPolicy(10, clock.sleep, clock).call("write a", failing(99, ConnectionResetError()))
    assert clock.now == pytest.approx(10)


def test_patience_travels_between_processes():
    assert pickle.loads(pickle.dumps(RetryPolicy(5.0))) == RetryPolicy(5.0)


class AwayStorage(Storage):
    """A folder whose store is away for some calls."""

    def __init__(self, url, patience, away, error):
        super().__init__(url, patience)
        self._filesystem = Away(self._filesystem, away, error)


class Away:
    """A filesystem that raises before it does what it is asked for."""

    protocol = "away"
    async_impl = False

    def __init__(self, real, away, error):
        self._real = real
        self._away = [error] * away

    def __getattr__(self, name):
        def call(*args, **kwargs):
            if self._away and name != "invalidate_cache":
                raise self._away.pop()
            return getattr(self._real, name)(*args, **kwargs)

        return call


def away(tmp_path, times, error, seconds=300.0):
    clock = Clock()
    patience = RetryPolicy(seconds, clock.sleep, clock)
    return AwayStorage(str(tmp_path), patience, times, error), clock


def test_each_call_of_a_storage_waits_for_the_store(tmp_path):
    Storage(str(tmp_path)).write("a", b"one")
    calls = {
        "read": (lambda storage: storage.read("a"), b"one"),
        "look for": (lambda storage: storage.exists("a"), True),
        "list": (lambda storage: storage.names(), ["a"]),
        "write": (lambda storage: storage.write("a", b"one"), None),
        "delete": (lambda storage: storage.delete("a"), None),
    }
    for verb, (call, expected) in calls.items():
        storage, clock = away(tmp_path, 3, ConnectionResetError("gone"))
        assert call(storage) == expected
        assert len(clock.pauses) == 3, verb


def test_a_store_that_stays_away_is_named_with_its_cause(tmp_path):
    storage, _ = away(tmp_path, 99, ConnectionResetError("gone"), seconds=20)
    with pytest.raises(OutputError) as caught:
        storage.write("a", b"x")
    assert str(caught.value) == f"cannot write a in {tmp_path}: gone (tried again for 20 s)"
    with pytest.raises(DatasetError) as caught_reading:
        storage.read("a")
    assert str(caught_reading.value) == (
        f"cannot read a in {tmp_path}: gone (tried again for 20 s)"
    )


def test_a_store_that_refuses_is_not_asked_again(tmp_path):
    storage, clock = away(tmp_path, 1, PermissionError("Access Denied"))
    with pytest.raises(OutputError) as caught:
        storage.exists("a")
    assert str(caught.value) == f"cannot look for a in {tmp_path}: access Denied"
    assert clock.pauses == []
