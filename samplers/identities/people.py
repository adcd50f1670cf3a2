"""A store's people, cut into splits before anything is drawn."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b

from samplers.identities.store import FaceStore
from samplers.partition import Partition
from samplers.randomness import derive_seed
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
