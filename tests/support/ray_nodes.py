"""A Ray cluster of several nodes on this machine, each a process group of its own.

It is started as users start theirs, with `ray start`, asks for a token, and takes jobs. Nothing of
it is set in this process's environment: commands get it from `environment`.
"""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

TOKEN = secrets.token_hex(32)
_START = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
_ROOM = ["--num-cpus=1", f"--object-store-memory={100 << 20}"]
_SECONDS = 180


class RayNodes:
    """A head and further nodes, of one CPU each; a context manager that leaves nothing running."""

    def __init__(self, nodes: int) -> None:
        # Ray's sockets lie below it, whose paths may have 107 characters.
        self._folder = tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp")
        self.port, self._dashboard = _free_port(), _free_port()
        self.address = f"http://127.0.0.1:{self._dashboard}"
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
        }
        for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN_PATH"):
            self.environment.pop(name, None)
        self._nodes = [self._start("--head", *self._head_ports())]
        self._await("the dashboard", self._answers)
        for _ in range(nodes - 1):
            self.add()
        self._await(f"{nodes} nodes", lambda: self.alive() == nodes)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for process in reversed(self._nodes):
            _kill(process)
        self._folder.cleanup()

    def add(self):
        """Add a node; it joins in its own time."""
        self._nodes.append(self._start(f"--address=127.0.0.1:{self.port}"))

    def alive(self):
        """Return how many nodes the cluster counts as alive."""
        request = urllib.request.Request(
            f"{self.address}/nodes?view=summary", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            nodes = json.load(answer)["data"]["summary"]
        return sum(node["raylet"].get("state") == "ALIVE" for node in nodes)

    def remove(self, number):
        """Pull a node's plug: everything of it is killed at once."""
        _kill(self._nodes.pop(number))

    def _head_ports(self):
        return (
            f"--port={self.port}",
            f"--dashboard-port={self._dashboard}",
            "--dashboard-host=127.0.0.1",
            f"--ray-client-server-port={_free_port()}",
        )

    def _start(self, *arguments):
        # Each has a folder of its own, as on machines of their own: a node unpacks a job's code
        # anew where another's lies, and deletes that first.
        folder = Path(self._folder.name) / secrets.token_hex(2)
        folder.mkdir()
        ports = [
            f"--temp-dir={folder}",
            "--node-ip-address=127.0.0.1",
            f"--dashboard-agent-listen-port={_free_port()}",
            "--min-worker-port=0",
            "--max-worker-port=0",
        ]
        with (folder / "start.log").open("wb") as output:
            return subprocess.Popen(
                [*_START, *_ROOM, *ports, *arguments],
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _answers(self):
        try:
            urllib.request.urlopen(f"{self.address}/api/version", timeout=5).close()
        except urllib.error.HTTPError:
            return True  # it asks for a token
        except OSError:
            return False
        return True

    def _await(self, what, there):
        deadline = time.monotonic() + _SECONDS
        while not there():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not come in {_SECONDS} s")
            time.sleep(0.2)


def node_of(process, nodes):
    """Return the node of a `Cluster` that a worker's process runs on: its raylet is its parent."""
    parent = psutil.Process(process).ppid()
    (node,) = [
        node
        for node in nodes
        if parent in [info.process.pid for info in node.all_processes["raylet"]]
    ]
    return node


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _kill(process):
    """Kill a node with all of its processes at once."""
    members = {process.pid, *_session(process.pid)}
    with contextlib.suppress(psutil.NoSuchProcess):
        members |= {child.pid for child in psutil.Process(process.pid).children(recursive=True)}
    for member in members:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
    process.wait()


def _session(leader):
    """Return the processes of a session: workers whose parent has gone are still in it."""
    members = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(process.pid) == leader:
                members.append(process.pid)
    return members
