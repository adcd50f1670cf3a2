"""Ctrl-C, or SIGTERM, between two steps, where a checkpoint can be written."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from synthgen import termination


class Interruption:
    """While it is entered, the first Ctrl-C or SIGTERM is only noted; a second one raises at once.

    Outside of the main thread, where Python has no signals, it notes nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            termination.note()
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
