"""SIGTERM, by which Slurm, Kubernetes and `kill` end a process: as Ctrl-C, but for the code."""

import signal
import threading
from types import FrameType

EXIT_CODE = 128 + signal.SIGTERM
"""Exit code of a process that SIGTERM ended."""

_asked = threading.Event()


def end_as_by_ctrl_c() -> None:
    """Have SIGTERM raise `KeyboardInterrupt` in the main thread: whatever is held is given back.

    A second one changes nothing: what the first began goes on. What came before does not count.
    """
    _asked.clear()
    signal.signal(signal.SIGTERM, _interrupt)


def note() -> None:
    """Remember that SIGTERM came, for a handler that does not raise at once."""
    _asked.set()


def came() -> bool:
    """Tell whether SIGTERM has come."""
    return _asked.is_set()


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not _asked.is_set():
        _asked.set()
        raise KeyboardInterrupt
