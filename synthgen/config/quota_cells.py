"""Cells of AU vectors and categories: who belongs to which, and what share each is to hold."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthgen.action_units import AU_COUNT, AUS

LEVELS = 6
"""Levels of an intensity: 0 absent, 1 to 5 as FACS's A to E."""

ACTIVE = "active"
"""Levels 1 to 5."""

NO_CATEGORY = "no category"
"""Stands for a category where a mixture draws from a prior without categories."""

OTHER_CATEGORY = "other category"
"""What a quota of categories leaves to those that it does not name, or to none."""

OTHER = "other"
"""What is in none of the cells that are named."""

_ALL = (1 << LEVELS) - 1
_RANGE = re.compile(r"([0-5A-E])(?:-([0-5A-E]))?")


@dataclass(frozen=True, slots=True)
class QuotaCell:
    """Samples that meet conditions.

    Attributes:
        share: share of the samples that the cell is to hold.
        levels: index of an AU → its levels; an AU that is not named may have any.
        categories: the categories, `NO_CATEGORY` among them where samples without one belong to
            the cell; None for any.
    """

    share: float
    levels: Mapping[int, frozenset[int]]
    categories: frozenset[str] | None = None

    @property
    def name(self) -> str:
        """The conditions for people to read: `happy, AU12 3-5`."""
        parts = [] if self.categories is None else [self._categories_name()]
        parts += [f"{AUS[au]} {describe_levels(self.levels[au])}" for au in sorted(self.levels)]
        return ", ".join(parts)

    def _categories_name(self) -> str:
        categories = self.categories or frozenset()
        return OTHER_CATEGORY if NO_CATEGORY in categories else "/".join(sorted(categories))

    def and_(self, other: "QuotaCell") -> "QuotaCell":
        """Return the cell of the samples in both, with the product of the shares.

        The cells must not name the same AU, and only one may name categories.
        """
        categories = other.categories if self.categories is None else self.categories
        return QuotaCell(self.share * other.share, {**self.levels, **other.levels}, categories)


@dataclass(frozen=True, slots=True, eq=False)
class QuotaCells:
    """Cells that share no sample; what is in none of them is the cell `other`.

    Attributes:
        names: name of each cell; `other` comes last, where it has a share.
        shares: share of each cell; they add up to 1.
        levels: levels of each AU that a cell allows, bit l for level l, [named cells, aus].
        labels: categories that a cell allows, bit i for label i, the bit after the last label for
            no category, [named cells].
    """

    names: tuple[str, ...]
    shares: tuple[float, ...]
    levels: np.ndarray
    labels: np.ndarray

    @classmethod
    def build(
        cls, cells: Sequence[QuotaCell], categories: Sequence[str], rest: float
    ) -> "QuotaCells":
        """Build the cells.

        Args:
            cells: those that are named; none shares a sample with another one.
            categories: all categories, in the order of the ClassLabel.
            rest: share of the samples in none of them; 0 for no such cell.

        """
        levels = np.full((len(cells), AU_COUNT), _ALL, dtype=np.uint8)
        labels = np.full(len(cells), -1, dtype=np.int64)
        for number, cell in enumerate(cells):
            for au, allowed in cell.levels.items():
                levels[number, au] = sum(1 << level for level in allowed)
            if cell.categories is not None:
                known = [*categories, NO_CATEGORY]
                labels[number] = sum(1 << known.index(name) for name in cell.categories)
        names = [cell.name for cell in cells] + [OTHER] * (rest > 0)
        shares = [cell.share for cell in cells] + [rest] * (rest > 0)
        total = sum(shares)
        return cls(tuple(names), tuple(share / total for share in shares), levels, labels)

    def holds(self, cells: np.ndarray, aus: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """Return whether each AU vector is in the cell beside it.

        Args:
            cells: cell numbers, [rows].
            aus: AU vectors, [rows, aus].
            labels: category numbers, [rows], that after the last for no category; None where the
                prior has no categories.
        """
        named = np.minimum(cells, len(self.levels) - 1)
        fits = np.asarray((self.levels[named] >> intensity_levels(aus) & 1).all(axis=1))
        if labels is not None:
            fits &= (self.labels[named] >> labels & 1).astype(bool)
        other = cells == len(self.levels)
        if other.any():
            part = None if labels is None else labels[other]
            fits[other] = self.numbers(aus[other], part) == len(self.levels)
        return fits

    def numbers(self, aus: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """Return the cell of each AU vector; the number after the named ones where none fits.

        Args are those of `holds`.
        """
        told = np.flatnonzero((self.levels != _ALL).any(axis=0))
        rows = intensity_levels(aus)[:, told].astype(np.int64)
        if labels is not None:
            rows = np.column_stack([rows, labels])
        kinds, kind = np.unique(rows, axis=0, return_inverse=True)
        levels = self.levels[:, told]
        found = [self._number(levels, row, len(told)) for row in kinds]
        return np.array(found, dtype=np.int64)[kind.reshape(-1)]

    def _number(self, levels: np.ndarray, row: np.ndarray, aus: int) -> int:
        """Return the first cell of the levels of some AUs and, if it follows, a label."""
        fits = np.asarray((levels >> row[:aus].astype(np.uint8) & 1).all(axis=1))
        if len(row) > aus:
            fits &= (self.labels >> row[aus] & 1).astype(bool)
        return int(fits.argmax()) if fits.any() else len(self.levels)


def intensity_levels(aus: np.ndarray) -> np.ndarray:
    """Return the level of each intensity, uint8: 0 where it is 0, else it rounds to 1 … 5."""
    rounded = np.clip(np.floor(np.abs(aus) + 0.5), 1, LEVELS - 1)
    return np.where(aus == 0, 0, rounded).astype(np.uint8)


def parse_levels(text: str) -> frozenset[int]:
    """Read levels: `0`, `3`, `C`, `3-5`, `C-E` or `active`.

    Raises:
        ValueError: if the text is none of these.
    """
    if text == ACTIVE:
        return frozenset(range(1, LEVELS))
    found = _RANGE.fullmatch(text)
    bounds = [_level(end) for end in found.groups() if end] if found else []
    if not bounds or bounds[0] > bounds[-1]:
        raise ValueError(
            f"levels {text!r} are none; allowed are 0 to 5, A to E, ranges such as 3-5, and "
            f"{ACTIVE!r}"
        )
    return frozenset(range(bounds[0], bounds[-1] + 1))


def describe_levels(levels: frozenset[int]) -> str:
    """Write levels as `parse_levels` reads them, several ranges with `/` between."""
    if levels == frozenset(range(1, LEVELS)):
        return ACTIVE
    starts = [level for level in sorted(levels) if level - 1 not in levels]
    ends = [level for level in sorted(levels) if level + 1 not in levels]
    ranges = zip(starts, ends, strict=True)
    return "/".join(f"{low}" if low == high else f"{low}-{high}" for low, high in ranges)


def _level(text: str) -> int:
    return int(text) if text.isdigit() else 1 + "ABCDE".index(text)


def refuse_overlap(cells: Sequence[QuotaCell], found: QuotaCells) -> None:
    """Refuse cells that share a sample.

    Raises:
        ValueError: naming the first two.
    """
    for number in range(1, len(cells)):
        common = (found.levels[:number] & found.levels[number]).all(axis=1)
        common &= (found.labels[:number] & found.labels[number]) != 0
        if common.any():
            raise ValueError(
                f"the cells {cells[int(common.argmax())].name!r} and {cells[number].name!r} "
                "overlap; a sample must be in one cell alone"
            )
