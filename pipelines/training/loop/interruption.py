"""Ctrl-C between two steps, where a checkpoint can be written."""

import signal
import threading
from types import FrameType, TracebackType


class Interruption:
    """While it is entered, the first Ctrl-C is only noted; a second one raises at once.

    Outside of the main thread, where Python has no signals, it notes nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before = None

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
