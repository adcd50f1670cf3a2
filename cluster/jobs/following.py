"""Follow a job's log to its end."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from synthgen.errors import ConfigError

_PAUSE = 2.0
"""Pause before a log is asked for again [s]."""

_PATIENCE = 300.0
"""Time without an answer after which the dashboard counts as gone [s]."""

_FAILED = 1
_STOPPED = 130


def follow(client: Any, job: str, show: Callable[[str], None]) -> int:
    """Show a job's log while it runs, and return its exit code.

    The connection may break in between: what was shown is not shown again.

    Args:
        client: Ray's client for jobs.
        job: the job's id.
        show: takes pieces of the log as they come.

    Returns:
        The exit code of the job's command; 130 if somebody stopped it, 1 if the cluster lost it.

    Raises:
        ConfigError: if there is no such job, or the dashboard has been silent for five minutes.
    """
    log = _Log(show)
    heard = time.monotonic()
    while True:
        try:
            details = _details(client, job)
            ended = details.status.is_terminal()
            asyncio.run(_tail(client, job, log))
            heard = time.monotonic()
            if ended:
                return _exit_code(details, show)
        except (ConnectionError, OSError) as error:
            if time.monotonic() - heard > _PATIENCE:
                raise ConfigError(
                    f"the dashboard has been silent for {_PATIENCE:.0f} s while job {job} was "
                    "followed; whether it goes on is not known"
                ) from error
        time.sleep(_PAUSE)


class _Log:
    """Shows a log that is read from its beginning again and again, each character once."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._shown = self._seen = 0

    def begin(self) -> None:
        """Expect the log from its beginning."""
        self._seen = 0

    def take(self, piece: str) -> None:
        """Take in the next piece, and show what is new in it."""
        self._seen += len(piece)
        if self._seen > self._shown:
            self._show(piece[len(piece) - (self._seen - self._shown) :])
            self._shown = self._seen


def _details(client: Any, job: str) -> Any:
    try:
        return client.get_job_info(job)
    except RuntimeError as error:
        if "404" in str(error):
            raise ConfigError(f"there is no job {job!r} on this cluster") from error
        raise ConnectionError(str(error)) from error


async def _tail(client: Any, job: str, log: _Log) -> None:
    import aiohttp

    log.begin()
    try:
        async for piece in client.tail_job_logs(job):
            log.take(piece)
    except (RuntimeError, aiohttp.ClientError) as error:
        raise ConnectionError(str(error)) from error


def _exit_code(details: Any, show: Callable[[str], None]) -> int:
    if details.status == "SUCCEEDED":
        return 0
    if details.status == "STOPPED":
        return _STOPPED
    if details.driver_exit_code:
        return details.driver_exit_code
    show(f"the job failed: {details.message}\n")
    return _FAILED
