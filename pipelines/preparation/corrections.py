"""Corrections of measured AUs before they are learned, as FineFace (arXiv 2407.20175) makes them.

A network's intensities are not spread as coders' are: some AUs are hardly ever near 5, others never
near 0. Both variants raise some AUs to a power and stretch each AU over the set, so the set is seen
twice: its extremes first, then each vector by them.

- `paper`: AU1 and AU4 to the power 1.8, AU15, AU17 and AU20 to 0.8; each AU from its least and
  greatest value in the set to [0, 5]; below 1 is 0; what then adds up to less than 0.2 is left out.
- `script`: as the published script does: on [0, 1], vectors whose greatest value is not above 0.2
  are left out first; the same powers, each AU back to its old greatest value (AU15 to AU17's, a
  slip that is kept); AU15, AU17 and AU20 times 1.8; times 5; below 1.1 is 0. The script lets
  values go beyond 5, which no training takes: they are 5 here, and counted.
- `none`: as they are measured; what adds up to less than 0.2 is left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float64

from synthgen.action_units import AUS, MAX_INTENSITY

Correction = Literal["paper", "script", "none"]

MIN_TOTAL = 0.2
"""Least sum of a vector's intensities, or on [0, 1] what the script's greatest one must exceed."""

_POWERS = {"AU1": 1.8, "AU4": 1.8, "AU15": 0.8, "AU17": 0.8, "AU20": 0.8}
_POWER = np.array([_POWERS.get(au, 1.0) for au in AUS])
_STRETCHED = np.array([1.8 if au in ("AU15", "AU17", "AU20") else 1.0 for au in AUS])
_FROM = {"paper": 1.0, "script": 1.1}


@dataclass(frozen=True, slots=True)
class Extremes:
    """Least and greatest of each AU over a set, on [0, 1]; inf and -inf of no vector.

    Attributes:
        low: least value, after the power.
        high: greatest value, after the power.
        measured: greatest value, as measured.
    """

    low: Float64[np.ndarray, "12"]
    high: Float64[np.ndarray, "12"]
    measured: Float64[np.ndarray, "12"]

    @classmethod
    def of(cls, aus: Float64[np.ndarray, "rows 12"], correction: Correction) -> "Extremes":
        """Look at vectors [0–5]."""
        values = aus / MAX_INTENSITY
        values = values[_counts(values, correction)]
        raised = values**_POWER
        return cls(
            raised.min(axis=0, initial=np.inf),
            raised.max(axis=0, initial=-np.inf),
            values.max(axis=0, initial=-np.inf),
        )

    @classmethod
    def joined(cls, several: Sequence["Extremes"]) -> "Extremes":
        """Return the extremes of all sets together."""
        return cls(
            np.min([one.low for one in several], axis=0),
            np.max([one.high for one in several], axis=0),
            np.max([one.measured for one in several], axis=0),
        )

    def to_json(self) -> dict[str, list[float | None]]:
        """Write them, null for what no vector has."""
        return {
            name: [float(one) if np.isfinite(one) else None for one in getattr(self, name)]
            for name in self.__slots__
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Extremes":
        """Read what `to_json` writes."""
        nothing = {"low": np.inf, "high": -np.inf, "measured": -np.inf}
        return cls(
            *(
                np.array([none if one is None else one for one in values[name]], float)
                for name, none in nothing.items()
            )
        )

    @property
    def flat(self) -> tuple[str, ...]:
        """The AUs that have one value in the whole set, of which nothing can be learned."""
        return tuple(
            au for au, low, high in zip(AUS, self.low, self.high, strict=True) if low >= high
        )


@dataclass(frozen=True, slots=True)
class Corrected:
    """Corrected vectors.

    Attributes:
        aus: intensities [0–5].
        kept: which vectors show enough.
        totals: what each was judged by: its sum, or for `script` its greatest value on [0, 1].
        clipped: values that were beyond 5.
    """

    aus: Float64[np.ndarray, "rows 12"]
    kept: Bool[np.ndarray, " rows"]
    totals: Float64[np.ndarray, " rows"]
    clipped: int


def correct(
    aus: Float64[np.ndarray, "rows 12"], correction: Correction, extremes: Extremes
) -> Corrected:
    """Correct measured intensities [0–5].

    Args:
        aus: the vectors.
        correction: how.
        extremes: those of the set.
    """
    values = aus / MAX_INTENSITY
    if correction == "none":
        found = aus.copy()
    elif correction == "paper":
        span = extremes.high - extremes.low
        found = MAX_INTENSITY * (values**_POWER - extremes.low) / np.where(span > 0, span, np.inf)
    else:
        old = extremes.measured.copy()
        old[AUS.index("AU15")] = extremes.measured[AUS.index("AU17")]
        scale = old / np.where(extremes.high > 0, extremes.high, np.inf)
        found = MAX_INTENSITY * _STRETCHED * scale * values**_POWER
    found[found < _FROM.get(correction, 0.0)] = 0.0
    clipped = int((found > MAX_INTENSITY * (1 + 1e-12)).sum())
    found = np.clip(found, 0.0, MAX_INTENSITY)
    if correction == "script":
        return Corrected(found, _counts(values, correction), values.max(axis=1), clipped)
    totals = found.sum(axis=1)
    return Corrected(found, totals >= MIN_TOTAL, totals, clipped)


def _counts(
    values: Float64[np.ndarray, "rows 12"], correction: Correction
) -> Bool[np.ndarray, " rows"]:
    """Return which vectors on [0, 1] belong to the set whose extremes count."""
    if correction == "script":
        return values.max(axis=1, initial=-np.inf) > MIN_TOTAL
    return np.ones(len(values), bool)
