"""The first question to a store: answered within seconds, or a sentence that says who was asked."""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from synthgen.config.output import protocol_of
from synthgen.dataset import layout
from synthgen.dataset.filesystems import has_buckets, where_to_look, whom
from synthgen.dataset.patience import Patience
from synthgen.dataset.storage import Storage
from synthgen.errors import OutputError
from synthgen.foreign import excerpt

FIRST_ANSWER = 10.0
"""Longest wait for the first answer of a store [s]. A run that goes on has more patience."""

_ASK_AGAIN = 0.7
"""Share of it in which a store that fails is asked again, so that there is time to say why."""


def reached(url: str, patience: Patience | None = None) -> Storage:
    """Open a dataset's folder or URL, and see that its store answers; nothing is written.

    Args:
        url: a folder or a URL.
        patience: of the storage that is returned; the first question is asked for ten seconds
            at most.

    Raises:
        OutputError: if the URL is none of a dataset, the store does not answer in time or refuses,
            or the bucket does not exist.
        MissingDependencyError: if the protocol needs a package that is not installed.
    """
    if protocol_of(url) == "file":
        return Storage(url, patience)
    # Opening alone may ask for credentials over the network, and no package bounds all that it
    # does: so another thread asks, which nobody waits for at the end.
    seconds = patience.seconds if patience else 0.0
    brief = Patience(min(_ASK_AGAIN * FIRST_ANSWER, seconds))
    _within(FIRST_ANSWER, url, lambda: _ask(url, brief))
    return Storage(url, patience)


def _ask(url: str, patience: Patience) -> None:
    storage = Storage(url, patience, once=True)
    try:
        there = storage.has_bucket() if has_buckets(url) else True
        if there:
            storage.exists(layout.RUN)
    except OutputError as error:
        raise OutputError(f"{error}; {whom(url)} was asked: {where_to_look(url)}") from error
    if not there:
        bucket = storage.root.partition("/")[0]
        raise OutputError(f"{whom(url)} has no bucket {bucket}; {where_to_look(url)}")


def _within(seconds: float, url: str, ask: Callable[[], None]) -> None:
    answers: SimpleQueue[BaseException | None] = SimpleQueue()

    def run() -> None:
        try:
            ask()
            answers.put(None)
        except BaseException as error:
            answers.put(error)

    threading.Thread(target=run, name="first answer", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except Empty:
        raise OutputError(
            f"cannot reach {excerpt(url)}: {whom(url)} has not answered for {seconds:g} s; "
            f"{where_to_look(url)}"
        ) from None
    if answer is not None:
        raise answer
