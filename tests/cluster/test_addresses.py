import contextlib
import logging
import socket
import threading

import pytest

from cluster import addresses
from cluster.addresses import Address, check_answers, meant, telling_of_silence
from cluster.jobs import connect as connect_to_dashboard
from synthgen.errors import ConfigError

LOCAL_INSTEAD = "for a Ray of this machine's own add --set cluster.address=local"


@contextlib.contextmanager
def listening(answer=None):
    """Listen on a port; answer nothing, or hang up after an answer. Yields the address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                connection.recv(1000)
                connection.sendall(answer)
                connection.close()

        if answer is not None:
            threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def refused(text, source="cluster.address"):
    with pytest.raises(ConfigError) as error:
        check_answers(Address(text, source))
    return str(error.value)


@pytest.mark.parametrize(
    ("asked", "environment", "text", "source"),
    [
        (None, None, "local", "cluster.address"),
        (None, "", "local", "cluster.address"),
        (None, "head:1", "head:1", "RAY_ADDRESS in the environment"),
        ("auto", "head:1", "head:1", "RAY_ADDRESS in the environment"),
        ("auto", None, "auto", "cluster.address"),
        ("local", "head:1", "local", "cluster.address"),
        ("other:2", "head:1", "other:2", "cluster.address"),
    ],
)
def test_which_cluster_is_meant(monkeypatch, asked, environment, text, source):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if environment is not None:
        monkeypatch.setenv("RAY_ADDRESS", environment)
    assert meant(asked) == Address(text, source)


def test_a_stale_address_of_the_environment_is_named_with_the_way_out(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(ConfigError) as error:
        check_answers(meant(None))
    assert str(error.value) == (
        "no Ray cluster answers at '127.0.0.1:9' (RAY_ADDRESS in the environment): [Errno 111] "
        "Connection refused; for a Ray of this machine's own unset RAY_ADDRESS, or add --set "
        "cluster.address=local"
    )


def test_what_listens_and_is_silent_is_told_of_and_given_up(monkeypatch, caplog):
    monkeypatch.setattr(addresses, "PATIENCE", 0.4)
    monkeypatch.setattr(addresses, "_SILENCE", 0.1)
    with listening() as address, telling_of_silence(f"the Ray cluster at {address}", "wait"):
        assert refused(address) == (
            f"no Ray cluster answers at '{address}' (cluster.address): timed out; {LOCAL_INSTEAD}"
        )
    assert caplog.messages == [
        f"no answer yet from the Ray cluster at {address}, which is tried for 0 s; wait"
    ]


def test_who_answers_in_time_is_not_told_of(caplog):
    caplog.set_level(logging.INFO)
    with telling_of_silence("a cluster", "wait"):
        pass
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.0 400 Bad request\r\n\r\n", "what listens there is no Ray"),
        (b"", "it hangs up"),
    ],
)
def test_what_listens_there_may_be_no_ray(answer, why):
    with listening(answer) as address:
        assert refused(address) == (
            f"no Ray cluster answers at '{address}' (cluster.address): {why}; {LOCAL_INSTEAD}"
        )


def test_a_server_of_grpc_answers():
    with listening(b"\0\0\0\4\0\0\0\0\0") as address:
        check_answers(Address(address, "cluster.address"))


def test_a_url_is_no_address():
    assert refused("http://head:8265") == (
        "'http://head:8265' (cluster.address) is no address of a Ray cluster (it is a URL); it "
        "must be 'auto', 'local' or such as head:6379"
    )


def test_a_dashboard_that_is_silent_is_given_up(monkeypatch):
    monkeypatch.setattr("cluster.jobs.client.PATIENCE", 0.3)
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    with listening() as address, pytest.raises(ConfigError) as error:
        connect_to_dashboard(f"http://{address}")
    assert str(error.value) == (
        f"--address: no Ray dashboard answers at http://{address}; the head node prints its "
        "address, and needs --dashboard-host=0.0.0.0 to be reached from elsewhere"
    )
