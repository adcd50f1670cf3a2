"""Scales of AU values: which one a table is on, found from its values, and from there to 0–5."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from samplers.priors.au_sets import SetCounts
from synthgen.action_units import MAX_INTENSITY

Scale = Literal[5, 1, 100, "occurrence"]
"""5, 1 and 100: intensities from 0 to that number. occurrence: 0 absent, 1 present."""

USUAL_CODES = (9.0, 99.0, 999.0, 9999.0, -1.0, -2.0, -9.0, -99.0, -999.0, -9999.0)
"""Numbers that people write where an AU was not coded; they say nothing of a scale."""

CODED_FROM = 0.5
"""Share of the rows from which an AU counts as coded."""

_SLACK = 0.1
"""Share of a scale by which an unclamped network may miss it: half a level of 0–5."""

_NEARLY_ONE = 1.05
"""Largest value of a table on 0–1; above it a table on 0–5 is likelier."""

_BEYOND = MAX_INTENSITY * (1 + _SLACK)

_BOUNDS = (0.5, 1.0, MAX_INTENSITY, _BEYOND, 100.0)

_PERCENT_FROM = 20.0
"""Largest value from which a table may be on 0–100; between 5.5 and it no scale is known."""

_PERCENT_SHARE = 0.05
"""Share of the values above 0.5 that lie above 5.5, from which a table is on 0–100."""


@dataclass(slots=True)
class Survey:
    """A survey of the values of a table, in memory that does not grow with their number.

    Attributes:
        aus: number of AUs of a row.
        rows: rows that were looked at.
        gaps: rows of each set of AUs without a value.
        low: lowest value, usual missing codes aside; inf while there is none.
        high: highest value, usual missing codes aside; -inf while there is none.
        whole: whether each value so far is a whole number.
        halves: whether twice each value so far is one.
        letters: whether some value was written as a letter of A–E.
        negative: values below 0, usual missing codes aside.
        above: bound → values above it, usual missing codes aside.
        codes: usual missing code → values that are it.
    """

    aus: int
    rows: int = 0
    gaps: SetCounts = field(init=False)
    low: float = np.inf
    high: float = -np.inf
    whole: bool = True
    halves: bool = True
    letters: bool = False
    negative: int = 0
    above: Counter[float] = field(default_factory=Counter)
    codes: Counter[float] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Count from nothing."""
        self.gaps = SetCounts(self.aus)

    def add(self, values: Float[np.ndarray, "rows aus"], letters: bool = False) -> None:
        """Look at some more rows; NaN stands for no value."""
        missing = np.isnan(values)
        self.rows += len(values)
        self.gaps.add(missing)
        self.letters |= letters
        told = values[~missing]
        if told.size and not 0 <= told.min() <= told.max() <= MAX_INTENSITY:
            told = self._without_codes(told)
        if not told.size:
            return
        self.low, self.high = min(self.low, float(told.min())), max(self.high, float(told.max()))
        self.whole = self.whole and bool((told == np.rint(told)).all())
        self.halves = self.whole or (self.halves and bool((2 * told == np.rint(2 * told)).all()))
        self.negative += int((told < 0).sum()) if self.low < 0 else 0
        for bound in _BOUNDS:
            if self.high > bound:
                self.above[bound] += int((told > bound).sum())

    def merge(self, other: "Survey") -> None:
        """Add what another survey saw."""
        self.rows += other.rows
        self.gaps.merge(other.gaps)
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.whole &= other.whole
        self.halves &= other.halves
        self.letters |= other.letters
        self.negative += other.negative
        self.above.update(other.above)
        self.codes.update(other.codes)

    def coded(self) -> Int64[np.ndarray, " aus"]:
        """Return the rows that code each AU."""
        return self.rows - self.gaps.together().diagonal()

    def incomplete(self, aus: Bool[np.ndarray, " aus"]) -> int:
        """Return the rows that do not code some of these AUs."""
        return self.gaps.holding(aus)

    def found(self) -> Scale | None:
        """Return the scale that the values show; None where none of them is above 0."""
        if self.letters:
            return 5
        if self.high <= 0:
            return None
        if self.high <= 1 and self.low >= 0 and self.whole:
            return "occurrence"
        if self.high <= _NEARLY_ONE:
            return 1
        percent = self.above[_BEYOND] >= _PERCENT_SHARE * self.above[0.5]
        return 100 if _PERCENT_FROM < self.high < np.inf and percent else 5

    def fits(self, scale: Scale) -> bool:
        """Return whether all values belong to a scale, but for what may be clamped."""
        ends = np.array([*self.codes, *((self.low, self.high) if self.low <= self.high else ())])
        return not misfits(ends, scale).any() and (scale != "occurrence" or self.whole)

    def clamped(self, scale: Scale) -> int:
        """Return how many values lie outside of a scale that they fit."""
        return 0 if scale == "occurrence" else self.negative + self.above[float(scale)]

    def _without_codes(self, told: Float[np.ndarray, " values"]) -> Float[np.ndarray, " kept"]:
        strange = (told < 0) | (told > MAX_INTENSITY)
        strange[strange] = np.isin(told[strange], USUAL_CODES)
        codes, times = np.unique(told[strange], return_counts=True)
        self.codes.update(dict(zip(codes.tolist(), times.tolist(), strict=True)))
        return told[~strange]


