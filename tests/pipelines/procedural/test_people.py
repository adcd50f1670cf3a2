"""People of the second edition: who is drawn, and what each trait changes in the picture."""

import dataclasses
import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.procedural import caption, random_identity, render, traits_in
from pipelines.procedural.geometry import geometry
from pipelines.procedural.identity import Identity
from pipelines.procedural.vocabulary import TRAITS

SEEDS = st.integers(-(2**64), 2**64)
PINS = st.fixed_dictionaries({}, optional={t: st.sampled_from(v) for t, v in TRAITS.items()})

OWED = {
    "age": {"years", "hair", "hair_colour"},
    "person": {"hair_style", "beard", "makeup", "lip_colour"},
    "hair": {"hair_colour"},
    "hair_style": set(),
    "skin": {"skin_colour", "lip_colour", "freckles", "hair", "hair_colour", "eyes", "eye_colour",
             "glasses_colour"},
    "beard": set(),
    "glasses": set(),
    "eyes": {"eye_colour"},
    "face": set(),
}  # fmt: skip
"""Trait → fields that follow from it when they are not pinned."""

STILL: dict[str, Any] = {"yaw": 0.0, "pitch": 0.0, "roll": 0.0, "gaze": (0.0, 0.0)}
HEAD, EYES, LIPS = (0.10, 0.0, 0.90, 0.42), (0.22, 0.36, 0.78, 0.58), (0.24, 0.58, 0.76, 1.0)
PAIRS = [
    ("age", "young", "old", {"hair": "brown"}, (0.20, 0.15, 0.80, 0.90)),
    ("hair", "blond", "black", {"hair_style": "short"}, HEAD),
    ("hair_style", "bald", "short", {"hair": "brown"}, HEAD),
    ("hair_style", "cropped", "curly", {"hair": "brown"}, HEAD),
    ("hair_style", "tied-back", "long", {"person": "woman"}, (0.0, 0.3, 1.0, 1.0)),
    ("skin", "pale", "light", {}, (0.25, 0.25, 0.75, 0.85)),
    ("skin", "brown", "dark", {}, (0.25, 0.25, 0.75, 0.85)),
    ("beard", "none", "stubble", {"person": "man"}, LIPS),
    ("beard", "stubble", "beard", {"person": "man"}, LIPS),
    ("beard", "moustache", "goatee", {"person": "man"}, LIPS),
    ("glasses", "no", "yes", {}, EYES),
    ("eyes", "blue", "brown", {"glasses": "no"}, (0.30, 0.42, 0.70, 0.48)),
    ("face", "square", "heart", {}, (0.20, 0.55, 0.80, 0.95)),
]


def facing(seed: int, **traits: str) -> Identity:
    """Return a person of the second edition who faces the camera."""
    person = random_identity(seed, edition=2, even=False, **traits)
    return dataclasses.replace(person, **STILL)


def pixels(person: Identity) -> np.ndarray:
    return np.asarray(render(person, [0.0] * 12), np.float64)


