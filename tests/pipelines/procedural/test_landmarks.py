"""The labels of a drawn face say where things are in its picture."""

import numpy as np
import pytest

from pipelines.procedural import Expression, labels_of, random_identity, render

SEEDS = (3, 12, 40)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_iris_is_where_the_labels_say(seed):
    """Pixels that another colour of the eyes changes are centred on the irises."""
    eyes = [random_identity(seed, edition=2, eyes=eyes, glasses="no") for eyes in ("blue", "brown")]
    pictures = [np.asarray(render(each, Expression.of({"AU5": 3}), 256), float) for each in eyes]
    change = np.abs(pictures[0] - pictures[1]).sum(2)
    marks = labels_of(eyes[0], Expression.of({"AU5": 3}), 256).landmarks
    rows, columns = np.nonzero(change > 20)
    for side in ("left", "right"):
        x, y = marks[f"iris_{side}"]
        near = np.hypot(columns - x, rows - y) < 14
        assert near.sum() > 20
        assert columns[near].mean() == pytest.approx(x, abs=2.5)


def test_a_turned_head_and_a_gaze_are_told():
    person = random_identity(5, edition=2)
    labels = labels_of(person, Expression.of({}))
    assert labels.pose == (person.yaw, person.pitch, person.roll)
    assert labels.gaze == person.gaze
    left, top, right, bottom = labels.box
    for name, (x, y) in labels.landmarks.items():
        assert left - 2 <= x <= right + 2, name
        assert top - 2 <= y <= bottom + 2, name


def test_labels_scale_with_the_picture():
    person = random_identity(6, edition=2)
    small, large = (labels_of(person, Expression.of({"AU26": 4}), size) for size in (64, 128))
    for name, at in small.landmarks.items():
        assert large.landmarks[name] == pytest.approx((2 * at[0], 2 * at[1])), name