def misfits(values: Float[np.ndarray, "*any"], scale: Scale) -> Bool[np.ndarray, "*any"]:
    """Return which values do not belong to a scale, even if clamped; NaN does."""
    if scale == "occurrence":
        return ~(np.isnan(values) | (values == 0) | (values == 1))
    outside = (values < -_SLACK * scale) | (values > (1 + _SLACK) * scale)
    return outside | ((values < 0) & np.isin(values, USUAL_CODES))


def is_misfit(value: float, scale: Scale) -> bool:
    """Return what `misfits` does, of one value."""
    if scale == "occurrence":
        return not (np.isnan(value) or value in (0, 1))
    outside = value < -_SLACK * scale or value > (1 + _SLACK) * scale
    return outside or (value < 0 and value in USUAL_CODES)


def to_intensities(
    values: Float32[np.ndarray, "*any"], scale: Scale
) -> Float32[np.ndarray, "*any"]:
    """Return values of a scale as intensities [0–5], clamped to it; occurrences stay 0 and 1."""
    if scale == "occurrence":
        return values
    return np.clip(values * np.float32(MAX_INTENSITY / scale), np.float32(0), np.float32(5))


def allowed(scale: Scale) -> str:
    """Say what a value of a scale may be."""
    return "0 or 1" if scale == "occurrence" else f"a number from 0 to {scale}"


def say_scale(scale: Scale, high: float, key: str = "scale (--scale)") -> str:
    """Say which scale values are taken to be on, from the highest of them, and how to change it."""
    if scale == "occurrence":
        return (
            "all values are 0 or 1, so they are taken for occurrences, which tell rates and no "
            f"intensities; say {key} 5 if they are intensities"
        )
    changed = {1: " and multiplied by 5", 100: " and divided by 20"}.get(scale, "")
    return (
        f"the highest value is {high:.4g}, so all are taken to be on the scale 0–{scale}{changed}; "
        f"give another {key} if it is not so"
    )


def say_clamped(survey: Survey, scale: Scale) -> str:
    """Say how many values were clamped to a scale, and how far outside of it they lay."""
    count, ends = survey.clamped(scale), []
    if survey.negative:
        ends.append(f"down to {survey.low:.4g}")
    if scale != "occurrence" and survey.high > scale:
        ends.append(f"up to {survey.high:.6g}")
    values, were = ("value", "was") if count == 1 else ("values", "were")
    return f"{count} {values} outside of 0–{scale} ({', '.join(ends)}) {were} clamped to it"
