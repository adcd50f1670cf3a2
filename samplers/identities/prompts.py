"""Identity source `prompts`: a template with slots; an identity is a tuple of their values."""

from dataclasses import dataclass
from fractions import Fraction
from math import prod

from samplers.identities.identity import Identity, filled, numbered
from samplers.identities.quotas import WHERE as QUOTAS
from samplers.identities.quotas import quota_order
from samplers.identities.tuples import (
    MOST_TUPLES,
    TABLE_LIMIT,
    FeistelOrder,
    TableOrder,
    is_weighted,
    weighted_order,
)
from samplers.partition import Partition
from samplers.randomness import derive_seed
from synthgen.config import PromptIdentitiesConfig
from synthgen.errors import ConfigError


@dataclass(frozen=True, slots=True, eq=False)
class PromptIdentities:
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

    def describe(self) -> str | None:
        """Return None: there is no store."""

    def fingerprint(self) -> dict[str, str]:
        """Return nothing: prompts are a function of the configuration alone."""
        return {}

    def licences(self) -> dict[str, str]:
        """Return nothing: prompts have no licence."""
        return {}

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
            f"{QUOTAS}: the slots yield {tuples} tuples of values; with quotas at most "
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
