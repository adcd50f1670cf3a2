"""A process that measures by LibreFace's own package: started, asked, watched, begun again.

The package pins versions that clash with ours (torch 2.0, mediapipe 0.10.5), so that it runs in an
environment of its own. The process lives as long as who asks it. One that dies, or does not answer
in time, is replaced, and gets the batch again; a batch at which `TRIES` of them died is an error.
"""

import io
import json
import os
import signal
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from PIL.Image import Image

from synthgen.errors import ConfigError, WeightsError
from synthgen.foreign import excerpt, first_line

TRIES = 3
"""Processes that are given a batch before it is called one that cannot be measured."""

STARTING = 900.0
"""Longest start of a process, which loads torch and may fetch weights [s]."""

_CHILD = Path(__file__).with_name("package_child.py")

_RUN = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')"
"""Code that the other interpreter runs: the child without its folder, whose modules bear names of
others' (network, weights), on the path of imports."""

_LEFT_OUT = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""Variables that say where this environment's packages are."""

_ASK_VERSION = "import importlib.metadata; print(importlib.metadata.version('libreface'))"


class PackageError(RuntimeError):
    """A batch that LibreFace's package cannot measure; the text says why."""


@dataclass(frozen=True, slots=True)
class Found:
    """Findings of the package on one image.

    Attributes:
        faces: faces in it; 2 stands for several. Of other numbers than 1 it measures nothing.
        intensities: of the 12 AUs of DISFA, in order [0–5].
        detections: of the 12 AUs of `network.DETECTED_AUS`: 1 where it is there, else 0.
        expression: LibreFace's name of the expression.
    """

    faces: int
    intensities: tuple[float, ...] = ()
    detections: tuple[int, ...] = ()
    expression: str | None = None


class PackageProcess:
    """LibreFace's package in an environment of its own.

    Args:
        python: interpreter of the environment.
        weights: folder in which the package keeps its weights; it fetches what is missing.
        device: `cpu` or `cuda`.
        threads: threads of its torch, at least 1.
        patience: longest measuring of a batch [s].
    """

    def __init__(
        self,
        python: str,
        weights: Path,
        device: str = "cpu",
        threads: int = 1,
        patience: float = 120.0,
    ) -> None:
        self._python = python
        self._task = {"device": device, "weights": str(weights), "threads": threads}
        self._patience = patience
        self._turn = threading.Lock()
        self._child: _Child | None = None
        with self._turn:
            try:
                self._hello = self._started().hello
            except _DiedError as error:
                raise WeightsError(
                    f"LibreFace's package in the environment of {excerpt(python)} does not start: "
                    f"{error}"
                ) from error

    @property
    def versions(self) -> Mapping[str, str]:
        """The versions of the environment's packages that measurements may follow from."""
        return self._hello["versions"]

    @property
    def weights(self) -> tuple[Path, ...]:
        """The weight files that it has read."""
        return tuple(map(Path, self._hello["weights"]))

    def measure(self, images: Sequence[Image]) -> list[Found]:
        """Measure RGB images, each alone, in the order of the call.

        Raises:
            PackageError: if the package fails at an image, or `TRIES` processes died at the batch.
        """
        files = [_png(image) for image in images]
        line = json.dumps({"sizes": [len(file) for file in files]}).encode() + b"\n"
        with self._turn:
            said = self._answer(b"".join([line, *files]), len(images))
        if "error" in said:
            raise PackageError(f"LibreFace's package failed at an image: {excerpt(said['error'])}")
        return [_found(entry) for entry in said["found"]]

    def close(self) -> None:
        """End the process."""
        with self._turn:
            if self._child is not None:
                self._child.end()
                self._child = None

    def _answer(self, message: bytes, images: int) -> dict[str, Any]:
        """Ask a process, and another one where it dies."""
        died: _DiedError | None = None
        for _ in range(TRIES):
            try:
                return self._started().ask(message, self._patience)
            except _DiedError as error:
                died = error
                self._child = None
        raise PackageError(
            f"{TRIES} processes of LibreFace's package, one after another, ended at a batch of "
            f"{images} images; the last one: {died}"
        ) from died

    def _started(self) -> "_Child":
        if self._child is None:
            self._child = _Child(self._python, self._task)
        return self._child


class _DiedError(Exception):
    """A process ended, or was ended, before it had answered."""


class _Child:
    def __init__(self, python: str, task: Mapping[str, Any]) -> None:
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as the process does
        environment = {name: text for name, text in os.environ.items() if name not in _LEFT_OUT}
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the user's own interpreter
                [python, "-c", _RUN, str(_CHILD)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env=environment,
                # Ctrl-C is for us: what is measured then is still measured.
                start_new_session=True,
            )
        except OSError as error:
            raise _DiedError(error.strerror or first_line(error)) from error
        self.end = weakref.finalize(self, _end, self._process)
        self.hello = self.ask(json.dumps(task).encode() + b"\n", STARTING)

    def ask(self, message: bytes, patience: float) -> dict[str, Any]:
        """Send a message and return the answer.

        Raises:
            _DiedError: if the process ends first, or takes longer than it may.
        """
        sent, answers = self._process.stdin, self._process.stdout
        assert sent is not None  # noqa: S101 - a pipe, as the next
        assert answers is not None  # noqa: S101
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._process.kill()

        watch = threading.Timer(patience, give_up)
        watch.start()
        try:
            sent.write(message)
            sent.flush()
            line = answers.readline()
        except OSError:  # a broken pipe: how it ended is told below
            line = b""
        finally:
            watch.cancel()
        if line.endswith(b"\n"):
            return json.loads(line)
        self.end()
        raise _DiedError(self._ending(late.is_set(), patience))

    def _ending(self, late: bool, patience: float) -> str:
        if late:
            return f"it did not answer for {patience:g} s"
        code = self._process.returncode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._log.seek(0)
        lines = self._log.read()[-4096:].decode(errors="replace").strip().splitlines()
        return f"{how}, {excerpt(lines[-1])}" if lines else how


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        try:
            if pipe is not None:
                pipe.close()
        except OSError:  # what it had not read yet
            continue
    process.wait()


def find_package(python: str) -> str:
    """Return the version of LibreFace's package in an environment.

    Args:
        python: the environment's interpreter.

    Raises:
        ConfigError: if it is none, or LibreFace 0.2 is not installed there.
    """
    environment = {name: text for name, text in os.environ.items() if name not in _LEFT_OUT}
    wanted = "it must be the interpreter of an environment where libreface 0.2 is installed"
    try:
        done = subprocess.run(  # noqa: S603 - the user's own interpreter
            [python, "-c", _ASK_VERSION],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise ConfigError(
            f"python of the check 'libreface-package' is {excerpt(python)} ({reason}); {wanted}"
        ) from error
    version = done.stdout.strip()
    if done.returncode or not version.startswith("0.2."):
        there = f"libreface {excerpt(version)}" if not done.returncode else "no libreface"
        raise ConfigError(
            f"python of the check 'libreface-package' is {excerpt(python)}, which has {there}; "
            f"{wanted}"
        )
    return version


def _png(image: Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _found(said: Mapping[str, Any]) -> Found:
    if said["faces"] != 1:
        return Found(said["faces"])
    return Found(1, tuple(said["intensities"]), tuple(said["detections"]), str(said["expression"]))
