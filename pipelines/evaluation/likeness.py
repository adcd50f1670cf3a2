"""Numbers that say whom images show, by a face embedder.

Shapes: n images, P people.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from synthgen.dataset.statistics import compare_faces

BOUNDS = (0.7, 0.4)
"""Cosines of which the share above is told."""


@dataclass(frozen=True, slots=True)
class Cosines:
    """Some cosines; NaN where there are none.

    Attributes:
        mean: their mean.
        above: share at or above each of `BOUNDS`.
    """

    mean: float
    above: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Likeness:
    """Whom images show.

    Attributes:
        faceless: images without a face, which are left out.
        wanted: of each image with the person asked for.
        others: of each image with each other person.
        found: share of images whose nearest person, among all, is the one asked for.
        rank1: share of images whose nearest other image shows the same person.
        consistency: mean cosine of two images of one person.
    """

    faceless: int
    wanted: Cosines
    others: Cosines
    found: float
    rank1: float
    consistency: float


def likeness(
    faces: Float[np.ndarray, "n 512"],
    people: Int[np.ndarray, " n"],
    wanted: Float[np.ndarray, "P 512"],
) -> Likeness:
    """Compare images with the people that they should show, and with one another.

    Args:
        faces: unit vectors of the images; NaN rows where there is no face.
        people: the person of each image, a row of `wanted`.
        wanted: unit vectors of the people.
    """
    seen = np.isfinite(faces).all(1)
    faces, people = faces[seen], people[seen]
    cosines = faces.astype(np.float64) @ wanted.astype(np.float64).T  # [n, P]
    own = people[:, None] == np.arange(len(wanted))
    between = compare_faces(faces, [str(person) for person in people])
    nearest = cosines.argmax(1)
    return Likeness(
        faceless=int((~seen).sum()),
        wanted=cosines_of(cosines[own]),
        others=cosines_of(cosines[~own]),
        found=float((nearest == people).mean()) if len(people) else float("nan"),
        rank1=between.rank1,
        consistency=between.consistency,
    )


def cosines_of(values: Float[np.ndarray, " n"]) -> Cosines:
    """Sum up cosines."""
    if not values.size:
        return Cosines(float("nan"), (float("nan"),) * len(BOUNDS))
    return Cosines(float(values.mean()), tuple(float((values >= one).mean()) for one in BOUNDS))


def by_expression(
    faces: Float[np.ndarray, "n 512"],
    people: Int[np.ndarray, " n"],
    wanted: Float[np.ndarray, "P 512"],
    expressions: Sequence[str],
) -> dict[str, float]:
    """Return expression → mean cosine with the person asked for.

    Args:
        faces: unit vectors of the images, whose expressions follow one another in turn.
        people: the person of each image.
        wanted: unit vectors of the people.
        expressions: names of the expressions.
    """
    cosines = (faces.astype(np.float64) * wanted[people]).sum(1)
    turns = cosines.reshape(-1, len(expressions))
    return {
        name: cosines_of(column[np.isfinite(column)]).mean
        for name, column in zip(expressions, turns.T, strict=True)
    }
