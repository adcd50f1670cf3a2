"""Identity source `faceid`: people from a store of face embeddings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from samplers.identities.identity import Identity, filled
from samplers.identities.people import refuse_too_few, split_people
from samplers.identities.person_columns import Naming
from samplers.identities.slot_values import SlotValues
from samplers.identities.store import FaceStore, read_store
from samplers.identities.synthetic import new_people
from samplers.partition import Partition
from samplers.randomness import derive_seed
from synthgen.config import FaceIdIdentitiesConfig


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
