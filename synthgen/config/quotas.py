"""Quotas: shares that hold in delivered data, whatever the prior says and the policy rejects."""

from collections.abc import Iterable, Mapping
from functools import reduce
from itertools import product
from math import prod
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from synthgen.action_units import AUS, au_index
from synthgen.config.base import Section
from synthgen.config.quota_cells import (
    ACTIVE,
    LEVELS,
    NO_CATEGORY,
    QuotaCell,
    QuotaCells,
    parse_levels,
    refuse_overlap,
)

MAX_CELLS = 10_000
"""Most cells of a quota."""

_SLACK = 0.001
"""Shares such as 0.333 three times count as 1."""

Share = Annotated[float, Field(gt=0, le=1)]


class JointQuota(Section):
    """One cell: the samples that meet every condition."""

    category: str | None = Field(default=None, description="Category of the samples.")
    aus: dict[str, str] = Field(
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
            au_index(name)
            parse_levels(levels)
        return self

    def cell(self) -> QuotaCell:
        """Return the cell."""
        levels = {au_index(name): parse_levels(text) for name, text in self.aus.items()}
        categories = None if self.category is None else frozenset({self.category})
        return QuotaCell(self.share, levels, categories)


class QuotasConfig(Section):
    """Margins, whose product are the cells, or a list of cells."""

    category: dict[str, Share] = Field(
        default={}, description="Category → share; what is left goes to the other categories."
    )
    aus: dict[str, Share | dict[str, Share]] = Field(
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

    def cells(self, categories: tuple[str, ...]) -> QuotaCells:
        """Return the cells.

        Args:
            categories: those of the prior, in the order of the ClassLabel.

        Raises:
            ValueError: if a category is not among them, or two cells of `joint` overlap.
        """
        joint = [cell.category for cell in self.joint if cell.category is not None]
        for name in [*self.category, *joint]:
            if name not in categories:
                raise ValueError(
                    f"the prior has no category {name!r}; it has {', '.join(categories) or 'none'}"
                )
        if self.joint:
            rest = _rest("joint", [cell.share for cell in self.joint])
            named = [cell.cell() for cell in self.joint]
            found = QuotaCells.build(named, categories, rest)
            refuse_overlap(named, found)
            return found
        margins = self._level_margins()
        if self.category:
            margins.insert(0, self._category_margin(categories))
        refuse_many([len(margin) for margin in margins])
        cells = [reduce(QuotaCell.and_, bins) for bins in product(*margins)]
        return QuotaCells.build(cells, categories, rest=0.0)

    def _category_margin(self, categories: tuple[str, ...]) -> list[QuotaCell]:
        others = frozenset([*categories, NO_CATEGORY]) - set(self.category)
        shares = {frozenset({name}): share for name, share in self.category.items()}
        if rest := _rest("category", self.category.values()):
            shares[others] = rest
        return [QuotaCell(share, {}, names) for names, share in shares.items()]

    def _level_margins(self) -> list[list[QuotaCell]]:
        named = [name for name in AUS if name in self.aus]
        for name in self.aus:
            au_index(name)
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
    return [QuotaCell(share, {au_index(name): levels}) for levels, share in shares.items()]


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
