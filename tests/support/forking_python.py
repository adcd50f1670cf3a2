"""A Python that has imported the heavy packages already, and forks for each command.

Commands are processes of their own, with the files, the folder and the environment that they are
given, and without the seconds that importing torch, datasets and their like takes each time.
"""

import contextlib
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

_CLIENT = """#!{python} -IS
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
asked = dict(arguments={first} + sys.argv[1:], folder=os.getcwd(), environment=dict(os.environ))
socket.send_fds(server, [b"."], [0, 1, 2])
server.sendall(json.dumps(asked).encode())
server.shutdown(socket.SHUT_WR)
ended = int(server.recv(16))
if ended < 0:
    os.kill(os.getpid(), -ended)
sys.exit(ended)
"""
_HEAVY = (
    "cluster.driver",
    "datasets",
    "pandas",
    "pipelines.faceid",
    "pipelines.fineface",
    "pipelines.libreface",
    "synthgen.cli",
)


class ForkingPython:
    """The process that forks, and commands that ask it to.

    Args:
        folder: where the commands `python` and `synthgen` are written, to be put on a path.
        environment: variables of the process; those that a package reads as it is imported hold
            for all commands.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        folder.mkdir()
        address = str(folder / "socket")
        self._process = subprocess.Popen(
            [sys.executable, __file__, address], env=environment, stdout=subprocess.PIPE
        )
        assert self._process.stdout
        assert self._process.stdout.readline() == b"ready\n"
        self.command = folder / "python"
        for command, first in ((self.command, []), (folder / "synthgen", ["-m", "synthgen"])):
            command.write_text(_CLIENT.format(python=sys.executable, address=address, first=first))
            command.chmod(0o755)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def _serve(address: str) -> list[str]:
    """Fork for each command that is asked for; return its arguments, in its own process."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    while True:
        client, _ = listening.accept()
        if os.fork() == 0:
            break
        client.close()
    listening.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, files, _, _ = socket.recv_fds(client, 1, 3)
    asked = json.loads(client.makefile("rb").read())
    if child := os.fork():
        for file in files:
            os.close(file)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with contextlib.suppress(BrokenPipeError):
            client.sendall(str(ended).encode())
        os._exit(0)
    client.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin = sys.__stdin__ = os.fdopen(0, closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(
        2, "w", buffering=1, errors="backslashreplace", closefd=False
    )
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    return asked["arguments"]


def _run(arguments: list[str]) -> None:
    """Do as Python does with these arguments."""
    match arguments:
        case ["-c", code, *rest]:
            sys.argv, sys.path[0] = ["-c", *rest], ""
            main = sys.modules["__main__"] = ModuleType("__main__")
            exec(compile(code, "<string>", "exec"), main.__dict__)
        case ["-m", module, *rest]:
            sys.argv, sys.path[0] = [module, *rest], os.getcwd()
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case _:
            os.execv(sys.executable, [sys.executable, *arguments])


if __name__ == "__main__":
    for name in _HEAVY:
        importlib.import_module(name)
    _run(_serve(sys.argv[1]))
