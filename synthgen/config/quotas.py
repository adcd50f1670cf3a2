"""Quotas: shares that hold in delivered data, and cells of AU vectors and categories."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from math import prod
from typing import Annotated

import numpy as np
from pydantic import Field, field_validator, model_validator

from synthgen.action_units import DEFAULT_AUS, FACS, ActionUnitSet
from synthgen.config.aus_in_use import AuMapping, check_au
from synthgen.config.base import Section
from synthgen.foreign import did_you_mean

LEVELS = 6
"""Levels of an intensity: 0 absent, 1 to 5 as FACS's A to E."""

ACTIVE = "active"
"""Levels 1 to 5."""

NO_CATEGORY = "no category"
"""Stands for a category where a mixture draws from a prior without categories."""

OTHER_CATEGORY = "other category"
"""Share that a quota of categories leaves to those that it does not name, or to none."""

OTHER = "other"
"""Name of the cell of everything outside the named ones."""

_ALL = (1 << LEVELS) - 1
_RANGE = re.compile(r"([0-5A-E])(?:-([0-5A-E]))?")


@dataclass(frozen=True, slots=True)
class QuotaCell:
    """Samples that meet conditions.

    Attributes:
        share: share of the samples that the cell is to hold.
        levels: AU → its levels; an AU that is not named may have any.
        categories: the categories, `NO_CATEGORY` among them where samples without one belong to
            the cell; None for any.
    """

    share: float
    levels: Mapping[str, frozenset[int]]
    categories: frozenset[str] | None = None

    @property
    def name(self) -> str:
        """The conditions for people to read: `happy, AU12 3-5`."""
        parts = [] if self.categories is None else [self._categories_name()]
        named = [au for au in FACS if au in self.levels]
        parts += [f"{au} {describe_levels(self.levels[au])}" for au in named]
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
        cls,
        cells: Sequence[QuotaCell],
        categories: Sequence[str],
        rest: float,
        aus: ActionUnitSet,
    ) -> "QuotaCells":
        """Build the cells.

        Args:
            cells: those that are named; none shares a sample with another one.
            categories: all categories, in the order of the ClassLabel.
            rest: share of the samples in none of them; 0 for no such cell.
            aus: the AUs of a vector.
        """
        levels = np.full((len(cells), len(aus)), _ALL, dtype=np.uint8)
        labels = np.full(len(cells), -1, dtype=np.int64)
        for number, cell in enumerate(cells):
            for au, allowed in cell.levels.items():
                levels[number, aus.index(au)] = sum(1 << level for level in allowed)
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


MAX_CELLS = 10_000
"""Most cells of a quota."""

_SLACK = 0.001
"""Shares such as 0.333 three times count as 1."""

Share = Annotated[float, Field(gt=0, le=1)]


