"""The second edition of the drawings: 18 AUs, each half of a face for itself."""

import numpy as np
import pytest

from pipelines.procedural import DRAWN_AUS, SIDED_AUS, Expression, random_identity, render
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


@pytest.mark.parametrize("au", DRAWN_AUS.names)
def test_more_intensity_changes_more_pixels(au):
    rest = pixels(8, {})
    changes = [np.abs(pixels(8, {au: level}) - rest).mean() for level in (0.5, 1.5, 3.0, 5.0)]
    assert changes == sorted(changes)
    assert changes[0] > 0.02


@pytest.mark.parametrize("au", DRAWN_AUS.names)
def test_each_au_can_be_told_from_the_others(au):
    """No AU's picture is mostly a weaker or stronger picture of another AU."""
    rest = pixels(15, {})
    own = (pixels(15, {au: 4.0}) - rest).ravel()
    for other in DRAWN_AUS.names:
        if other == au:
            continue
        theirs = (pixels(15, {other: 4.0}) - rest).ravel()
        likeness = own @ theirs / np.sqrt((own @ own) * (theirs @ theirs))
        assert abs(likeness) < 0.8, f"{au} and {other}: {likeness:.2f}"


@pytest.mark.parametrize("au", SIDED_AUS)
def test_one_half_shows_what_the_other_does_not(au):
    """The person's left is on the right of the image; the lips of both halves hang together."""
    rest = pixels(3, {})
    change = np.abs(pixels(3, {}, left={au: 4.0}) - rest)
    assert change[:, 48:].sum() > 1.6 * change[:, :48].sum()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_new_aus_move_what_facs_says(seed):
    rest, levels = face(seed, {}), LEVELS[1:]
    for au, measure in {
        "AU7": lambda f: -f.eyes[0].opening,
        "AU43": lambda f: -f.eyes[0].opening,
        "AU10": lambda f: -f.mouth.lips.upper[3][1],
        "AU14": lambda f: -f.mouth.left[1],
        "AU23": lambda f: -(f.mouth.lower_bottom - f.mouth.upper_top),
        "AU24": lambda f: -(f.mouth.lower_bottom - f.mouth.upper_top),
    }.items():
        values = [measure(rest), *(measure(face(seed, {au: level})) for level in levels)]
        assert values == sorted(values), au
        assert values[-1] - values[0] > 0.008, au
    assert face(seed, {"AU43": 5}).eyes[0].opening == pytest.approx(0, abs=1e-9)


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
