"""Identity source `faceid`: people from a store of face embeddings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np

from samplers.identities.identity import Identity, filled
from samplers.identities.person_columns import Naming
from samplers.identities.store import FaceStore, read_store
from samplers.identities.synthetic import new_people
from samplers.randomness import derive_seed, uniforms
from samplers.shares import Partition
from synthgen.config import FaceIdIdentitiesConfig
from synthgen.errors import ConfigError

_CUT = b"synthgen-cut"


def split_people(store: FaceStore, partition: Partition, seed: int) -> dict[str, list[str]]:
    """Give each person of a store to one split, and order each split's people.

    The split is the store's own where it has one. Elsewhere it follows from the names alone, so
    that no seed moves a person from one split to another. The seed decides the order.

    Args:
        store: the people.
        partition: the splits of the run.
        seed: seed of the run.

    Returns:
        Split → names, in the order in which they are shown.
    """
    cut = _own_cut(store) if store.splits else _cut_by_name(list(store.rows), partition.pattern)
    key = derive_seed(seed, "identities/people").to_bytes(8, "little")
    return {
        split: sorted(cut.get(split, []), key=lambda name: _digest(name, key))
        for split in partition.members
    }


def refuse_too_few(
    people: Mapping[str, Sequence[str]],
    partition: Partition,
    samples: int,
    store: FaceStore,
    asked: str,
) -> None:
    """Refuse a store whose people do not suffice.

    Raises:
        ConfigError: with the split and both numbers.
    """
    for split, names in people.items():
        needed = -(-partition.size(split, samples) // partition.group)
        if needed > len(names):
            raise ConfigError(
                f"identities.store: {store.where} has {len(names)} "
                f"{'person' if len(names) == 1 else 'people'} for the split {split!r}, but "
                f"samples: {samples} with {asked} ask for {needed}; take a larger store, lower "
                "samples, or raise expressions_per_identity"
            )


def _own_cut(store: FaceStore) -> dict[str, list[str]]:
    cut: dict[str, list[str]] = {}
    for name in store.rows:
        cut.setdefault(str(store.split_of(name)), []).append(name)
    return cut


def _cut_by_name(names: Sequence[str], pattern: Sequence[str]) -> dict[str, list[str]]:
    cut: dict[str, list[str]] = {}
    for place, name in enumerate(sorted(names, key=lambda name: _digest(name, _CUT))):
        cut.setdefault(pattern[place % len(pattern)], []).append(name)
    return cut


def _digest(name: str, key: bytes) -> bytes:
    return blake2b(name.encode(), key=key, digest_size=16).digest()


@dataclass(frozen=True)
class SlotValues:
    """Values of template slots, drawn by weight; several identities may have the same.

    Attributes:
        seed: seed of the run.
        slots: slot → value → weight above 0, in order of the template.
    """

    seed: int
    slots: dict[str, dict[str, float]]

    def of(self, number: int) -> dict[str, str]:
        """Return slot → value of the identity of a number."""
        return {slot: self._value(slot, number) for slot in self.slots}

    @cached_property
    def _sorted(self) -> dict[str, tuple[list[str], np.ndarray]]:
        """Values of each slot and where their shares end.

        Sorted, so that the order of the values in the file decides nothing.
        """
        slots = {slot: dict(sorted(values.items())) for slot, values in self.slots.items()}
        return {
            slot: (list(values), np.cumsum(list(values.values()))) for slot, values in slots.items()
        }

    def _value(self, slot: str, number: int) -> str:
        values, edges = self._sorted[slot]
        place = uniforms(self.seed, f"identities/slot/{slot}", number, number + 1, 1)[0, 0]
        return values[int(np.searchsorted(edges, place * edges[-1], side="right"))]


@dataclass(frozen=True, slots=True, eq=False)
class FaceIdIdentities:
    """The people of a run: the embedding says who, the prompt says where and in what.

    Attributes:
        run_seed: seed of the run.
        template: prompt with slots in braces.
        values: what the slots say.
        store: the embeddings.
        origin: fingerprint of the store that was read.
        people: split → names, in the order in which they are shown.
        partition: the split of each identity.
        count: number of identities of the run.
        qualified: whether names tell people of equal names in different stores apart.
    """

    run_seed: int
    template: str
    values: SlotValues
    store: FaceStore
    origin: str
    people: Mapping[str, Sequence[str]]
    partition: Partition
    count: int
    qualified: bool = False

    @classmethod
    def from_config(
        cls,
        config: FaceIdIdentitiesConfig,
        seed: int,
        samples: int,
        partition: Partition,
        asked: str,
        run_id: str = "",
    ) -> "FaceIdIdentities":
        """Read the store, cut it into splits, and order its people.

        Args:
            config: the section `identities`.
            seed: seed of the run.
            samples: samples of the run.
            partition: the split of each sample.
            asked: samples of an identity in words, for sentences.
            run_id: short name of the run; empty for plain names, those of the store.

        Raises:
            StoreError: if the store cannot be read or holds what is no embedding.
            ConfigError: if it has too few people, or if no new people can be drawn.
        """
        store = configured_store(config)
        origin = store.fingerprint
        count = -(-samples // partition.group)
        if config.synthetic is not None:
            store = new_people(
                store,
                count,
                seed,
                min_distance=config.synthetic.min_distance,
                shrinkage=config.synthetic.shrinkage,
            )
            people = _dealt(list(store.rows), partition.pattern)
        else:
            people = split_people(store, partition, seed)
            refuse_too_few(people, partition, samples, store, asked)
        return cls(
            run_seed=seed,
            template=config.template,
            values=SlotValues(seed, config.weighted_slots()),
            store=store,
            origin=origin,
            people=people,
            partition=partition,
            count=count,
            qualified=bool(run_id),
        )

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the slots, in order of the template."""
        return tuple(self.values.slots)

    def identity(self, number: int) -> Identity:
        """Return the identity of a number in [0, count)."""
        split, position = self.partition.locate(number * self.partition.group)
        name = self.people[split][position // self.partition.group]
        values = self.values.of(number)
        person = self.store.face(name)
        return Identity(
            identity_id=person.qualified_id if self.qualified else name,
            values=values,
            seed=derive_seed(self.run_seed, "identities/seed", number),
            prompt=filled(self.template, values),
            faceid=person,
        )

    def describe(self) -> str:
        """Say who the people are and which recogniser describes them."""
        store = self.store
        return f"{store.where}: {len(store)} people, described by {store.about.embedder_name}"

    def fingerprint(self) -> dict[str, str]:
        """Return what the people are a function of besides the configuration.

        For new people that is the store that they were drawn from: a run that is extended has more
        of them.
        """
        return {"identities.store": self.origin}

    def licences(self) -> dict[str, str]:
        """Return name → licence of what the embeddings come from."""
        about = self.store.about
        return {f"face embeddings ({about.embedder_name})": about.licence}


def configured_store(config: FaceIdIdentitiesConfig) -> FaceStore:
    """Read the store that a configuration names.

    Raises:
        StoreError: as `read_store`.
    """
    return read_store(
        config.store,
        column=config.column,
        embedder=config.embedder,
        naming=Naming(config.people, config.one_face_each),
    )


def _dealt(names: Sequence[str], pattern: Sequence[str]) -> dict[str, list[str]]:
    """Give new people, in their order, the splits of the pattern."""
    people: dict[str, list[str]] = {split: [] for split in pattern}
    for place, name in enumerate(names):
        people[pattern[place % len(pattern)]].append(name)
    return people
