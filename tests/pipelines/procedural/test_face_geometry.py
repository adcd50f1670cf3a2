"""Each AU moves the face as FACS says, more with more intensity."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.procedural import geometry as position
from pipelines.procedural import random_identity
from pipelines.procedural.geometry import Eye, Face, geometry
from synthgen.action_units import AUS, au_vector
from synthgen.errors import ActionUnitError

SEEDS = (0, 7, 23)
LEVELS = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)


def faces(au: str, seed: int) -> list[Face]:
    return [geometry(random_identity(seed), au_vector({au: level})) for level in LEVELS]


def rises(values: list[float], by: float) -> None:
    """Strictly, and by at least `by` from intensity 0 to 5."""
    assert all(b > a for a, b in itertools.pairwise(values)), values
    assert values[LEVELS.index(5.0)] - values[0] >= by


def falls(values: list[float], by: float) -> None:
    rises([-value for value in values], by)


def corner_height(face: Face) -> float:
    """How far the mouth corners stand above the line between the lips at rest."""
    return 0.7 - (face.mouth.left[1] + face.mouth.right[1]) / 2


@pytest.mark.parametrize("seed", SEEDS)
def test_au1_raises_the_inner_ends_of_the_brows_alone(seed):
    shown = faces("AU1", seed)
    for side in (0, 1):
        falls([face.brows[side].inner[1] for face in shown], 0.03)
        assert len({face.brows[side].outer for face in shown}) == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_au2_raises_the_outer_ends_of_the_brows_alone(seed):
    shown = faces("AU2", seed)
    for side in (0, 1):
        falls([face.brows[side].outer[1] for face in shown], 0.03)
        assert len({face.brows[side].inner for face in shown}) == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_au4_lowers_the_brows_and_draws_them_together(seed):
    shown = faces("AU4", seed)
    for point in ("inner", "middle", "arch", "outer"):
        rises([getattr(face.brows[0], point)[1] for face in shown], 0.01)
    falls([face.brows[1].inner[0] - face.brows[0].inner[0] for face in shown], 0.03)


@pytest.mark.parametrize("seed", SEEDS)
def test_au5_raises_the_upper_lids_until_white_shows_above_the_iris(seed):
    shown = faces("AU5", seed)
    for side in (0, 1):
        rises([face.eyes[side].upper for face in shown], 0.02)
        assert len({face.eyes[side].lower for face in shown}) == 1
        wide = shown[LEVELS.index(5.0)].eyes[side]
        assert wide.upper > wide.iris + 0.01


@pytest.mark.parametrize("seed", SEEDS)
def test_negative_au5_closes_the_eyes_as_au43_does(seed):
    identity = random_identity(seed)
    shown = [geometry(identity, au_vector({"AU5": -level})).eyes[0] for level in range(6)]
    openings = [eye.opening for eye in shown]
    assert all(b < a for a, b in itertools.pairwise(openings))
    assert openings[-1] == pytest.approx(0.0, abs=1e-9)
    assert all(eye.lower == shown[0].lower for eye in shown)


@pytest.mark.parametrize("seed", SEEDS)
def test_au6_narrows_the_eyes_from_below(seed):
    shown = faces("AU6", seed)
    falls([face.eyes[0].lower for face in shown], 0.009)
    falls([face.eyes[0].opening for face in shown], 0.012)


@pytest.mark.parametrize("seed", SEEDS)
def test_au9_raises_the_nostril_wings_and_the_upper_lip(seed):
    shown = faces("AU9", seed)
    falls([face.nose.wing for face in shown], 0.014)
    falls([face.mouth.upper_top for face in shown], 0.007)
    rises([face.brows[0].inner[1] for face in shown], 0.009)


@pytest.mark.parametrize("seed", SEEDS)
def test_au12_raises_and_widens_the_mouth_corners(seed):
    shown = faces("AU12", seed)
    rises([corner_height(face) for face in shown], 0.03)
    rises([face.mouth.width for face in shown], 0.05)


@pytest.mark.parametrize("seed", SEEDS)
def test_au15_lowers_the_mouth_corners(seed):
    falls([corner_height(face) for face in faces("AU15", seed)], 0.028)


@pytest.mark.parametrize("seed", SEEDS)
def test_negative_au12_looks_like_au15_and_the_reverse(seed):
    identity = random_identity(seed)
    for au, opposite in (("AU12", "AU15"), ("AU15", "AU12")):
        assert geometry(identity, au_vector({au: -3})) == geometry(
            identity, au_vector({opposite: 3})
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_au17_pushes_the_chin_and_the_lower_lip_up(seed):
    shown = faces("AU17", seed)
    falls([face.chin for face in shown], 0.009)
    falls([face.mouth.lower_top for face in shown], 0.014)
    rises([face.mouth.pout for face in shown], 0.9)


@pytest.mark.parametrize("seed", SEEDS)
def test_au20_stretches_and_thins_the_lips_without_raising_the_corners(seed):
    shown = faces("AU20", seed)
    rises([face.mouth.width for face in shown], 0.08)
    falls([face.mouth.lower_bottom - face.mouth.lower_top for face in shown], 0.007)
    assert abs(corner_height(shown[6]) - corner_height(shown[0])) < 0.01


@pytest.mark.parametrize("seed", SEEDS)
def test_au25_parts_the_lips_and_leaves_the_jaw(seed):
    shown = faces("AU25", seed)
    rises([face.mouth.opening for face in shown], 0.035)
    assert len({face.chin for face in shown}) == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_au26_drops_the_jaw_with_hardly_parted_lips(seed):
    shown = faces("AU26", seed)
    rises([face.chin for face in shown], 0.05)
    assert shown[6].mouth.opening < 0.45 * faces("AU25", seed)[6].mouth.opening
    both = geometry(random_identity(seed), au_vector({"AU25": 5, "AU26": 5}))
    assert both.mouth.opening > 2 * faces("AU25", seed)[6].mouth.opening


@pytest.mark.parametrize("au", AUS)
def test_a_small_step_of_intensity_is_a_small_step_of_the_face(au):
    identity = random_identity(5)
    levels = np.arange(-5.0, 7.0, 0.05)
    points = [geometry(identity, au_vector({au: float(level)})).points() for level in levels]
    table = np.array([list(found.values()) for found in points])
    assert np.abs(np.diff(table, axis=0)).max() < 0.002


@given(
    aus=st.lists(st.floats(-20, 20), min_size=12, max_size=12), seed=st.integers(-(2**70), 2**70)
)
@settings(max_examples=60, deadline=None)
def test_any_vector_gives_a_face_that_holds_together(aus, seed):
    face = geometry(random_identity(seed), aus)
    assert all(isinstance(eye, Eye) and eye.opening >= -1e-9 for eye in face.eyes)
    assert face.mouth.opening >= 0
    assert face.mouth.width > 0
    assert face.mouth.lower_bottom < face.chin
    assert face.brows[0].inner[0] < face.brows[1].inner[0]


def test_values_outside_the_range_are_clipped():
    identity = random_identity(1)
    assert geometry(identity, [99.0] * 12) == geometry(identity, [7.0] * 12)
    assert geometry(identity, [-99.0] * 12) == geometry(identity, [-5.0] * 12)


def test_wrong_vectors_are_refused():
    with pytest.raises(ActionUnitError) as short:
        geometry(random_identity(1), [0.0] * 11)
    assert str(short.value) == (
        "an AU vector has 12 values, AU1 to AU26, or 18, AU1 to AU43; this one has 11"
    )
    with pytest.raises(ActionUnitError) as nan:
        geometry(random_identity(1), [0.0, float("nan"), *[0.0] * 10])
    assert str(nan.value) == "intensity of AU2 is nan; it must be a finite number"


def test_features_stand_about_at_the_published_positions():
    found = [geometry(random_identity(seed), [0.0] * 12).points() for seed in range(300)]
    mouths = [np.mean([p["mouth_left"], p["mouth_right"]], axis=0) for p in found]
    for name, expected in (("eye_left", position.EYE_LEFT), ("eye_right", position.EYE_RIGHT)):
        places = np.array([p[name] for p in found])
        assert places.mean(axis=0) == pytest.approx(expected, abs=0.004)
        assert np.abs(places - expected).max() < 0.05
    assert np.mean(mouths, axis=0) == pytest.approx(position.MOUTH, abs=0.004)
    assert np.abs(np.array(mouths) - position.MOUTH).max() < 0.05
