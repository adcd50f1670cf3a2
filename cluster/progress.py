"""Progress of a run, for people: accepted a second, acceptance rate, time left."""

import sys
from typing import Self

from tqdm import tqdm

from synthgen.dataset import ShardMarker


class Progress:
    """A progress bar on standard error; a line every ten seconds where that is no terminal."""

    def __init__(self, samples: int, shards: int) -> None:
        self._samples = samples
        self._shards = shards
        self._before = self._kept = 0
        self._committed = 0
        self._bar: tqdm | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._show(self._kept)
            self._bar.close()

    def start(self, kept: int, committed: int) -> None:
        """Show the bar; `kept` samples in `committed` shards are there from before."""
        self._before = self._kept = kept
        self._committed = committed
        self._bar = tqdm(
            total=self._samples,
            initial=kept,
            unit=" accepted",
            dynamic_ncols=True,
            mininterval=0.5 if sys.stderr.isatty() else 10.0,
        )
        self._describe()

    def committed(self, marker: ShardMarker) -> None:
        """Take in a committed shard."""
        self._committed += 1
        self._kept += marker.rows
        self._describe()

    def tick(self, counts: dict[str, int]) -> None:
        """Take in the images judged and accepted by this run so far."""
        if self._bar is None:
            return
        judged, accepted = counts.get("judged", 0), counts.get("accepted", 0)
        if judged:
            self._bar.set_postfix_str(f"{accepted / judged:.0%} of images kept", refresh=False)
        self._show(min(self._before + accepted, self._samples))

    def _show(self, samples: int) -> None:
        if self._bar is not None:
            self._bar.update(samples - self._bar.n)

    def _describe(self) -> None:
        if self._bar is not None:
            self._bar.set_description(f"{self._committed}/{self._shards} shards", refresh=False)
