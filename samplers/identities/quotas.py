"""Quotas of slot values: an order of tuples that holds them in any stretch of identities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
from jaxtyping import Int64

from samplers.identities.tuples import TableOrder
from samplers.spread import spread_counts, spread_order
from synthgen.config.quotas import refuse_many, rest_of
from synthgen.errors import ConfigError

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
    order: TableOrder,
    pattern: Sequence[str],
    count: int,
) -> TableOrder:
    """Reorder tuples so that each split's identities hold the quotas.

    Identity j takes the first tuple of its cell, in the given order, that no identity before it
    took; so more identities only lengthen the order.

    Args:
        seed: seed of the run.
        slots: slot → its values.
        quotas: slot → value → share.
        order: all tuples.
        pattern: split of each identity of a period.
        count: identities.

    Raises:
        ConfigError: if a cell has fewer tuples than identities, or there are too many cells.
    """
    names = list(slots)
    margins = [
        SlotMargin.build(names.index(name), name, slots[name], shares)
        for name, shares in quotas.items()
    ]
    try:
        refuse_many([len(margin.shares) for margin in margins])
    except ValueError as error:
        raise ConfigError(f"{WHERE}: {error}") from error
    sizes = [len(values) for values in slots.values()]
    cell_of_tuple = _tuple_cells(margins, sizes)[order.table]
    asked = _identity_cells(seed, margins, pattern, count)
    table = np.empty(count, dtype=order.table.dtype)
    for cell, labels in enumerate(product(*(margin.names for margin in margins))):
        places, tuples = asked == cell, order.table[cell_of_tuple == cell]
        if (needed := int(places.sum())) > len(tuples):
            raise ConfigError(
                f"{WHERE}: {', '.join(labels)} is asked of {needed} identities, but the slots "
                f"yield {len(tuples)} different tuples of it; add values or slots, or raise "
                "expressions_per_identity"
            )
        table[places] = tuples[:needed]
    return TableOrder(table)


def _tuple_cells(margins: Sequence[SlotMargin], sizes: Sequence[int]) -> Int64[np.ndarray, " n"]:
    """Return the cell of each tuple number; negative where it is in none."""
    digits = np.unravel_index(np.arange(prod(sizes)), sizes)
    cells = np.zeros(prod(sizes), dtype=np.int64)
    for margin in margins:
        bins = np.array(margin.bins)[digits[margin.slot]]
        cells = np.where((cells < 0) | (bins < 0), -1, cells * len(margin.shares) + bins)
    return cells


def _identity_cells(
    seed: int, margins: Sequence[SlotMargin], pattern: Sequence[str], count: int
) -> Int64[np.ndarray, " n"]:
    """Return the cell of each identity, in exact proportion within each split."""
    shares = tuple(prod(cell) for cell in product(*(margin.shares for margin in margins)))
    total = sum(shares)
    counts = spread_counts(tuple(share / total for share in shares))
    splits = np.array(pattern)[np.arange(count) % len(pattern)]
    cells = np.empty(count, dtype=np.int64)
    for split in dict.fromkeys(pattern):
        places = splits == split
        stage = f"identities/quota/{split}"
        cells[places] = spread_order(seed, stage, counts, 0, int(places.sum()))
    return cells
