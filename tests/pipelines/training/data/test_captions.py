import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.procedural import random_identity
from pipelines.procedural.vocabulary import traits_in
from pipelines.training.data.captions import describe, expression_phrase
from synthgen.action_units import AU_NAMES, AUS, INTENSITY_WORDS, au_vector

SEEDS = st.integers(0, 2**40)
INTENSITIES = st.lists(st.floats(0, 5), min_size=12, max_size=12)


@settings(max_examples=40)
@given(SEEDS, SEEDS)
def test_the_traits_that_a_caption_names_are_those_of_the_face(person, seed):
    identity = random_identity(seed=person)
    named = traits_in(describe(identity, seed))
    assert named
    assert {trait: identity.traits[trait] for trait in named} == named


@settings(max_examples=40)
@given(SEEDS, SEEDS, INTENSITIES)
def test_telling_the_expression_changes_no_trait(person, seed, aus):
    identity = random_identity(seed=person)
    named = traits_in(describe(identity, seed, aus))
    assert {trait: identity.traits[trait] for trait in named} == named


@settings(max_examples=40)
@given(SEEDS, SEEDS, st.none() | INTENSITIES)
def test_captions_are_a_function_of_face_and_seed(person, seed, aus):
    identity = random_identity(seed=person)
    assert describe(identity, seed, aus) == describe(identity, seed, aus)


def test_one_face_has_many_captions():
    identity = random_identity(seed=5)
    captions = {describe(identity, seed) for seed in range(300)}
    assert len(captions) > 150
    for words in ("a portrait of", "a photo of", "a closeup of", "the face of"):
        assert any(words in caption for caption in captions), words


def test_most_captions_name_the_traits_that_prompts_name():
    identities = [random_identity(seed=seed) for seed in range(120)]
    named = [traits_in(describe(identity, i)) for i, identity in enumerate(identities)]
    for trait in ("age", "person", "skin"):
        assert np.mean([trait in traits for traits in named]) > 0.6, trait


def test_an_expression_is_told_in_facs_words():
    phrase = expression_phrase(au_vector({"AU12": 3.6, "AU6": 1.2, "AU25": 0.4}), 0)
    wanted = {f"severe {AU_NAMES['AU12']}", f"trace {AU_NAMES['AU6']}"}
    assert set(phrase.split(", ")) == wanted


@pytest.mark.parametrize("level", [1, 2, 3, 4, 5])
def test_each_intensity_has_its_word(level):
    for au in AUS:
        phrase = expression_phrase(au_vector({au: level}), 0)
        assert phrase == f"{INTENSITY_WORDS[level - 1]} {AU_NAMES[au]}"


def test_a_neutral_face_has_words_of_its_own():
    phrases = {expression_phrase([0.0] * 12, seed) for seed in range(40)}
    assert phrases == {"a neutral expression", "a neutral face", "no expression", "a blank face"}
