"""Progress of a run, for people or for programs: what is settled, accepted and left."""

import logging
import sys
import time
from typing import Self

from tqdm import tqdm

from cluster.logs import LogFormat
from synthgen.dataset import ShardMarker

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
