"""Identity source `prompts`: a template with slots; an identity is a tuple of their values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from math import prod
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Int64
from pydantic import Field, model_validator

from samplers.identities.identity import Identities, Identity, filled, numbered
from samplers.identities.tuples import (
    MOST_TUPLES,
    TABLE_LIMIT,
    PermutedOrder,
    TableOrder,
    count_tuples,
    cut_table,
    is_weighted,
    split_tables,
    weighted_order,
)
from samplers.randomness import derive_seed
from samplers.shares import Partition, spread_counts, spread_order
from synthgen.config.identities.base import IdentitySection
from synthgen.config.quotas import Share, refuse_many, rest_of
from synthgen.errors import ConfigError
from synthgen.foreign import counted, did_you_mean, listed

WHERE = "identities.quotas"
"""Key of the configuration that names quotas."""


@dataclass(frozen=True, slots=True)
class SlotMargin:
    """The quota of one slot.

    Attributes:
        slot: position of the slot in a tuple.
        names: name of each bin.
        shares: share of each bin.
        bins: bin of each value of the slot; −1 for a value that no identity may have.
    """

    slot: int
    names: tuple[str, ...]
    shares: tuple[float, ...]
    bins: tuple[int, ...]

    @classmethod
    def build(cls, slot: int, name: str, values: Sequence[str], shares: Mapping[str, float]):
        """Give each value that is named a bin of its own, the others one together."""
        others = len(shares) < len(values)
        rest = rest_of(f"quotas.{name}", shares.values(), possible=others)
        named = list(shares)
        last = len(named) if rest else -1
        return cls(
            slot=slot,
            names=tuple(f"{name} {value!r}" for value in named) + (f"{name} other",) * bool(rest),
            shares=(*shares.values(), *([rest] if rest else [])),
            bins=tuple(named.index(value) if value in shares else last for value in values),
        )


def quota_order(
    seed: int,
    slots: Mapping[str, Sequence[str]],
    quotas: Mapping[str, Mapping[str, float]],
    order: np.ndarray,
    pattern: Sequence[str],
    needed: Mapping[str, int],
    people_per_tuple: int,
) -> TableOrder:
    """Order each split's tuples so that its identities hold the quotas.

    An identity takes the next tuple of its cell, in the given order, and the first one again behind
    the last; so more identities only lengthen the order. Where the cut into splits leaves a cell
    without a tuple in some split, it is made cell by cell.

    Args:
        seed: seed of the run.
        slots: slot → its values.
        quotas: slot → value → share.
        order: the numbers of all tuples, in the order in which they are shown.
        pattern: split of each identity of a period.
        needed: split → its identities.
        people_per_tuple: most identities of a tuple.

    Raises:
        ConfigError: if a cell has too few tuples for its identities, or there are too many cells.
    """
    sizes = [len(values) for values in slots.values()]
    margins = _margins(slots, quotas)
    try:
        refuse_many([len(margin.shares) for margin in margins])
    except ValueError as error:
        raise ConfigError(f"{WHERE}: {error}") from error
    shares = [prod(cell) for cell in product(*(margin.shares for margin in margins))]
    cell_of_tuple = _tuple_cells(margins, sizes)
    tables = split_tables(order, cut_table(slots, pattern), pattern)
    asked = np.flatnonzero(shares)
    by_cell = not all(np.isin(asked, cell_of_tuple[table]).all() for table in tables.values())
    if by_cell:
        # By names and values, so that their order in the file decides nothing.
        in_order = {name: dict(sorted(quotas[name].items())) for name in sorted(quotas)}
        cut = cut_table(slots, pattern, _tuple_cells(_margins(slots, in_order), sizes))
        tables = split_tables(order, cut, pattern)
    return TableOrder(
        {
            split: _cells_filled(
                _identity_cells(seed, shares, split, count),
                cell_of_tuple[tables[split]],
                tables[split],
                [", ".join(labels) for labels in product(*(margin.names for margin in margins))],
                split,
                people_per_tuple,
            )
            for split, count in needed.items()
        },
        by_cell,
    )


def _margins(
    slots: Mapping[str, Sequence[str]], quotas: Mapping[str, Mapping[str, float]]
) -> list[SlotMargin]:
    names = list(slots)
    return [
        SlotMargin.build(names.index(name), name, slots[name], shares)
        for name, shares in quotas.items()
    ]


def _cells_filled(
    asked: Int64[np.ndarray, " identities"],
    cells: Int64[np.ndarray, " tuples"],
    tuples: np.ndarray,
    labels: Sequence[str],
    split: str,
    people_per_tuple: int,
) -> np.ndarray:
    """Return the tuple of each identity of a split, given the cells of both."""
    table = np.empty(len(asked), dtype=np.int64)
    for cell, label in enumerate(labels):
        places, found = asked == cell, tuples[cells == cell]
        needed = int(places.sum())
        if needed > len(found) * people_per_tuple:
            ways = (
                "add values or slots, raise expressions_per_identity, or set people_per_tuple to "
                f"{-(-needed // len(found))} or more"
                if len(found)
                else "add values or slots, or leave the split out"
            )
            raise ConfigError(
                f"{WHERE}: {label} is asked of {counted(needed, 'identity', 'identities')} "
                f"of the split {split!r}, but the slots yield "
                f"{counted(len(found), 'different tuple')} of it there; {ways}"
            )
        if needed:
            table[places] = np.resize(found, needed)
    return table


def _tuple_cells(margins: Sequence[SlotMargin], sizes: Sequence[int]) -> Int64[np.ndarray, " n"]:
    """Return the cell of each tuple number; negative where it is in none."""
    digits = np.unravel_index(np.arange(prod(sizes)), sizes)
    cells = np.zeros(prod(sizes), dtype=np.int64)
    for margin in margins:
        bins = np.array(margin.bins)[digits[margin.slot]]
        cells = np.where((cells < 0) | (bins < 0), -1, cells * len(margin.shares) + bins)
    return cells


def _identity_cells(
    seed: int, shares: Sequence[float], split: str, count: int
) -> Int64[np.ndarray, " identities"]:
    """Return the cell of each identity of a split, in exact proportion."""
    total = sum(shares)
    counts = spread_counts(tuple(share / total for share in shares))
    return spread_order(seed, f"identities/quota/{split}", counts, 0, count)


class PromptIdentitiesConfig(IdentitySection):
    """Identities from a prompt template; an identity is a tuple of slot values and a seed."""

    follows_prompts: ClassVar[bool] = True

    source: Literal["prompts"]  # pyright: ignore[reportIncompatibleVariableOverride]
    quotas: dict[str, dict[str, Share]] = Field(
        default={},
        description="Slot → value → share of the identities, held in every split; what is left "
        "goes to the slot's other values.",
    )
    people_per_tuple: int = Field(
        default=1,
        ge=1,
        le=10**9,
        exclude_if=lambda most: most == 1,
        description="Most people who have the same slot values. Each split shows all its tuples "
        "once before it shows one again, so that raising it changes nothing that there is.",
    )

    @model_validator(mode="after")
    def _quotas_match_slots(self) -> "PromptIdentitiesConfig":
        refuse_many([len(shares) for shares in self.quotas.values()])
        for name, shares in self.quotas.items():
            if name not in self.slots:
                there = f"there are {', '.join(self.slots) or 'none'}"
                raise ValueError(
                    f"quotas name the slot {name!r}; {did_you_mean(name, self.slots, there)}"
                )
            known_values = set(self.slots[name])
            for value in shares:
                if value not in known_values:
                    there = f"there are {listed(self.slots[name])}"
                    raise ValueError(
                        f"quotas.{name} has the value {value!r}; "
                        f"{did_you_mean(value, known_values, there)}"
                    )
            others = len(shares) < len(self.slots[name])
            rest_of(f"quotas.{name}", shares.values(), possible=others)
        return self

    def identity(self) -> dict[str, Any]:
        """Return the keys that the data is a function of: all but the bound of people."""
        return self.model_dump(mode="json", exclude={"people_per_tuple"})

    def slot_shares(self) -> dict[str, dict[str, float]]:
        """Return the quotas."""
        return self.quotas

    def with_slot_shares(
        self, shares: Mapping[str, Mapping[str, float]]
    ) -> "PromptIdentitiesConfig":
        """Return the section with these quotas in place of its own."""
        quotas = {slot: dict(values) for slot, values in shares.items()}
        return type(self).model_validate({**self.model_dump(), "quotas": quotas})

    def build(
        self, seed: int, samples: int, partition: Partition, asked: str, run_id: str
    ) -> "PromptIdentities":
        """Build the identities of a run."""
        return PromptIdentities.from_config(self, seed, samples, partition, asked, run_id)


@dataclass(frozen=True, slots=True, eq=False)
class PromptIdentities(Identities):
    """The identities of a run, each a tuple of slot values and a seed.

    The split of a tuple follows from the slots alone. Each split shows every tuple once before it
    shows one again, as another person.

    Attributes:
        run_seed: seed of the run.
        template: prompt with slots in braces.
        values: slot → its values.
        order: which tuple each identity takes.
        partition: the split of each identity.
        count: number of identities of the run.
        run_id: short name of the run, which the identities' names carry; empty for plain names.
    """

    run_seed: int
    template: str
    values: dict[str, tuple[str, ...]]
    order: TableOrder | PermutedOrder
    partition: Partition
    count: int
    run_id: str = ""

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the slots, in order of the template."""
        return tuple(self.values)

    @classmethod
    def from_config(
        cls,
        config: PromptIdentitiesConfig,
        seed: int,
        samples: int,
        partition: Partition | None = None,
        asked: str = "",
        run_id: str = "",
    ) -> "PromptIdentities":
        """Build the identities that a number of samples shows.

        Args:
            config: the section `identities`.
            seed: seed of the run.
            samples: samples of the run.
            partition: the split of each sample, in each of which quotas hold; None: one split,
                and `config.expressions_per_identity` samples of an identity.
            asked: samples of an identity in words, for sentences.
            run_id: short name of the run, for the identities' names.

        Raises:
            ConfigError: if the template yields too few tuples, or weighted ones too many.
        """
        # Sorted by value, so that the order of a mapping in the file decides nothing.
        weighted = {
            name: dict(sorted(values.items())) for name, values in config.weighted_slots().items()
        }
        slots = {name: tuple(values) for name, values in weighted.items()}
        weights = [list(values.values()) for values in weighted.values()]
        partition = partition or Partition.build(
            {"train": Fraction(1)}, int(config.expressions_per_identity)
        )
        tuples = count_tuples(slots)
        if tuples > MOST_TUPLES:
            raise ConfigError(
                "identities.slots: the slots yield more than 2^1000 tuples of values, too many to "
                "be numbered; leave slots or values out"
            )
        needed = {
            split: -(-partition.size(split, samples) // partition.group)
            for split in partition.members
        }
        _refuse_too_few(
            {split: replace(partition, group=1).size(split, tuples) for split in needed},
            needed,
            config.people_per_tuple,
            f"samples: {samples} with {asked or f'expressions_per_identity: {partition.group}'}",
        )
        if tuples > TABLE_LIMIT:
            _refuse_tables(tuples, weights, config.quotas)
            order = PermutedOrder.build(seed, slots, partition)
        else:
            shown, pattern = weighted_order(seed, weights), partition.pattern
            order = (
                quota_order(
                    seed, slots, config.quotas, shown, pattern, needed, config.people_per_tuple
                )
                if config.quotas
                else TableOrder(split_tables(shown, cut_table(slots, pattern), pattern))
            )
        count = -(-samples // partition.group)
        return cls(seed, config.template, slots, order, partition, count, run_id)

    def identity(self, number: int) -> Identity:
        """Return the identity of a number in [0, count)."""
        split, position = self.partition.locate(number * self.partition.group)
        rank = position // self.partition.group
        values = self._values(self.order.tuple_number(split, rank))
        return Identity(
            identity_id=numbered("id", self.run_id, number),
            values=values,
            seed=derive_seed(self.run_seed, "identities/seed", number),
            prompt=filled(self.template, values),
        )

    def fingerprint(self) -> dict[str, str]:
        """Return how the tuples were cut into splits, where quotas decided it."""
        by_cell = isinstance(self.order, TableOrder) and self.order.by_cell
        return {"tuples": "cut by the cells of quotas"} if by_cell else {}

    def _values(self, tuple_number: int) -> dict[str, str]:
        """Read the digits of a tuple's number; the last slot's is the lowest."""
        values = {}
        for name in reversed(self.values):
            tuple_number, digit = divmod(tuple_number, len(self.values[name]))
            values[name] = self.values[name][digit]
        return {name: values[name] for name in self.values}


def _refuse_tables(
    tuples: int, weights: list[list[float]], quotas: Mapping[str, Mapping[str, float]]
) -> None:
    if quotas:
        raise ConfigError(
            f"{WHERE}: the slots yield {tuples} tuples of values; with quotas at most "
            f"{TABLE_LIMIT} are possible, so leave values or the quotas out"
        )
    if is_weighted(weights):
        raise ConfigError(
            f"identities.slots: the slots yield {tuples} tuples of values; with weights at most "
            f"{TABLE_LIMIT} are possible, so leave values or the weights out"
        )


def _refuse_too_few(
    tuples: Mapping[str, int], needed: Mapping[str, int], people_per_tuple: int, asked: str
) -> None:
    """Refuse slots whose tuples do not suffice in some split."""
    short = [split for split in needed if needed[split] > tuples[split] * people_per_tuple]
    if not short:
        return
    lacking = [split for split in short if not tuples[split]]
    split = (lacking or short)[0]
    there = f" for the split {split!r}" if len(tuples) > 1 else ""
    enough = max(-(-needed[split] // tuples[split]) for split in short) if not lacking else 0
    ways = (
        "add values or slots, or leave the split out"
        if lacking
        else "add values or slots, raise expressions_per_identity, or set people_per_tuple to "
        f"{enough} or more"
    )
    raise ConfigError(
        f"identities.template: its slots yield "
        f"{counted(tuples[split], 'different tuple')} of values{there}, but {asked} ask for "
        f"{counted(needed[split], 'identity', 'identities')}; {ways}"
    )
