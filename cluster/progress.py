"""Progress of a run and its logs, for people or as JSON for programs.

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
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal, Self

from tqdm import tqdm

from synthgen.dataset import ShardMarker
from synthgen.redaction import without_secrets

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


_log = logging.getLogger(__name__)

_EVERY = 10.0
"""Time between two lines of progress where there is no terminal [s]."""


class Progress:
    """A progress bar on standard error, or events in a log of JSON lines.

    Where standard error is no terminal, the bar is a line every ten seconds.
    """

    def __init__(self, samples: int, shards: int, form: LogFormat = "text") -> None:
        """Begin before the first shard.

        Args:
            samples: samples of the run.
            shards: shards of the run.
            form: `text` for a bar, `json` for events.
        """
        self._samples = samples
        self._shards = shards
        self._form = form
        self._before = self._kept = 0
        self._committed = 0
        self._said = 0.0
        self._bar: tqdm | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._show(self._kept)
            self._bar.close()
        self._say("run_finished" if self._committed == self._shards else "run_stopped")

    def start(self, kept: int, committed: int) -> None:
        """Show the bar; `kept` samples in `committed` shards are there from before."""
        self._before = self._kept = kept
        self._committed = committed
        self._say("run_started")
        if self._form == "text":
            self._bar = self._new_bar()
        self._describe()

    def committed(self, marker: ShardMarker) -> None:
        """Take in a committed shard."""
        self._committed += 1
        self._kept += marker.rows
        self._describe()
        name = f"{marker.split}-{marker.number:05d}"
        _log.info(
            f"{name} is committed: {marker.rows} samples from {marker.attempts} images",
            extra={
                "event": "shard_committed",
                "shard": name,
                "rows": marker.rows,
                "attempts": marker.attempts,
                "worker": marker.worker,
            },
        )

    def tick(self, counts: dict[str, int]) -> None:
        """Take in the images judged and accepted by this run so far."""
        judged, accepted = counts.get("judged", 0), counts.get("accepted", 0)
        if time.monotonic() - self._said >= _EVERY:
            self._say("progress", judged=judged, accepted=accepted)
        if self._bar is None:
            return
        if judged:
            self._bar.set_postfix_str(f"{accepted / judged:.0%} of images kept", refresh=False)
        self._show(min(self._before + accepted, self._samples))

    def _new_bar(self) -> tqdm:
        return tqdm(
            total=self._samples,
            initial=self._kept,
            unit=" accepted",
            dynamic_ncols=True,
            mininterval=0.5 if sys.stderr.isatty() else _EVERY,
        )

    def _show(self, samples: int) -> None:
        if self._bar is not None:
            self._bar.update(samples - self._bar.n)

    def _describe(self) -> None:
        if self._bar is not None:
            self._bar.set_description(f"{self._committed}/{self._shards} shards", refresh=False)

    def _say(self, event: str, **counts: int) -> None:
        """Log how far the run is."""
        self._said = time.monotonic()
        _log.info(
            f"{self._kept} of {self._samples} samples in {self._committed} of {self._shards} "
            "whole shards",
            extra={
                "event": event,
                "samples_settled": self._kept,
                "samples_asked": self._samples,
                "shards_whole": self._committed,
                "shards": self._shards,
                **counts,
            },
        )
