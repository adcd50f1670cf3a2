"""Prior `empirical`: the rows of a label file, with a kernel around their intensities."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float32, Float64, Int64
from pydantic import Field, field_validator
from scipy.special import ndtr, ndtri

from samplers.priors.au_sets import set_members, set_numbers
from samplers.priors.labels import LabelBatch, Reading, open_labels
from samplers.priors.labels.scales import Scale
from samplers.priors.prior import Prior
from samplers.randomness import uniforms
from synthgen.action_units import DEFAULT_AUS, MAX_INTENSITY, ActionUnitSet
from synthgen.choices import LabelSides
from synthgen.config.priors.base import PriorSection
from synthgen.errors import LabelsError

MAX_ROWS = 2**20
"""Most different rows that are kept [48 bytes each]."""

_PENDING_ROWS = 2**18
"""Rows that wait before they are put together with the others."""

_WEIGHT = "weight"


def unique_rows(
    batches: Iterator[LabelBatch], where: str, names: Sequence[str]
) -> tuple[Float32[np.ndarray, "rows aus"], Float64[np.ndarray, " rows"]]:
    """Put equal rows together.

    Args:
        batches: the rows.
        where: name of the labels, for messages.
        names: the AUs of a vector.

    Returns:
        The different rows of a weight above 0 in lexicographic order, and their weights.

    Raises:
        LabelsError: if no row is left, or more than `MAX_ROWS` different ones are.
    """
    gathered = _table(np.zeros((0, len(names)), np.float32), np.zeros(0), names)
    pending: list[pa.Table] = []
    for batch in batches:
        pending.append(_table(batch.intensities, batch.weights, names))
        if sum(table.num_rows for table in pending) >= _PENDING_ROWS:
            gathered, pending = _together(gathered, pending, where), []
    return _sorted(_together(gathered, pending, where), where)


def _together(gathered: pa.Table, pending: list[pa.Table], where: str) -> pa.Table:
    table = pa.concat_tables([gathered, *pending])
    names = [name for name in table.column_names if name != _WEIGHT]
    groups = table.group_by(names, use_threads=False).aggregate([(_WEIGHT, "sum")])
    if groups.num_rows > MAX_ROWS:
        raise LabelsError(
            f"{where} holds more than {MAX_ROWS} different rows; choose fewer with where, or fit "
            "a prior to them with: synthgen prior fit"
        )
    return groups.rename_columns([*names, _WEIGHT])


def _table(
    rows: Float32[np.ndarray, "rows aus"],
    weights: Float64[np.ndarray, " rows"],
    names: Sequence[str],
) -> pa.Table:
    # By their bits, so that they are put together exactly; + 0 makes one zero of both.
    bits = (rows[weights > 0] + np.float32(0)).view(np.int32)
    columns = {name: np.ascontiguousarray(bits[:, place]) for place, name in enumerate(names)}
    return pa.table({**columns, _WEIGHT: weights[weights > 0]})


def _sorted(
    table: pa.Table, where: str
) -> tuple[Float32[np.ndarray, "rows aus"], Float64[np.ndarray, " rows"]]:
    if not table.num_rows:
        raise LabelsError(f"no row of {where} is left to draw from")
    bits = np.column_stack(
        [table.column(name).to_numpy() for name in table.column_names if name != _WEIGHT]
    )
    order = np.lexsort(bits.T[::-1])
    return bits[order].view(np.float32), table.column(_WEIGHT).to_numpy()[order]


class EmpiricalConfig(PriorSection):
    """The rows of a label file, drawn as often as they stand there."""

    prior: Literal["empirical"]  # pyright: ignore[reportIncompatibleVariableOverride]
    labels: str = Field(
        min_length=1,
        description="Label file, or folder of label files; a relative path begins at the working "
        "directory. Its checksum is part of the identity of the data.",
    )
    format: Literal["csv", "openface", "libreface", "pyfeat", "disfa", "bp4d"] = Field(
        description="Layout of the label files."
    )
    weights: str | None = Field(
        default=None, description="Column of the rows' weights; null: each row weighs 1."
    )
    where: dict[str, str | float | list[float]] = Field(
        default={},
        description="Column → a value, or a range [low, high] with both ends in it; only rows that "
        "hold them all are drawn.",
    )
    scale: Scale | None = Field(
        default=None,
        exclude_if=lambda scale: scale is None,
        description="Scale of the labels' values: 5, 1 or 100 for intensities from 0 to that "
        "number, occurrence for 0 and 1; null: found from the values, and told.",
    )
    missing: list[float | str] = Field(
        default=[],
        max_length=20,
        exclude_if=lambda codes: not codes,
        description="Numbers or texts that stand for an AU that was not coded, such as 9, 999 or "
        "-1.",
    )
    sides: LabelSides = Field(
        default="refuse",
        exclude_if=lambda sides: sides == "refuse",
        description="AUs of a face's left and right (AU12L, AU12R) become their mean, their max, "
        "or are refused.",
    )
    smoothing: float = Field(
        default=0.0,
        ge=0,
        le=5,
        description="Standard deviation [intensity] of the normal kernel around the intensity of "
        "each active AU; what it gives is clipped to [active_from, 5], so the AU stays active.",
    )
    active_from: float = Field(
        default=0.5,
        gt=0,
        le=5,
        description="Intensity from which an AU counts as active; lower ones become 0.",
    )

    @field_validator("where")
    @classmethod
    def _ranges_in_order(
        cls, where: dict[str, str | float | list[float]]
    ) -> dict[str, str | float | list[float]]:
        for column, wanted in where.items():
            if isinstance(wanted, list) and (len(wanted) != 2 or wanted[0] > wanted[1]):
                raise ValueError(f"{column} is {wanted}; it must be a value or a range [low, high]")
        return where

    def build(self) -> "EmpiricalPrior":
        """Build the prior.

        Raises:
            LabelsError: if the labels cannot be read, a line is malformed, or no row is left.
        """
        return EmpiricalPrior.from_config(self)

    def with_absolute_paths(self) -> "EmpiricalConfig":
        """Return the section with a path of the labels that does not depend on the folder."""
        return self.model_copy(update={"labels": str(Path(self.labels).absolute())})

    def local_paths(self) -> list[str]:
        """Return the labels."""
        return [self.labels]


@dataclass(frozen=True, slots=True, eq=False)
class EmpiricalPrior(Prior):
    """The rows of a label file, each as often as it weighs.

    A stratum is the set of active AUs, bit i for AU i: a replacement is another draw among the rows
    with the same active AUs. Equal rows are kept once.

    Attributes:
        name: name of the label file or folder.
        sha256: checksum of the labels.
        rows: the different rows, those of one stratum side by side.
        ends: sum of the weights of all rows up to each one.
        sets: the strata, ascending.
        starts: first row of each stratum, and the number of rows at the end.
        occurrence: for each AU, whether its occurrence alone is known: then its intensity is drawn
            uniformly from [low, 5].
        smoothing: standard deviation of the kernel [intensity].
        low: lowest intensity of an active AU.
        reading: what was found in the labels that changes how they are read; empty where nothing.
        remarks: what a reader of the plan should know of the labels.
        action_units: the AUs of a vector.
    """

    name: str
    sha256: str
    rows: np.ndarray
    ends: np.ndarray
    sets: np.ndarray
    starts: np.ndarray
    occurrence: tuple[bool, ...]
    smoothing: float
    low: float
    reading: str = ""
    remarks: tuple[str, ...] = ()
    action_units: ActionUnitSet = field(default=DEFAULT_AUS, kw_only=True)

    @classmethod
    def from_config(cls, config: EmpiricalConfig) -> "EmpiricalPrior":
        """Read the labels of a configuration.

        Raises:
            LabelsError: if they cannot be read, a line is malformed, or no row is left.
        """
        reading = Reading.of(config.scale, config.missing, config.sides, config.au_set)
        labels = open_labels(config.labels, config.format, config.where, config.weights, reading)
        rows, weights = unique_rows(
            labels.batches(config.active_from), config.labels, config.action_units
        )
        masks = set_numbers(rows != 0)
        order = np.argsort(masks, kind="stable")
        sets, starts = np.unique(masks[order], return_index=True)
        return cls(
            name=Path(config.labels).name,
            sha256=labels.sha256(),
            reading=labels.reading,
            rows=rows[order],
            ends=np.cumsum(weights[order]),
            sets=sets,
            starts=np.append(starts, len(rows)),
            occurrence=tuple(au in labels.occurrence_only for au in config.action_units),
            smoothing=config.smoothing,
            low=config.active_from,
            remarks=labels.remarks(config.active_from),
            action_units=config.au_set,
        )

    @property
    def width(self) -> int:
        """Uniforms that a vector takes."""
        return 1 + len(self.action_units)

    @property
    def categories(self) -> tuple[str, ...]:
        """Nothing: there are no categories."""
        return ()

    def strata(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Draw the set of active AUs of each position."""
        numbers = uniforms(seed, f"expressions/active/{split}", start, stop, 1)[:, 0]
        ends = self.ends[self.starts[1:] - 1]
        found = np.searchsorted(ends, numbers * ends[-1], side="right")
        return self.sets[np.minimum(found, len(self.sets) - 1)]

    def draw(
        self, strata: Int64[np.ndarray, " rows"], numbers: Float64[np.ndarray, "rows width"]
    ) -> Float32[np.ndarray, "rows aus"]:
        """Choose a row of the stratum by column 0, the kernel around AU i by column 1 + i."""
        place = np.searchsorted(self.sets, strata)
        first, last = self.starts[place], self.starts[place + 1] - 1
        below = np.where(first > 0, self.ends[first - 1], 0.0)
        target = below + numbers[:, 0] * (self.ends[last] - below)
        chosen = np.clip(np.searchsorted(self.ends, target, side="right"), first, last)
        rows = self.rows[chosen]
        return np.where(rows != 0, self._around(rows, numbers[:, 1:]), np.float32(0))

    def stratum_name(self, stratum: int) -> str:
        """Name the active AUs: `AU6+AU12`, or `neutral`."""
        active = [name for bit, name in enumerate(self.action_units.names) if stratum >> bit & 1]
        return "+".join(active) or "neutral"

    def category_shares(self) -> dict[str, float]:
        """Return nothing: there are no categories."""
        return {}

    def fingerprint(self) -> dict[str, str]:
        """Return the checksum of the labels, and what was found in them on how to read them."""
        read = {f"{self.name} read": self.reading} if self.reading else {}
        return {self.name: self.sha256, **read}

    def notes(self) -> tuple[str, ...]:
        """Return which AUs the labels do not code, or only by their occurrence."""
        return self.remarks

    def rates(self) -> Float64[np.ndarray, " aus"]:
        """Return the share of the rows, by weight, in which each AU is active."""
        return self._shares() @ self._active().astype(np.float64)

    def joint(self) -> Float64[np.ndarray, "aus aus"]:
        """Return the share of the rows, by weight, in which both AUs of each pair are active."""
        active = self._active().astype(np.float64)
        return (active * self._shares()[:, None]).T @ active

    def mean_intensities(self) -> Float64[np.ndarray, " aus"]:
        """Return the mean of what the kernel gives, by weight; 0 for an AU that is never active."""
        weights = np.diff(self.ends, prepend=0.0)
        means = np.zeros(len(self.action_units))
        for au in range(len(self.action_units)):
            active = self.rows[:, au] != 0
            if self.occurrence[au]:
                means[au] = (self.low + MAX_INTENSITY) / 2
            elif active.any():
                centres = self._clipped_means(self.rows[active, au].astype(np.float64))
                means[au] = np.average(centres, weights=weights[active])
        return means

    def _around(
        self, rows: Float32[np.ndarray, "rows aus"], numbers: Float64[np.ndarray, "rows aus"]
    ) -> Float32[np.ndarray, "rows aus"]:
        found = rows
        if self.smoothing:
            moved = rows + self.smoothing * ndtri(numbers)
            found = np.clip(moved, self.low, MAX_INTENSITY)
        if any(self.occurrence):
            anywhere = self.low + (MAX_INTENSITY - self.low) * numbers
            found = np.where(self.occurrence, anywhere, found)
        return found.astype(np.float32)

    def _clipped_means(self, centres: Float64[np.ndarray, " rows"]) -> Float64[np.ndarray, " rows"]:
        """Return the mean of a normal around each centre, clipped to [low, 5]."""
        if not self.smoothing:
            return centres
        low, high, width = self.low, MAX_INTENSITY, self.smoothing
        a, b = (low - centres) / width, (high - centres) / width
        density = (np.exp(-(b**2) / 2) - np.exp(-(a**2) / 2)) / np.sqrt(2 * np.pi)
        inside = centres * (ndtr(b) - ndtr(a)) - width * density
        return low * ndtr(a) + high * ndtr(-b) + inside

    def _active(self) -> Bool[np.ndarray, "strata aus"]:
        return set_members(self.sets, len(self.action_units))

    def _shares(self) -> Float64[np.ndarray, " strata"]:
        ends = self.ends[self.starts[1:] - 1]
        return np.diff(ends, prepend=0.0) / ends[-1]
