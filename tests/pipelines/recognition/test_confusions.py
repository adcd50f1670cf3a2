"""What is confused is found where it is, and not found where it is not."""

import numpy as np
import pytest

from pipelines.recognition.confusions import LEAST, find_confusions
from pipelines.recognition.examples import Face
from pipelines.recognition.gain import gain_of

CATEGORIES, AUS = ("happy", "sad", "angry"), ("AU4", "AU12")


def faces(per_category=90):
    found = []
    for number, category in enumerate(CATEGORIES):
        for n in range(per_category):
            aus = np.array([n % 2 * 4.0, 3.0], np.float32)
            slots = (("skin", "dark" if n % 3 == 0 else "pale"),)
            person = f"p{number * per_category + n // 3}"
            found.append(Face(f"{category}-{n}", "test", category, aus, None, person, slots))
    return found


def told_by(called, seeds=2):
    one = np.eye(len(CATEGORIES))[[CATEGORIES.index(name) for name in called]]
    return np.stack([one] * seeds)


def found_in(test, called):
    shown = [face.category for face in test]
    return find_confusions(test, shown, told_by(called), CATEGORIES, AUS, seed=0)


def test_a_weak_level_is_told_and_its_category_counted_on_both_sides():
    test = faces()
    called = [
        "angry" if f.category == "sad" and f.aus[0] == 0 and n % 5 else f.category
        for n, f in enumerate(test)
    ]
    found = found_in(test, called)
    by_name = {one.name: one for one in found.categories}
    missed = sum(c != f.category for c, f in zip(called, test, strict=True))
    assert by_name["sad"].missed.number == missed
    assert by_name["sad"].taken == 0
    assert by_name["angry"].taken == missed
    assert by_name["sad"].confused == by_name["angry"].confused == missed / 2
    assert by_name["sad"].mostly == {"angry": pytest.approx(missed / 90)}
    assert by_name["happy"].missed.share == 0
    low, high = by_name["sad"].missed.low, by_name["sad"].missed.high
    assert low < missed / 90 < high
    assert [group.name for group in found.groups if group.weak] == ["sad, AU4 0"]


def test_a_weak_slot_value_is_told():
    test = faces()
    called = [
        "sad" if f.slots == (("skin", "dark"),) and f.category == "happy" else f.category
        for f in test
    ]
    weak = [group.name for group in found_in(test, called).groups if group.weak]
    assert weak == ["skin 'dark'"]


def test_errors_by_chance_are_hardly_ever_called_weak():
    test = faces()
    weak = 0
    for seed in range(10):
        wrong = np.random.default_rng(seed).random(len(test)) < 0.3
        called = ["happy" if w else f.category for w, f in zip(wrong, test, strict=True)]
        weak += any(group.weak for group in found_in(test, called).groups)
    assert weak <= 3


def test_of_few_pictures_nothing_is_said():
    test = faces(LEAST)  # 10 of a category at each level of AU4
    found = found_in(test, ["happy"] * len(test))
    assert {group.slot for group in found.groups} == {"skin"}


def test_a_gain_shows_where_its_interval_lies_above_0():
    people = [f"p{n // 3}" for n in range(300)]
    before = np.arange(300)[None].repeat(3, axis=0) % 4 > 0
    after = before | (np.arange(300) % 8 == 0)
    gain = gain_of(after, before, people, seed=0)
    assert gain.value == pytest.approx(38 / 300)
    assert gain.shown
    assert gain.seeds == pytest.approx((38 / 300,) * 3)
    nothing = gain_of(before, before, people, seed=0)
    assert (nothing.value, nothing.shown) == (0, False)
    after[0] = ~before[0]  # one training of three went another way
    doubtful = gain_of(after, before, people, seed=0)
    assert doubtful.high - doubtful.low > 5 * (gain.high - gain.low)