class JointQuota(Section):
    """One cell: the samples that meet every condition."""

    category: str | None = Field(default=None, description="Category of the samples.")
    aus: AuMapping[str] = Field(
        default={},
        description="AU → levels: 0 absent, 1 to 5 (or A to E) what the intensity rounds to, "
        "3-5 a range, active for 1-5.",
    )
    share: Share = Field(description="Share of the samples (0, 1].")

    @field_validator("aus", mode="before")
    @classmethod
    def _read_numbers(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        return {au: _text(levels) for au, levels in value.items()}

    @model_validator(mode="after")
    def _has_conditions(self) -> "JointQuota":
        if self.category is None and not self.aus:
            raise ValueError("the cell names neither a category nor aus")
        for name, levels in self.aus.items():
            check_au(name)
            parse_levels(levels)
        return self

    def cell(self) -> QuotaCell:
        """Return the cell."""
        levels = {name: parse_levels(text) for name, text in self.aus.items()}
        categories = None if self.category is None else frozenset({self.category})
        return QuotaCell(self.share, levels, categories)


class QuotasConfig(Section):
    """Margins, whose product are the cells, or a list of cells."""

    category: dict[str, Share] = Field(
        default={}, description="Category → share; what is left goes to the other categories."
    )
    aus: AuMapping[Share | dict[str, Share]] = Field(
        default={},
        description="AU → share of the samples in which it is active, or levels → share, as in "
        "{0: 0.5, 1-2: 0.2, 3-5: 0.3}; what is left goes to the other levels.",
    )
    joint: list[JointQuota] = Field(
        default=[],
        description="Cells of their own, instead of category and aus; what is left goes to "
        "samples in none of them.",
    )

    @field_validator("aus", mode="before")
    @classmethod
    def _read_numbers(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        return {
            au: {_text(level): share for level, share in margin.items()}
            if isinstance(margin, Mapping)
            else margin
            for au, margin in value.items()
        }

    @model_validator(mode="after")
    def _is_possible(self) -> "QuotasConfig":
        if bool(self.joint) == bool(self.category or self.aus):
            raise ValueError("give either joint, or category and aus")
        if self.category:
            _rest("category", self.category.values())
        margins = self._level_margins()
        refuse_many([len(self.category) or 1, *map(len, margins)])
        refuse_many([len(self.joint)])
        _rest("joint", [cell.share for cell in self.joint])
        return self

    def cells(self, categories: tuple[str, ...], aus: ActionUnitSet = DEFAULT_AUS) -> QuotaCells:
        """Return the cells.

        Args:
            categories: those of the prior, in the order of the ClassLabel.
            aus: the AUs of a vector.

        Raises:
            ValueError: if a category is not among them, or two cells of `joint` overlap.
        """
        joint = [cell.category for cell in self.joint if cell.category is not None]
        for name in [*self.category, *joint]:
            if name not in categories:
                has = f"it has {', '.join(categories) or 'none'}"
                raise ValueError(
                    f"the prior has no category {name!r}; {did_you_mean(name, categories, has)}"
                )
        if self.joint:
            rest = _rest("joint", [cell.share for cell in self.joint])
            named = [cell.cell() for cell in self.joint]
            found = QuotaCells.build(named, categories, rest, aus)
            refuse_overlap(named, found)
            return found
        margins = self._level_margins()
        if self.category:
            margins.insert(0, self._category_margin(categories))
        refuse_many([len(margin) for margin in margins])
        cells = [reduce(QuotaCell.and_, bins) for bins in product(*margins)]
        return QuotaCells.build(cells, categories, 0.0, aus)

    def _category_margin(self, categories: tuple[str, ...]) -> list[QuotaCell]:
        others = frozenset([*categories, NO_CATEGORY]) - set(self.category)
        shares = {frozenset({name}): share for name, share in self.category.items()}
        if rest := _rest("category", self.category.values()):
            shares[others] = rest
        return [QuotaCell(share, {}, names) for names, share in shares.items()]

    def _level_margins(self) -> list[list[QuotaCell]]:
        for name in self.aus:
            check_au(name)
        named = [name for name in FACS if name in self.aus]
        return [_level_margin(name, self.aus[name]) for name in named]


def refuse_many(sizes: list[int]) -> None:
    """Refuse margins whose product has more than `MAX_CELLS` cells.

    Raises:
        ValueError: with the number of cells.
    """
    if (number := prod(sizes)) > MAX_CELLS:
        raise ValueError(
            f"the quotas have {number:,} cells; at most {MAX_CELLS:,} are possible, "
            "so leave margins out or join levels"
        )


def _level_margin(name: str, margin: float | dict[str, float]) -> list[QuotaCell]:
    bins = margin if isinstance(margin, dict) else {ACTIVE: margin}
    shares: dict[frozenset[int], float] = {}
    left = frozenset(range(LEVELS))
    for text, share in bins.items():
        levels = parse_levels(text)
        if twice := levels - left:
            raise ValueError(f"aus.{name} has the level {min(twice)} twice")
        shares[levels], left = share, left - levels
    if rest := rest_of(f"aus.{name}", bins.values(), possible=bool(left)):
        shares[left] = rest
    return [QuotaCell(share, {name: levels}) for levels, share in shares.items()]


def _rest(where: str, shares: Iterable[float]) -> float:
    """Return what shares leave of 1; 0 where that is rounding."""
    total = sum(shares)
    if total > 1 + _SLACK:
        raise ValueError(f"the shares of {where} add up to {total:g}; at most 1 is possible")
    return 1 - total if total < 1 - _SLACK else 0.0


def rest_of(where: str, shares: Iterable[float], *, possible: bool) -> float:
    """Return what shares leave of 1; 0 where that is rounding.

    Args:
        where: key of the shares.
        shares: the shares.
        possible: whether there is anything that the rest can go to.

    Raises:
        ValueError: if they add up to more than 1, or to less and the rest has nowhere to go.
    """
    rest = _rest(where, shares)
    if rest and not possible:
        raise ValueError(f"the shares of {where} add up to {1 - rest:g}; they must add up to 1")
    return rest


def _text(levels: object) -> object:
    """Return the levels that YAML reads as a number as text; the rest as it is."""
    return str(levels) if isinstance(levels, int) and not isinstance(levels, bool) else levels
