"""Requests for Action Units, rendered as FLAME numbers by the faces of a bank."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Float64, Int64

from samplers.flame.bank import Bank
from samplers.flame.drawn import CODED_AUS
from samplers.flame.drawn_bank import drawn_bank
from samplers.flame.expression import FLAME_WIDTH, FlameExpression
from samplers.flame.fit import RidgeMap
from samplers.randomness import uniforms
from synthgen.action_units import MAX_INTENSITY, MIN_INTENSITY, ActionUnitSet
from synthgen.config import RunConfig
from synthgen.config.priors.flame import MINI_BANK, FlameConfig
from synthgen.config.verify import VerifyConfig
from synthgen.errors import BankError, ConfigError
from synthgen.foreign import shown

WHERE = "expressions.flame"
"""Key of the configuration that names a bank."""

_PAIRS_AT_ONCE = 1 << 21
"""Requests times faces that are compared at once: few megabytes."""

_DIGITS = 12
"""Digits of a face's source that a mix names."""


@dataclass(frozen=True, slots=True, eq=False)
class FlameRenderer:
    """Rendering of AU vectors by a bank; the FLAME numbers of a sample follow from its address.

    A face *serves* a request where all checks of the run would accept its measured AUs for it.

    Attributes:
        seed: seed of the run.
        section: bank, method and neighbours.
        bank: the faces.
        measured: the run's AUs, as they were measured in the faces.
        action_units: the run's AUs.
        verify: the checks of the run.
        linear: the fitted map; None for the other methods.
    """

    seed: int
    section: FlameConfig
    bank: Bank
    measured: Float64[np.ndarray, "faces aus"]
    action_units: ActionUnitSet
    verify: VerifyConfig
    linear: RidgeMap | None = field(default=None)

    @classmethod
    def from_config(cls, config: RunConfig) -> "FlameRenderer | None":
        """Read the bank of a run; None where it names none.

        Raises:
            BankError: if the bank cannot be read, is of another extractor than the section says, or
                lacks AUs of the run.
        """
        section, aus = config.expressions.flame, config.expressions.au_set
        if section is None:
            return None
        bank = _bank(section.bank, aus)
        if bank.about.extractor != section.extractor:
            raise BankError(
                f"{WHERE}.bank: {bank.where} holds numbers of the extractor "
                f"{shown(bank.about.extractor)}, and {WHERE}.extractor is {section.extractor!r}; "
                "numbers of two extractors mean different things"
            )
        if lacking := aus.without(bank.action_units.names):
            raise BankError(
                f"{WHERE}.bank: {bank.where} does not hold {', '.join(lacking)}, which the run "
                f"asks for; it holds {', '.join(bank.action_units.names)}"
            )
        columns = [bank.action_units.index(name) for name in aus.names]
        measured = np.ascontiguousarray(bank.aus[:, columns], dtype=np.float64)
        linear = RidgeMap.fit(measured, bank.flame) if section.method == "linear" else None
        return cls(config.seed, section, bank, measured, aus, config.verify, linear)

    def fingerprint(self) -> dict[str, str]:
        """Return the digest of the bank, by the key that names it."""
        return {f"{WHERE}.bank": self.bank.digest}

    def serving(self, aus: Float32[np.ndarray, "requests aus"]) -> Int64[np.ndarray, " requests"]:
        """Return how many faces serve each request; the fitted map serves all by all faces."""
        if self.linear is not None:
            return np.full(len(aus), len(self.bank))
        counts = np.empty(len(aus), dtype=np.int64)
        for start, part in self._pieces(aus):
            accepted = self.verify.accepts(part, self.measured, self.action_units)
            counts[start : start + len(part)] = np.count_nonzero(accepted, axis=1)
        return counts

    def nearest_distance(self, aus: Float32[np.ndarray, " aus"]) -> float:
        """Return how far the nearest face is [mean difference over the AUs, intensity]."""
        return float(self._distances(aus, np.arange(len(self.bank))).min())

    def faces(self, aus: Float32[np.ndarray, "requests aus"]) -> list[Int64[np.ndarray, " faces"]]:
        """Return the nearest faces that serve each request: `neighbours` at most, nearest first."""
        found: list[Int64[np.ndarray, " faces"]] = []
        for _, part in self._pieces(aus):
            accepted = self.verify.accepts(part, self.measured, self.action_units)
            for request, row in zip(part, accepted, strict=True):
                found.append(self._nearest(request, np.flatnonzero(row)))
        return found

    def render(
        self,
        split: str,
        start: int,
        aus: Float32[np.ndarray, "requests aus"],
        replacement: int = 0,
    ) -> list[FlameExpression]:
        """Return the expressions of the samples from a position of a split on.

        Args:
            split: the split.
            start: position of the first sample.
            aus: what each sample asks for.
            replacement: number of the specs.

        Raises:
            ConfigError: if a request is served by no face.
        """
        if self.linear is not None:
            numbers = self.linear.apply(_clipped(aus)).astype(np.float32)
            return [_expression(row, f"linear:{self.bank.digest[:_DIGITS]}") for row in numbers]
        kinds, kind = np.unique(aus, axis=0, return_inverse=True)
        faces = self.faces(kinds)
        for rows, request in zip(faces, kinds, strict=True):
            if not len(rows):
                raise ConfigError(self.unserved(1, 1, request))
        draw = self._one if self.section.method == "nearest" else self._mix
        numbers = self._numbers(split, start, len(aus), replacement)
        return [
            draw(faces[number], row)
            for number, row in zip(kind.reshape(-1).tolist(), numbers, strict=True)
        ]

    def unserved(self, requests: int, samples: int, aus: Float32[np.ndarray, " aus"]) -> str:
        """Say that no face serves some requests.

        Args:
            requests: how many.
            samples: of how many.
            aus: one of them.
        """
        one = self.action_units.describe(aus.tolist())
        return (
            f"{WHERE}: no face of {self.bank.where} would be accepted by the run's checks for "
            f"{requests:,} of {samples:,} requests; {one}, for example, "
            f"is {self.nearest_distance(aus):.2f} from the nearest face (mean difference "
            "over the AUs); add faces to the bank, ask for other AUs, or loosen the policy"
        )

    def _one(self, rows: np.ndarray, numbers: np.ndarray) -> FlameExpression:
        """Take one of some faces by a uniform number."""
        face = int(rows[int(numbers[0] * len(rows))])
        return _expression(self.bank.flame[face], self.bank.sources[face])

    def _mix(self, rows: np.ndarray, numbers: np.ndarray) -> FlameExpression:
        """Mix some faces: the gaps between sorted uniforms are uniform among all convex weights."""
        cuts = np.sort(numbers[: len(rows) - 1])
        weights = np.diff(cuts, prepend=0.0, append=1.0)
        faces = self.bank.flame[rows]
        mixed = np.zeros(FLAME_WIDTH)
        for weight, face in zip(weights.tolist(), faces, strict=True):
            mixed += weight * face.astype(np.float64)
        within = np.clip(mixed.astype(np.float32), faces.min(axis=0), faces.max(axis=0))
        named = ",".join(self.bank.sources[row][:_DIGITS] for row in rows.tolist())
        return _expression(within, f"blend:{named}")

    def _numbers(
        self, split: str, start: int, count: int, replacement: int
    ) -> Float64[np.ndarray, "rows width"]:
        """Return the uniforms of some samples."""
        stage = f"{WHERE}/{self.section.method}/{split}"
        if replacement:
            stage += f"/replacement-{replacement}"
        blend = self.section.method == "blend"
        width = max(1, self.section.neighbours - 1) if blend else 1
        return uniforms(self.seed, stage, start, start + count, width)

    def _nearest(self, request: np.ndarray, rows: np.ndarray) -> Int64[np.ndarray, " faces"]:
        most = self.section.neighbours
        distances = self._distances(request, rows)
        if len(rows) > most:
            near = distances <= np.partition(distances, most - 1)[most - 1]
            rows, distances = rows[near], distances[near]
        return rows[np.argsort(distances, kind="stable")[:most]]

    def _distances(self, request: np.ndarray, rows: np.ndarray) -> Float64[np.ndarray, " faces"]:
        differences = np.abs(self.measured[rows] - _clipped(request))
        return differences.sum(axis=1) / len(self.action_units)

    def _pieces(self, aus: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        step = max(1, _PAIRS_AT_ONCE // len(self.bank))
        for start in range(0, len(aus), step):
            yield start, aus[start : start + step]


def _bank(named: str, aus: ActionUnitSet) -> Bank:
    """Read a bank; that of drawn faces shows the AUs of the run and no others."""
    if named == MINI_BANK and not aus.without(CODED_AUS.names):
        return drawn_bank(aus)
    return Bank.read(named)


def _clipped(aus: np.ndarray) -> np.ndarray:
    return np.clip(aus.astype(np.float64), MIN_INTENSITY, MAX_INTENSITY)


def _expression(numbers: np.ndarray, source: str) -> FlameExpression:
    """Return numbers that nobody can change: specs are handed on."""
    own = numbers.copy()
    own.flags.writeable = False
    return FlameExpression(own, source)
