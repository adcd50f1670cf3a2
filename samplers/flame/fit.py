"""A ridge map between Action Units and FLAME's numbers, fitted to the faces of a bank.

All sums run in the order of the rows and no library of linear algebra is asked, so that the map is
the same to the bit on every machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from samplers.flame.bank import Bank
from samplers.flame.coverage import FEW, describe_sides, measured_levels
from synthgen.action_units import MAX_INTENSITY
from synthgen.errors import BankError

RIDGE = 0.01
"""Penalty on the squared coefficient of each AU, as a variance [intensity²].

An AU of that variance is believed half: one that is hardly ever shown moves nothing.
"""

FOLDS = 5
"""Parts of a bank that a map is tried on, each fitted to the others."""

FEWEST = 50
"""Faces of a bank at least, to try a map on parts of it."""

TRUSTED = 0.5
"""R² from which an AU counts as told."""

_ROWS = 1 << 14


@dataclass(frozen=True, slots=True, eq=False)
class RidgeMap:
    """A linear map with ranges that it does not leave.

    Attributes:
        inputs: mean of each input in the faces that it was fitted to.
        outputs: mean of each output.
        slopes: change of each output with each input.
        low: smallest value of each output in these faces.
        high: largest value.
    """

    inputs: Float64[np.ndarray, " inputs"]
    outputs: Float64[np.ndarray, " outputs"]
    slopes: Float64[np.ndarray, "inputs outputs"]
    low: Float64[np.ndarray, " outputs"]
    high: Float64[np.ndarray, " outputs"]

    @classmethod
    def fit(
        cls,
        inputs: Float32[np.ndarray, "rows inputs"] | Float64[np.ndarray, "rows inputs"],
        outputs: Float32[np.ndarray, "rows outputs"] | Float64[np.ndarray, "rows outputs"],
        relative: bool = False,
    ) -> "RidgeMap":
        """Fit by ridge regression with an intercept: (XᵀX + nΛ)⁻¹ XᵀY of centred X and Y.

        Args:
            inputs: AUs, or FLAME numbers.
            outputs: the others.
            relative: whether Λ is `RIDGE` times the variance of each input, whatever its unit; else
                `RIDGE` itself.
        """
        width = inputs.shape[1]
        both = np.hstack([inputs, outputs]).astype(np.float64)
        means = both.sum(axis=0) / len(both)
        products = np.zeros((width, both.shape[1]))
        for start in range(0, len(both), _ROWS):
            part = both[start : start + _ROWS] - means
            for column in range(width):
                products[column] += (part[:, column : column + 1] * part).sum(axis=0)
        variances = np.diagonal(products) if relative else np.full(width, float(len(both)))
        products[:, :width] += np.diag(RIDGE * np.maximum(variances, 1e-9))
        return cls(
            means[:width],
            means[width:],
            _solved(products),
            both[:, width:].min(axis=0),
            both[:, width:].max(axis=0),
        )

    def apply(
        self, inputs: Float32[np.ndarray, "rows inputs"] | Float64[np.ndarray, "rows inputs"]
    ) -> Float64[np.ndarray, "rows outputs"]:
        """Map inputs; outputs stay within what the fitted faces have."""
        found = np.tile(self.outputs, (len(inputs), 1))
        for column, slope in enumerate(self.slopes):
            found += (inputs[:, column].astype(np.float64) - self.inputs[column])[:, None] * slope
        return np.clip(found, self.low, self.high)


def _solved(both: Float64[np.ndarray, "width wide"]) -> Float64[np.ndarray, "width rest"]:
    """Solve A X = B for [A | B] by Gauss-Jordan elimination; A is positive definite."""
    left = both.copy()
    for row in range(len(left)):
        left[row] /= left[row, row]
        others = left[:, row].copy()
        others[row] = 0.0
        left -= others[:, None] * left[row]
    return left[:, len(left) :]


@dataclass(frozen=True, slots=True)
class Told:
    """Fit of linear maps between AUs and FLAME's numbers for one AU, on faces they never saw.

    Attributes:
        name: the AU.
        read: R² of the AU read from the FLAME numbers of a face; None where all faces have the same
            intensity.
        shown: R² of the AU read from the FLAME numbers that the map gives for a face's AUs.
        error: the root of the mean squared error of the latter [intensity].
        highest: highest level that at least `FEW` faces show.
    """

    name: str
    read: float | None
    shown: float | None
    error: float
    highest: int

    def doubt(self) -> str:
        """Say where not to trust the map; empty where nothing speaks against it."""
        if self.read is None or self.shown is None:
            return f"{self.name}: all faces have the same intensity; the map does not know it"
        text = ""
        if self.read < TRUSTED:
            text = f"{self.name}: FLAME's numbers hardly tell it (R² {self.read:.2f})"
        elif self.shown < TRUSTED:
            text = f"{self.name}: the map hardly shows it (R² {self.shown:.2f})"
        if self.highest < MAX_INTENSITY:
            beyond = f"beyond level {self.highest} the map extrapolates: fewer than {FEW} faces"
            text = f"{text}; {beyond}" if text else f"{self.name}: {beyond}"
        return text


def try_map(bank: Bank) -> tuple[Told, ...]:
    """Fit linear maps to parts of a bank, and try each on the part that it was not fitted to.

    Faces of one picture stay in one part.

    Raises:
        BankError: if the bank has too few faces.
    """
    if len(bank) < FEWEST:
        raise BankError(
            f"{bank.where} holds {len(bank)} faces; a map is tried on {FEWEST} at least"
        )
    part = np.array([int(source[:8], 16) % FOLDS for source in bank.sources])
    read, shown = np.empty(bank.aus.shape), np.empty(bank.aus.shape)
    for number in range(FOLDS):
        rest, tried = part != number, part == number
        if not rest.any():
            raise BankError(f"{bank.where}: all faces are of one picture; a map needs many")
        forth = RidgeMap.fit(bank.aus[rest], bank.flame[rest])
        back = RidgeMap.fit(bank.flame[rest], bank.aus[rest], relative=True)
        read[tried] = back.apply(bank.flame[tried])
        shown[tried] = back.apply(forth.apply(bank.aus[tried]))
    return tuple(
        Told(
            name,
            _explained(read[:, au], bank.aus[:, au]),
            _explained(shown[:, au], bank.aus[:, au]),
            float(np.sqrt(((shown[:, au] - bank.aus[:, au]) ** 2).mean())),
            _highest(bank.aus[:, au]),
        )
        for au, name in enumerate(bank.action_units.names)
    )


def describe_told(bank: Bank, told: Sequence[Told]) -> str:
    """Write what was found as plain text, without a newline at the end."""
    lines = [
        f"{bank.where}: a linear map between AUs and FLAME's numbers, fitted to four fifths of "
        f"{len(bank):,} faces and tried on the rest, five times",
        "",
        "R²: read from a face's FLAME numbers; shown: read from those that the map gives for its "
        "AUs",
        f"{'':5}  {'read':>5}  {'shown':>5}  {'error':>5}  {'up to level':>11}",
        *(
            f"{one.name:5}  {_share(one.read)}  {_share(one.shown)}  {one.error:5.2f}"
            f"  {one.highest:11}"
            for one in told
        ),
    ]
    doubts = [doubt for one in told if (doubt := one.doubt())]
    doubts.append(describe_sides(bank))
    return "\n".join([*lines, "", "not to trust:", *(f"- {doubt}" for doubt in doubts)])


def _explained(found: np.ndarray, measured: np.ndarray) -> float | None:
    spread = float(((measured - measured.mean(dtype=np.float64)) ** 2).sum())
    if spread == 0:
        return None
    return 1 - float(((found - measured) ** 2).sum()) / spread


def _highest(measured: np.ndarray) -> int:
    levels = measured_levels(measured)
    return max((level for level in range(1, 6) if (levels >= level).sum() >= FEW), default=0)


def _share(value: float | None) -> str:
    return "    –" if value is None else f"{value:5.2f}"
