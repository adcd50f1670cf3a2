"""Identity source `prompts`: a template with slots; an identity is a tuple of their values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from hashlib import blake2b
from itertools import product
from math import prod
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float64, Int64
from pydantic import Field, model_validator

from samplers.identities.identity import Identities, Identity, filled, numbered
from samplers.randomness import derive_seed, uniforms
from samplers.shares import Partition, spread_counts, spread_order
from synthgen.config.identities.base import IdentitySection
from synthgen.config.quotas import Share, refuse_many, rest_of
from synthgen.errors import ConfigError
from synthgen.foreign import listed

TABLE_LIMIT = 2**22
"""Most tuples whose order is sorted once and kept; more are permuted arithmetically."""

MOST_TUPLES = 2**1000
"""Most tuples that `FeistelOrder` can permute: halves of 64 bytes."""

_STAGE = "identities/order"
_ROUNDS = 8
_WIDTH = 4
_HALF_BYTES = 64


@dataclass(frozen=True, slots=True, eq=False)
class TableOrder:
    """Tuples of all identities of a run, looked up.

    Attributes:
        table: tuple number of each identity.
    """

    table: np.ndarray

    def tuple_number(self, identity: int) -> int:
        """Return the number of the tuple that an identity shows."""
        return int(self.table[identity])


@dataclass(frozen=True, slots=True)
class FeistelOrder:
    """A pseudo-random permutation of [0, tuples), by a Feistel network and cycle walking.

    Luby & Rackoff, SIAM J. Comput. 1988; cycle walking: Black & Rogaway, CT-RSA 2002.

    Attributes:
        tuples: number of tuples, at least 2.
        keys: key of each round.
    """

    tuples: int
    keys: tuple[bytes, ...]

    @classmethod
    def build(cls, seed: int, tuples: int) -> "FeistelOrder":
        """Build the permutation of a run's seed."""
        rounds = range(_ROUNDS)
        return cls(
            tuples, tuple(derive_seed(seed, _STAGE, n).to_bytes(8, "little") for n in rounds)
        )

    def tuple_number(self, identity: int) -> int:
        """Return the number of the tuple that an identity shows."""
        number = self._permute(identity)
        while number >= self.tuples:
            number = self._permute(number)
        return number

    def _permute(self, number: int) -> int:
        bits = ((self.tuples - 1).bit_length() + 1) // 2
        mask = (1 << bits) - 1
        left, right = number >> bits, number & mask
        for key in self.keys:
            left, right = right, left ^ (_mix(key, right) & mask)
        return left << bits | right


