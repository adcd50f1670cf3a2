"""Minimal pairs: people and captions that differ in one trait, or one AU."""

import numpy as np
import pytest

from pipelines.procedural.vocabulary import TRAITS, traits_in
from pipelines.training.data.captions import Wording, describe, told_by, wordings
from pipelines.training.data.config import ProceduralData
from pipelines.training.data.contrasts import EXPRESSION, MinimalPairExamples
from pipelines.training.data.examples import ProceduralExamples

DATA = ProceduralData.model_validate(
    {
        "source": "procedural",
        "size": 64,
        "edition": 2,
        "aus": "drawn",
        "even": 1.0,
        "expressions": [{"share": 1, "rate": 0.2}],
        "expression_words": 0.5,
    }
)
EXAMPLES = MinimalPairExamples(DATA, 5, 4)
GROUPS = range(60)


def test_the_first_of_a_group_is_who_a_training_without_groups_sees():
    alone = ProceduralExamples(DATA, 5)
    for number in range(5):
        group = EXAMPLES.group(number)
        assert group.people[0] == alone.identity(number)
        assert group.aus[0].tolist() == alone.aus(number).tolist()


@pytest.mark.parametrize("number", GROUPS)
def test_the_others_differ_in_one_trait_or_one_au(number):
    group = EXAMPLES.group(number)
    first, aus = group.people[0], group.aus[0]
    assert len({*group.changed}) == len(group.changed) == 3
    for person, vector, changed in zip(group.people[1:], group.aus[1:], group.changed, strict=True):
        differing = {t for t in TRAITS if getattr(person, t) != getattr(first, t)}
        assert person.seed == first.seed
        if changed == EXPRESSION:
            assert person == first
            assert np.sum(vector != aus) == 1
        else:
            assert differing == {changed}
            assert vector.tolist() == aus.tolist()


@pytest.mark.parametrize("number", GROUPS)
@pytest.mark.parametrize("telling", [0, 1])
def test_each_caption_tells_what_differs_and_nothing_else(number, telling):
    captions = [EXAMPLES.caption(4 * number + member, telling) for member in range(4)]
    assert len({*captions}) == 4
    group, told = EXAMPLES.group(number), [traits_in(caption) for caption in captions]
    for member, changed in enumerate(group.changed, 1):
        differing = {t for t in TRAITS if told[0].get(t) != told[member].get(t)}
        bald = "bald" in {group.people[0].hair_style, group.people[member].hair_style}
        allowed = {"hair", "hair_style"} if changed == "hair_style" and bald else {changed}
        assert differing <= allowed
        for trait, value in told[member].items():
            assert group.people[member].traits[trait] == value


def test_all_slots_change_and_each_has_words():
    changed = {slot for number in GROUPS for slot in EXAMPLES.group(number).changed}
    assert changed == {*wordings(), EXPRESSION}


def test_pictures_of_a_group_differ_and_are_a_function_of_the_place():
    again = MinimalPairExamples(DATA, 5, 4)
    images = [EXAMPLES.image(index).tobytes() for index in range(8)]
    assert len({*images}) == 8
    assert again.image(6).tobytes() == images[6]


def test_without_expression_words_no_au_is_told_or_changed():
    quiet = MinimalPairExamples(DATA.model_copy(update={"expression_words": 0.0}), 5, 4)
    assert all(EXPRESSION not in quiet.group(number).changed for number in GROUPS)


def test_a_wording_tells_the_words_that_it_is_given():
    person = EXAMPLES.group(0).people[0]
    told = Wording(3, apart=True, named={"skin"}, words={"skin": "olive"})
    assert "olive skin" in told_by(told, person)
    told = Wording(3, apart=True, named={"eyes"})
    assert f"{person.eyes} eyes" in told_by(told, person)


def test_captions_of_one_stream_are_those_of_trainings_so_far():
    people = [EXAMPLES.group(number).people[0] for number in GROUPS]
    assert [told_by(Wording(i), person) for i, person in enumerate(people)] == [
        describe(person, i) for i, person in enumerate(people)
    ]
