"""Drawn people whom no training sees, and stores of them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32
from PIL.Image import Image

from pipelines.faceid.embedder import FaceEmbedder
from pipelines.procedural import Identity, random_identity, render
from samplers.identities.face_identity import FACEID_WIDTH
from samplers.identities.store import FaceStore
from samplers.identities.store_about import StoreAbout
from samplers.identities.synthetic import refuse_many_people
from synthgen.action_units import AU_COUNT
from synthgen.errors import ConfigError

FIRST_SEED = 2**60
"""Identity seed of drawn person 0; trainings draw theirs below and from 2^62 on."""

FIRST_EVALUATED = 2**32
"""Number of the first drawn person whom evaluations ask for; stores begin at 0."""

_AT_ONCE = 64
_NEUTRAL = (0.0,) * AU_COUNT


def drawn_person(number: int) -> Identity:
    """Return a drawn person [0, 2^40)."""
    return random_identity(FIRST_SEED + number)


def person_name(number: int) -> str:
    """Return the name of a drawn person, in stores and in what is made from them."""
    return f"drawn-{number:08d}"


def portrait_of(number: int) -> Image:
    """Draw a person's portrait with a neutral face, 128×128, as it is embedded."""
    return render(drawn_person(number), _NEUTRAL)


def embed_drawn(
    numbers: Sequence[int], embedder: FaceEmbedder
) -> Float32[np.ndarray, "people 512"]:
    """Embed one portrait of each person."""
    rows = [np.empty((0, FACEID_WIDTH), np.float32)]
    for start in range(0, len(numbers), _AT_ONCE):
        portraits = [portrait_of(number) for number in numbers[start : start + _AT_ONCE]]
        rows.append(embedder.embed(portraits).embeddings)
    return np.concatenate(rows)


def drawn_store(people: int, embedder: FaceEmbedder, first: int = 0) -> FaceStore:
    """Make a store of drawn people, one portrait each.

    Args:
        people: how many.
        embedder: what embeds their portraits.
        first: number of the first person [0, 2^40).

    Raises:
        ConfigError: if too many are asked for, or people whom evaluations ask for.
        StoreError: if the embedder tells two of them not apart at all.
    """
    refuse_many_people(people)
    if first + people > FIRST_EVALUATED:
        raise ConfigError(
            f"drawn people {first:,} to {first + people - 1:,} are asked for; from "
            f"{FIRST_EVALUATED:,} on they are for evaluations alone"
        )
    numbers = range(first, first + people)
    about = StoreAbout(
        embedder=embedder.fingerprint,
        embedder_name=embedder.name,
        licence=embedder.licence,
        synthetic=True,
        source=f"{people} drawn people, one portrait each",
    )
    names = [person_name(number) for number in numbers]
    return FaceStore.build(embed_drawn(numbers, embedder), names, about, where="drawn people")
