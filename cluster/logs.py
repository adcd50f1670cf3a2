"""Logs of a run: sentences for people, or one JSON object a line for programs.

What happens in a run is logged by the module where it happens, as a sentence with its event and
its facts beside it, so that a program need not read the sentence:

    _log.warning("train-00003 failed: …", extra={"event": "shard_failed", "shard": "train-00003"})

Names of facts: `shard` (split-number), `sample` (its id), `samples` (ids), `attempt`,
`replacement`, `actor`, `node`, `file`, `seconds`, `failures`. Events, and who logs them:

- worker: `shard_started`, `shard_finished`, `shard_failed`, `batch_failed`, `sample_failed`
- driver: `run_started`, `shard_committed`, `shard_failed`, `progress`, `run_finished`,
  `run_stopped`
- pool: `actor_hired`, `actor_loaded`, `actor_lost`, `actor_waiting`
- storage and lease: `storage_retry`, `lease_watched`, `lease_lost`, `lease_left`

What a line says, a foreign error's traceback too, passes `without_secrets`.
"""

import contextlib
import json
import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal

from tqdm import tqdm

from synthgen.foreign import without_secrets

LogFormat = Literal["text", "json"]

_PACKAGES = ("cluster", "pipelines", "samplers", "synthgen")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_about: ContextVar[Mapping[str, Any]] = ContextVar("about", default=MappingProxyType({}))


def log_to_terminal(form: LogFormat) -> None:
    """Log on standard error, above a progress bar: warnings as sentences, or all as JSON."""
    _set_up(_TerminalHandler(), form, logging.WARNING if form == "text" else logging.INFO)


def log_to_session(form: LogFormat) -> None:
    """Log everything on an actor's standard error, which Ray keeps in its session's log files."""
    _set_up(logging.StreamHandler(sys.stderr), form, logging.INFO)


@contextlib.contextmanager
def about(**facts: Any) -> Iterator[None]:
    """Add facts to whatever this thread logs inside, such as the shard that it works."""
    token = _about.set({**_about.get(), **facts})
    try:
        yield
    finally:
        _about.reset(token)


class JsonFormatter(logging.Formatter):
    """A line of JSON: time, level, event, message, the facts, the process, an error's traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        # Ray gives each record a private time of its own.
        given = {
            key: value
            for key, value in vars(record).items()
            if key not in _STANDARD and not key.startswith("_")
        }
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "event": given.pop("event", None),
            "message": record.getMessage(),
            **_about.get(),
            **given,
            "process": f"{socket.gethostname()}:{os.getpid()}",
            "logger": record.name,
            "error": self.formatException(record.exc_info) if record.exc_info else None,
        }
        said = {key: value for key, value in line.items() if value is not None}
        return without_secrets(json.dumps(said, ensure_ascii=False, default=str))


class TextFormatter(logging.Formatter):
    """Time of day where it is read, level, sentence; an error's traceback below."""

    def __init__(self) -> None:
        """Make the formatter."""
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        return without_secrets(super().format(record))


class _TerminalHandler(logging.Handler):
    """Writes above a progress bar instead of through it."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


def _set_up(handler: logging.Handler, form: LogFormat, level: int) -> None:
    """Give each of our packages this handler, in place of an earlier one of ours."""
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    for name in _PACKAGES:
        logger = logging.getLogger(name)
        ours = (JsonFormatter, TextFormatter)
        logger.handlers = [h for h in logger.handlers if not isinstance(h.formatter, ours)]
        logger.addHandler(handler)
        logger.setLevel(level)
