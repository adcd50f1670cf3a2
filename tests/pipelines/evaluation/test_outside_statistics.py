"""Statistics of judges from outside, against calculations by hand."""

import numpy as np
import pytest

from pipelines.evaluation.outside_statistics import (
    PENALTIES,
    codes_of,
    cross_validated,
    rank1,
    ridge,
    verification,
)
from pipelines.evaluation.statistics import pearson


def column(*values):
    """Return numbers as features of one dimension."""
    return np.array(values, float)[:, None]


@pytest.mark.parametrize(
    ("faces", "people", "expected"),
    [
        # Apart: 3, 3.5, 2, 2.5; alike: 1, 0.5.
        ((0, 1, 3, 3.5), (0, 0, 1, 1), 1.0),
        # Alike: 4, 4; apart: 1, 5, 3, 1. One of four is farther.
        ((0, 4, 1, 5), (0, 0, 1, 1), 0.25),
        # Alike: 1; apart: 2 and, a tie, 1.
        ((0, 1, 2), (0, 0, 1), 0.75),
    ],
)
def test_auc_counts_pairs_of_pairs(faces, people, expected):
    assert verification(column(*faces), np.array(people), seed=0).value == expected


def test_auc_and_its_interval_are_those_of_all_pairs():
    rng = np.random.default_rng(3)
    people = np.repeat(np.arange(12), 4)
    faces = rng.normal(size=(12, 3))[people] + rng.normal(size=(48, 3))
    gaps = np.sqrt(((faces[:, None] - faces) ** 2).sum(-1))
    upper = np.triu(np.ones((48, 48), bool), 1)
    alike = (people[:, None] == people) & upper
    apart = (people[:, None] != people) & upper

    def area(drawn):
        """Count over the pairs of all people drawn; copies of one are not compared."""
        same, same_weight = gaps[alike], drawn[people[np.nonzero(alike)[0]]]
        one, other = np.nonzero(apart)
        weights = drawn[people[one]] * drawn[people[other]]
        won = (same[:, None] < gaps[apart]) @ weights
        return (same_weight @ won) / (same_weight.sum() * weights.sum())

    found = verification(faces, people, seed=5)
    assert found.value == pytest.approx(area(np.ones(12)))
    rng = np.random.default_rng(5)
    drawn = [area(np.bincount(rng.integers(0, 12, 12), minlength=12)) for _ in range(1000)]
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])))
    assert found.low < found.value < found.high


def test_rank1_asks_those_who_have_another_image():
    faces, people = column(0, 1, 1.2, 9, 20), np.array([0, 0, 1, 1, 2])
    # 0 finds 1; 1 finds 1.2 of another; 1.2 finds 1; 9 finds 1.2; 20 stands alone.
    found, chance = rank1(faces, people, seed=0)
    assert found.value == 0.5
    assert (found.low, found.high) == (0.5, 0.5)  # either person is right once in two
    assert chance == 0.25


def test_without_pairs_there_are_no_figures():
    for people in (np.zeros(0, int), np.zeros(1, int), np.arange(3)):
        faces = np.arange(len(people), dtype=float)[:, None]
        found, chance = rank1(faces, people, seed=0)
        auc = verification(faces, people, seed=0)
        assert np.isnan([auc.value, auc.low, auc.high, found.value, found.low, chance]).all()


def test_a_penalty_as_large_as_the_features_halves_the_slope():
    # Three standardised features have a sum of squares of 3.
    predicted = ridge(column(-1, 0, 1), column(0, 2, 4), column(2, -3), penalties=[3.0])
    assert predicted[:, 0] == pytest.approx([4, -1])
    straight = ridge(column(-1, 0, 1), column(0, 2, 4), column(2), penalties=[1e-12])
    assert straight[0, 0] == pytest.approx(6)


def test_ridge_takes_the_penalty_that_leaves_the_least_error_when_one_is_left_out():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(30, 8))
    targets = np.stack([features[:, 0] + rng.normal(size=30) * s for s in (0.01, 5.0)], axis=1)
    unseen = rng.normal(size=(4, 8))
    scaled = (features - features.mean(0)) / features.std(0)
    new = (unseen - features.mean(0)) / features.std(0)

    def fitted(x, y, at, penalty):
        middle = x.mean(0)
        gram = (x - middle).T @ (x - middle) + penalty * np.eye(8)
        return y.mean() + (at - middle) @ np.linalg.solve(gram, (x - middle).T @ (y - y.mean()))

    chosen = []
    for target in targets.T:
        errors = []
        for penalty in PENALTIES:
            left_out = [np.arange(30) != place for place in range(30)]
            errors.append(np.mean([
                (target[~kept] - fitted(scaled[kept], target[kept], scaled[~kept], penalty)) ** 2
                for kept in left_out
            ]))  # fmt: skip
        chosen.append(PENALTIES[int(np.argmin(errors))])
    assert chosen[0] < chosen[1]
    expected = [fitted(scaled, y, new, p) for y, p in zip(targets.T, chosen, strict=True)]
    assert ridge(features, targets, unseen) == pytest.approx(np.stack(expected, axis=1))


def test_constant_features_count_for_nothing():
    features = np.hstack([column(-1, 0, 1, 2), np.full((4, 1), 7.0)])
    targets = column(0, 2, 4, 6)
    unseen = np.array([[3.0, 100.0]])
    alone = ridge(features[:, :1], targets, unseen[:, :1])
    assert ridge(features, targets, unseen) == pytest.approx(alone)


def test_nobody_is_predicted_from_faces_of_their_own():
    rng = np.random.default_rng(2)
    people = codes_of([f"p{number}" for number in np.repeat(np.arange(10), 6)])
    features = rng.normal(size=(60, 3))
    targets = features @ np.array([[1.0], [2.0], [0.0]])
    found = cross_validated(features, targets, people, seed=0)
    assert pearson(targets[:, 0], found[:, 0]) > 0.999
    changed = np.where((people == 4)[:, None], rng.normal(size=(60, 1)), targets)
    again = cross_validated(features, changed, people, seed=0)
    assert np.array_equal(again[people == 4], found[people == 4])
    assert not np.array_equal(again, found)


def test_one_person_alone_cannot_be_cross_validated():
    found = cross_validated(np.ones((3, 2)), np.ones((3, 1)), np.zeros(3, int), seed=0)
    assert np.isnan(found).all()
    assert cross_validated(np.ones((0, 0)), np.ones((0, 1)), np.zeros(0, int), seed=0).size == 0