def boxed(image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    left, top, right, bottom = (round(edge * len(image)) for edge in box)
    return image[top:bottom, left:right]


@given(seed=SEEDS, pins=PINS, data=st.data())
@settings(deadline=None)
def test_a_pinned_trait_changes_what_follows_from_it_alone(seed, pins, data):
    trait = data.draw(st.sampled_from([name for name in TRAITS if name not in pins] or ["skin"]))
    value = data.draw(st.sampled_from(TRAITS[trait]))
    free = random_identity(seed, edition=2, **pins)
    pinned = random_identity(seed, edition=2, **(pins | {trait: value}))
    changed = {
        field.name
        for field in dataclasses.fields(free)
        if getattr(free, field.name) != getattr(pinned, field.name)
    }
    assert pinned.traits == pinned.traits | pins | {trait: value}
    assert changed <= OWED[trait] | {trait}


@given(seed=SEEDS, even=st.booleans(), details=st.booleans())
def test_captions_are_read_back(seed, even, details):
    person = random_identity(seed, edition=2, even=even)
    found = traits_in(caption(person, details))
    assert found == {trait: person.traits[trait] for trait in found}
    assert {"age", "person", "skin"} <= set(found)


def test_most_are_not_gray_and_no_young_person_is_unless_named():
    people = [random_identity(seed, edition=2) for seed in range(600)]
    gray = [person for person in people if person.hair == "gray"]
    assert 0.08 < len(gray) / len(people) < 0.27
    assert "young" not in {person.age for person in gray}
    assert random_identity(4, edition=2, age="young", hair="gray").hair == "gray"


def test_all_values_occur():
    people = [random_identity(seed, edition=2) for seed in range(600)]
    for trait, values in TRAITS.items():
        assert {getattr(person, trait) for person in people} == set(values)
    assert {person.glasses_shape for person in people} == {0, 1, 2}
    assert {person.background_kind for person in people} == {0, 1, 2}
    assert {person.clothes for person in people} == set(range(6))


@pytest.mark.parametrize("edition", [1, 2])
def test_even_people_have_each_value_as_often_and_beards_only_on_men(edition):
    people = [random_identity(seed, edition=edition, even=True) for seed in range(1000)]
    men = [person for person in people if person.person == "man"]
    for trait, values in TRAITS.items():
        drawn = Counter(getattr(person, trait) for person in (men if trait == "beard" else people))
        expected = drawn.total() / len(values)
        spread = np.sqrt(expected * (1 - 1 / len(values)))
        assert all(abs(drawn[value] - expected) < 4 * spread for value in values), trait
    assert {person.beard for person in people if person.person == "woman"} == {"none"}
    old = [person.hair == "gray" for person in people if person.age == "old"]
    assert abs(np.mean(old) - 0.2) < 0.08


def test_an_even_person_keeps_what_is_pinned():
    for seed in range(20):
        person = random_identity(seed, edition=2, even=True, person="woman", beard="goatee")
        assert (person.person, person.beard) == ("woman", "goatee")
        assert random_identity(seed, edition=2, even=True, person="woman").beard == "none"


@pytest.mark.parametrize(("trait", "one", "other", "fixed", "box"), PAIRS)
def test_each_trait_changes_its_region(trait, one, other, fixed, box):
    for seed in (3, 8):
        faces = [pixels(facing(seed, **(fixed | {trait: value}))) for value in (one, other)]
        change = np.abs(faces[0] - faces[1])
        inside = boxed(change, box)
        assert inside.mean() > 2.0, f"{trait} {one}/{other}: {inside.mean():.2f} levels"
        if trait not in ("skin", "face", "age", "hair_style"):
            assert inside.sum() > 0.6 * change.sum()


def test_both_eyes_have_one_colour():
    for seed in range(8):
        image = pixels(facing(seed, eyes="blue", glasses="no", age="young", skin="tan"))
        blue = image[..., 2] - image[..., 0]
        halves = [boxed(blue, (0.28, 0.38, 0.5, 0.54)), boxed(blue, (0.5, 0.38, 0.72, 0.54))]
        left, right = (np.sort(half.ravel())[-10:].mean() for half in halves)
        assert min(left, right) > 25
        assert abs(left - right) < 45


def test_the_five_skins_are_apart_in_any_light():
    """Mean brightness of forehead and cheeks falls from pale to dark, by more than light varies."""
    means = {
        skin: [
            boxed(pixels(facing(seed, skin=skin, glasses="no")), (0.42, 0.48, 0.58, 0.58)).mean()
            for seed in range(12)
        ]
        for skin in TRAITS["skin"]
    }
    middles = [float(np.median(values)) for values in means.values()]
    assert middles == sorted(middles, reverse=True)
    assert all(a - b > 15 for a, b in itertools.pairwise(middles))


def test_people_of_the_second_edition_differ_more():
    """Distances between the named points of two faces that look ahead."""
    spread = {}
    for edition in (1, 2):
        people = [random_identity(seed, edition=edition) for seed in range(60)]
        points = np.array(
            [
                list(geometry(dataclasses.replace(person, **STILL), [0.0] * 12).points().values())
                for person in people
            ]
        )
        spread[edition] = points.std(0).mean()
    assert spread[2] > 1.5 * spread[1]
