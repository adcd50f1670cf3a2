"""The second edition of the drawings: 18 AUs, each half of a face for itself."""

import numpy as np
import pytest

from pipelines.procedural import DRAWN_AUS, Expression, random_identity, render
from pipelines.procedural.geometry import Face, geometry
from synthgen.action_units import AUS, au_vector
from synthgen.errors import ActionUnitError

SEEDS = (2, 9, 31)
LEVELS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)


def face(seed: int, aus: dict[str, float], left: dict[str, float] | None = None) -> Face:
    return geometry(random_identity(seed, edition=2), Expression.of(aus, left=left))


def pixels(seed: int, aus: dict[str, float], left: dict[str, float] | None = None) -> np.ndarray:
    person = random_identity(seed, edition=2)
    return np.asarray(render(person, Expression.of(aus, left=left), 96), np.float64)


def test_vectors_of_12_and_18_and_expressions_are_the_same_face():
    person = random_identity(4, edition=2)
    asked = {"AU4": 3.0, "AU12": 2.0, "AU26": 1.0}
    pictures = {
        render(person, aus, 64).tobytes()
        for aus in (au_vector(asked), DRAWN_AUS.vector(asked), Expression.of(asked))
    }
    assert len(pictures) == 1


def test_au1_still_raises_brows_that_au4_draws_together():
    both, raised, lowered = (
        face(5, aus).brows[1] for aus in ({"AU1": 5, "AU4": 5}, {"AU1": 5}, {"AU4": 5})
    )
    rest = face(5, {}).brows[1]
    assert raised.inner[1] < both.inner[1] < rest.inner[1] < lowered.inner[1]
    assert both.inner[0] < rest.inner[0]


def test_the_first_edition_refuses_what_it_cannot_show():
    person = random_identity(1)
    with pytest.raises(ActionUnitError) as later:
        render(person, Expression.of({"AU7": 2}))
    assert str(later.value) == (
        "AU7 is shown by edition 2 of the drawings; this identity is of edition 1, which shows "
        f"{', '.join(AUS)}"
    )
    with pytest.raises(ActionUnitError) as sides:
        render(person, Expression.of({}, left={"AU12": 2}))
    assert str(sides.value) == (
        "the sides of a face differ in edition 2 of the drawings; this identity is of edition 1"
    )


def test_sides_are_refused_where_an_au_has_none():
    with pytest.raises(ActionUnitError) as refused:
        Expression.of({"AU25": 1}, left={"AU25": 3})
    assert str(refused.value) == (
        "AU25 is 3 on the left and 1 on the right; only AU1, AU2, AU4, AU5, AU6, AU7, AU10, AU12, "
        "AU14, AU15, AU20, AU43 can differ between the sides"
    )
