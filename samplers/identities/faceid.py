"""Identity source `faceid`: people from a store of face embeddings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from samplers.identities.alike import find_alike
from samplers.identities.identity import Identities, Identity, filled
from samplers.identities.person_columns import Naming
from samplers.identities.store import FaceStore, read_store
from samplers.identities.synthetic import new_people
from samplers.randomness import derive_seed, uniforms
from samplers.shares import Partition
from synthgen.config import RunConfig
from synthgen.config.base import Section
from synthgen.config.identities.base import MINI_STORE, IdentitySection, absolute_store
from synthgen.errors import ConfigError, StoreError
from synthgen.foreign import counted, excerpt

_MOST_ROWS = 20_000
"""Rows of a store that are compared before a run: some seconds."""

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
        needed = -(-(size := partition.size(split, samples)) // partition.group)
        if needed > len(names):
            enough = f"show each {-(-size // len(names))} times or more, " if names else ""
            raise ConfigError(
                f"identities.store: {store.where} has "
                f"{counted(len(names), 'person', 'people')} for the split {split!r}, but "
                f"samples: {samples} with {asked} ask for {needed}; take a larger store, lower "
                f"samples, {enough}or set identities.synthetic"
            )


def refuse_without_pictures(store: FaceStore) -> None:
    """Refuse a store that does not keep a picture of each person.

    Raises:
        StoreError: with how many lack one, and how they are made.
    """
    lacking = [name for name in store.rows if store.reference(name) is None]
    if lacking:
        which = f"{len(lacking)} of its {len(store)} people, such as {excerpt(lacking[0], 60)!r}"
        whom = "anybody" if len(lacking) == len(store) else which
        raise StoreError(
            f"identities.reference: {store.where} keeps no picture of {whom}; make a store that "
            "does: synthgen faces embed PHOTOS --keep-images --to people.parquet"
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


DEFAULT_SHRINKAGE = 0.1
"""Share of a round covariance in that of a store, so that a small one has a use, too."""


class SyntheticPeopleConfig(Section):
    """New people, drawn from the statistics of a store."""

    min_distance: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Smallest cosine distance (0, 1] of a new person to everyone in the store and "
        "to every other new person; null: at which half of the store's people have their nearest "
        "other one, 0.7 at most.",
    )
    shrinkage: float = Field(
        default=DEFAULT_SHRINKAGE,
        gt=0,
        le=1,
        description="How far the store's covariance is drawn towards a round one (0, 1]: more for "
        "a small store.",
    )


class FaceIdIdentitiesConfig(IdentitySection):
    """Identities from a store of face embeddings; the prompt gives scene and clothes."""

    gives: ClassVar[frozenset[str]] = frozenset({"faceid"})
    gives_with: ClassVar[Mapping[str, str]] = {"reference": "reference"}

    source: Literal["faceid"]  # pyright: ignore[reportIncompatibleVariableOverride]
    store: str = Field(
        min_length=1,
        description="File of embeddings (.parquet, .safetensors, .npy, .npz), or folder of a "
        "dataset; 'mini': 200 drawn people, for the embedded weights.",
    )
    column: str | None = Field(
        default=None,
        description="Column, tensor or array of the embeddings; null: one of a usual name.",
    )
    people: str | None = Field(
        default=None,
        min_length=1,
        exclude_if=lambda asked: asked is None,
        description="Column of the store that names people, where it is not clear; of file names: "
        "the folder of each file; null: one of a known name.",
    )
    one_face_each: bool = Field(
        default=False,
        exclude_if=lambda asked: not asked,
        description="Each row of the store shows another person, whatever other columns say.",
    )
    embedder: str | None = Field(
        default=None,
        description="Fingerprint of the recogniser that made the embeddings, for a store that "
        "does not carry it.",
    )
    template: str = Field(
        default="a portrait photo of a person",
        min_length=1,
        description="Prompt with slots in braces, as in 'a person {place}'; the values are drawn "
        "for each identity.",
    )
    synthetic: SyntheticPeopleConfig | None = Field(
        default=None,
        description="Show new people, drawn from the store's statistics, instead of its own.",
    )

    reference: bool = Field(
        default=False,
        exclude_if=lambda asked: not asked,
        description="Edit the picture of each person that the store keeps, so that looks and "
        "background stay; needs a store of `synthgen faces embed --keep-images`.",
    )

    @model_validator(mode="after")
    def _new_people_have_no_pictures(self) -> "FaceIdIdentitiesConfig":
        if self.reference and self.synthetic is not None:
            raise ValueError(
                "reference edits pictures of the store's people, and synthetic shows new people, "
                "of whom there are none; leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def _people_are_said_once(self) -> "FaceIdIdentitiesConfig":
        if self.people is not None and self.one_face_each:
            raise ValueError(
                f"people names the column {self.people!r}, and one_face_each says that each row "
                "shows another person; give one of both"
            )
        if self.people is not None and self.people.endswith((".txt", ".npy")):
            raise ValueError(
                f"people names the list {self.people!r}, which would not travel with the store; "
                f"make a store of both first: synthgen faces import {self.store} --people "
                f"{self.people} --to faces.parquet"
            )
        return self

    def doubts(self, run: RunConfig) -> list[str]:
        """Tell of people who may be one person under two names, free for two splits.

        A store that cannot be read is for the plan to tell. People who are drawn anew keep their
        distance from each other, whatever the store holds.
        """
        if self.synthetic is not None:
            return []
        try:
            store = configured_store(self)
        except StoreError:
            return []
        found = find_alike(store, _MOST_ROWS).sentence(f"identities.store: {store.where}")
        return [] if found is None else [found]

    def local_paths(self) -> list[str]:
        """Return the store, where it is not embedded."""
        return [] if self.store == MINI_STORE else [self.store]

    def with_absolute_paths(self) -> "FaceIdIdentitiesConfig":
        """Return the section with a path of the store that does not depend on the folder."""
        return self.model_copy(update={"store": absolute_store(self.store)})

    def build(
        self, seed: int, samples: int, partition: Partition, asked: str, run_id: str
    ) -> "FaceIdIdentities":
        """Read the store and build the identities of a run.

        Raises:
            StoreError: if the store cannot be read or holds what is no embedding.
            ConfigError: if it has too few people, or if no new people can be drawn.
        """
        return FaceIdIdentities.from_config(self, seed, samples, partition, asked, run_id)


@dataclass(frozen=True, slots=True, eq=False)
class FaceIdIdentities(Identities):
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
        edited: whether images are edited from the people's pictures.
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
    edited: bool = False

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
            StoreError: if the store cannot be read or holds what is no embedding, or lacks pictures
                that are to be edited.
            ConfigError: if it has too few people, or if no new people can be drawn.
        """
        store = configured_store(config)
        if config.reference:
            refuse_without_pictures(store)
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
            edited=config.reference,
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
        more = {"reference": self.store.reference(name)} if self.edited else {}
        return Identity(
            identity_id=person.qualified_id if self.qualified else name,
            values=values,
            seed=derive_seed(self.run_seed, "identities/seed", number),
            prompt=filled(self.template, values),
            conditions={"faceid": person, **more},
        )

    def describe(self) -> str:
        """Say who the people are and which recogniser describes them."""
        store = self.store
        who = f"{store.where}: {len(store)} people, described by {store.about.embedder_name}"
        return f"{who}; images are edited from their pictures" if self.edited else who

    def fingerprint(self) -> dict[str, str]:
        """Return what the people are a function of besides the configuration.

        For new people that is the store that they were drawn from: a run that is extended has more
        of them.
        """
        pictures = {"identities.reference": self.store.reference_digest} if self.edited else {}
        return {"identities.store": self.origin, **pictures}

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