def weighted_order(seed: int, weights: list[list[float]], identities: int) -> TableOrder:
    """Draw tuples one after another, each in proportion to its weight, without replacement.

    Sorting ln(−ln(u)/w) ascending is Efraimidis & Spirakis' (2006) order of u^(1/w) descending.
    More identities only lengthen the order.

    Args:
        seed: seed of the run.
        weights: weight above 0 of each value, slot by slot; a tuple's weight is their product.
        identities: tuples to keep.
    """
    tuples = int(np.prod([len(slot) for slot in weights], dtype=np.int64))
    rows = -(-tuples // _WIDTH)
    keys = uniforms(seed, _STAGE, 0, rows, _WIDTH).reshape(-1)[:tuples]
    if is_weighted(weights):
        keys = np.log(-np.log(keys)) - _log_weights(weights)
    return TableOrder(np.argsort(keys, kind="stable")[:identities].astype(np.int32))


def is_weighted(weights: list[list[float]]) -> bool:
    """Return whether some value of some slot weighs more than another one."""
    return any(len(set(slot)) > 1 for slot in weights)


def _log_weights(weights: list[list[float]]) -> Float64[np.ndarray, " tuples"]:
    """Return the logarithm of each tuple's weight; the last slot's value changes fastest."""
    return reduce(np.add.outer, [np.log(slot) for slot in weights], np.zeros(())).reshape(-1)


def _mix(key: bytes, half: int) -> int:
    text = half.to_bytes(_HALF_BYTES, "little")
    return int.from_bytes(blake2b(text, key=key, digest_size=_HALF_BYTES).digest(), "little")


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


class PromptIdentitiesConfig(IdentitySection):
    """Identities from a prompt template; an identity is a tuple of slot values and a seed."""

    follows_prompts: ClassVar[bool] = True

    source: Literal["prompts"]  # pyright: ignore[reportIncompatibleVariableOverride]
    quotas: dict[str, dict[str, Share]] = Field(
        default={},
        description="Slot → value → share of the identities, held in every split; what is left "
        "goes to the slot's other values.",
    )

    @model_validator(mode="after")
    def _quotas_match_slots(self) -> "PromptIdentitiesConfig":
        refuse_many([len(shares) for shares in self.quotas.values()])
        for name, shares in self.quotas.items():
            if name not in self.slots:
                raise ValueError(
                    f"quotas name the slot {name!r}; there are {', '.join(self.slots) or 'none'}"
                )
            known_values = set(self.slots[name])
            for value in shares:
                if value not in known_values:
                    known = listed(self.slots[name])
                    raise ValueError(f"quotas.{name} has the value {value!r}; there are {known}")
            others = len(shares) < len(self.slots[name])
            rest_of(f"quotas.{name}", shares.values(), possible=others)
        return self

    def slot_shares(self) -> dict[str, dict[str, float]]:
        """Return the quotas."""
        return self.quotas

    def build(
        self, seed: int, samples: int, partition: Partition, asked: str, run_id: str
    ) -> "PromptIdentities":
        """Build the identities of a run."""
        return PromptIdentities.from_config(self, seed, samples, partition, asked, run_id)


@dataclass(frozen=True, slots=True, eq=False)
class PromptIdentities(Identities):
    """The identities of a run; each shows another tuple of slot values.

    Attributes:
        run_seed: seed of the run.
        template: prompt with slots in braces.
        values: slot → its values.
        order: which tuple each identity takes.
        count: number of identities of the run.
        run_id: short name of the run, which the identities' names carry; empty for plain names.
    """

    run_seed: int
    template: str
    values: dict[str, tuple[str, ...]]
    order: TableOrder | FeistelOrder
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
        weights = [list(values.values()) for values in weighted.values()]
        partition = partition or Partition.build(
            {"train": Fraction(1)}, int(config.expressions_per_identity)
        )
        count = -(-samples // partition.group)
        tuples = prod(len(slot) for slot in weights)
        if tuples > MOST_TUPLES:
            raise ConfigError(
                "identities.slots: the slots yield more than 2^1000 tuples of values, too many to "
                "be numbered; leave slots or values out"
            )
        _refuse_too_few(
            tuples, count, samples, asked or f"expressions_per_identity: {partition.group}"
        )
        slots = {name: tuple(values) for name, values in weighted.items()}
        if config.quotas:
            every = _every_tuple(seed, weights, tuples)
            order = quota_order(seed, slots, config.quotas, every, partition.pattern, count)
        else:
            order = _choose_order(seed, weights, tuples, count)
        return cls(seed, config.template, slots, order, count, run_id)

    def identity(self, number: int) -> Identity:
        """Return the identity of a number in [0, count)."""
        values = self._values(self.order.tuple_number(number))
        return Identity(
            identity_id=numbered("id", self.run_id, number),
            values=values,
            seed=derive_seed(self.run_seed, "identities/seed", number),
            prompt=filled(self.template, values),
        )

    def _values(self, tuple_number: int) -> dict[str, str]:
        """Read the digits of a tuple's number; the last slot's is the lowest."""
        values = {}
        for name in reversed(self.values):
            tuple_number, digit = divmod(tuple_number, len(self.values[name]))
            values[name] = self.values[name][digit]
        return {name: values[name] for name in self.values}


def _choose_order(
    seed: int, weights: list[list[float]], tuples: int, count: int
) -> TableOrder | FeistelOrder:
    if tuples <= TABLE_LIMIT:
        return weighted_order(seed, weights, count)
    if is_weighted(weights):
        raise ConfigError(
            f"identities.slots: the slots yield {tuples} tuples of values; with weights at most "
            f"{TABLE_LIMIT} are possible, so leave values or the weights out"
        )
    return FeistelOrder.build(seed, tuples)


def _every_tuple(seed: int, weights: list[list[float]], tuples: int) -> TableOrder:
    if tuples > TABLE_LIMIT:
        raise ConfigError(
            f"{WHERE}: the slots yield {tuples} tuples of values; with quotas at most "
            f"{TABLE_LIMIT} are possible, so leave values or the quotas out"
        )
    return weighted_order(seed, weights, tuples)


def _refuse_too_few(tuples: int, identities: int, samples: int, asked: str) -> None:
    if tuples < identities:
        raise ConfigError(
            f"identities.template: its slots yield {tuples} different tuple"
            f"{'' if tuples == 1 else 's'} of values, but samples: {samples} with "
            f"{asked} ask for {identities} identities; "
            "add values or slots, or raise expressions_per_identity"
        )
