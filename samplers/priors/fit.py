"""Fit a copula prior to labels, so that a distribution can be shared without its data."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from samplers.priors.au_sets import SetCounts
from samplers.priors.labels import LabelBatch
from synthgen.action_units import AU_COUNT, AUS, MAX_INTENSITY

FEW = 30
"""Rows with an active AU below which its numbers are uncertain."""

_STEPS_PER_LEVEL = 1000
_BINS = int(MAX_INTENSITY) * _STEPS_PER_LEVEL + 1
_QUANTILES = 21


@dataclass(slots=True)
class LabelCounts:
    """What is counted of labels, in memory that does not grow with their number.

    Attributes:
        rows: rows that were counted.
        sets: rows of each set of active AUs.
        histogram: rows of each intensity of each AU where active, in steps of 0.001.
        whole: whether each intensity so far is a whole number.
    """

    rows: int = 0
    sets: SetCounts = field(default_factory=lambda: SetCounts(AU_COUNT))
    histogram: Int64[np.ndarray, "aus bins"] = field(
        default_factory=lambda: np.zeros((AU_COUNT, _BINS), dtype=np.int64)
    )
    whole: bool = True

    @classmethod
    def of(cls, batches: Iterable[LabelBatch]) -> "LabelCounts":
        """Count the rows of labels."""
        counts = cls()
        for batch in batches:
            counts.add(batch)
        return counts

    def add(self, batch: LabelBatch) -> None:
        """Count some more rows."""
        active = batch.intensities != 0
        self.rows += len(active)
        self.sets.add(active)
        _, au = active.nonzero()
        values = batch.intensities[active]
        steps = np.rint(values * _STEPS_PER_LEVEL).astype(np.int64)
        places = np.bincount(au * _BINS + steps, minlength=AU_COUNT * _BINS)
        self.histogram += places.reshape(AU_COUNT, _BINS)
        self.whole = self.whole and bool((values == np.rint(values)).all())

    def together(self) -> Int64[np.ndarray, "aus aus"]:
        """Return the rows in which both AUs of each pair are active; the diagonal: each AU."""
        return self.sets.together()

    def levels(self, au: int) -> dict[str, int]:
        """Return the rows of each FACS level of an AU whose intensities are whole numbers."""
        return {
            level: int(self.histogram[au, number * _STEPS_PER_LEVEL])
            for number, level in enumerate("ABCDE", start=1)
        }

    def quantiles(self, au: int) -> Float64[np.ndarray, " quantiles"]:
        """Return the quantiles of an AU's intensity where active, at equal steps from 0 to 1.

        Each is the smallest intensity, in steps of 0.001, that the wanted share does not exceed.
        """
        below = np.cumsum(self.histogram[au])
        wanted = np.linspace(0, 1, _QUANTILES) * below[-1]
        return np.searchsorted(below, np.maximum(wanted, 0.5)) / _STEPS_PER_LEVEL


@dataclass(frozen=True)
class FittedPrior:
    """The numbers of a copula prior, from counts.

    Attributes:
        counts: what was counted.
        aus: AUs that the labels code.
        occurrence_only: those of them whose intensity is not coded.
        remarks: what is to be said of the labels, a sentence each.
    """

    counts: LabelCounts
    aus: tuple[str, ...]
    occurrence_only: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    @cached_property
    def active(self) -> dict[str, int]:
        """AU → rows in which it is active."""
        diagonal = self.counts.together().diagonal().tolist()
        return {au: diagonal[AUS.index(au)] for au in self.aus}

    @property
    def rates(self) -> dict[str, float]:
        """AU → share of rows in which it is active."""
        return {au: round(active / self.counts.rows, 6) for au, active in self.active.items()}

    def marginal(self, au: str) -> dict[str, Any]:
        """Return the entry of an AU: its rate and the distribution of its intensity."""
        marginal: dict[str, Any] = {"rate": self.rates[au]}
        if not self.active[au] or au in self.occurrence_only:
            return marginal
        place = AUS.index(au)
        if self.counts.whole:
            return marginal | {"levels": self.counts.levels(place)}
        return marginal | {"quantiles": self.counts.quantiles(place).tolist()}

    def joint(self) -> dict[str, float]:
        """Return the share of rows in which both AUs of each pair are active.

        A count at the end of what is possible is moved inwards by half a row: "never together" in
        n rows does not say that it cannot be. A pair with an AU that is always or never active is
        left out, since nothing is to be said of it.
        """
        rows, together = self.counts.rows, self.counts.together()
        varying = [au for au in self.aus if 0 < self.active[au] < rows]
        joint = {}
        for number, one in enumerate(varying):
            for other in varying[number + 1 :]:
                low = max(self.active[one] + self.active[other] - rows, 0)
                high = min(self.active[one], self.active[other])
                count = int(together[AUS.index(one), AUS.index(other)])
                share = min(max(count, low + 0.5), high - 0.5) / rows
                joint[f"{one}+{other}"] = self._rounded(share, one, other)
        return joint

    def warnings(self) -> tuple[str, ...]:
        """Return what a reader of the prior should know, a sentence each."""
        never = [au for au, active in self.active.items() if not active]
        few = [au for au, active in self.active.items() if 0 < active < FEW]
        found = list(self.remarks)
        if never:
            found.append(f"{', '.join(never)}: never active")
        if few:
            found.append(f"{', '.join(few)}: active in fewer than {FEW} rows; uncertain")
        return tuple(found)

    def _rounded(self, share: float, one: str, other: str) -> float:
        low = max(self.rates[one] + self.rates[other] - 1, 0.0)
        return min(max(round(share, 6), low), min(self.rates[one], self.rates[other]))
