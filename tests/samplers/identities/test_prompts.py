from collections import Counter
from fractions import Fraction

import pytest

from samplers.identities import PromptIdentities
from samplers.identities.prompts import PromptIdentitiesConfig
from samplers.identities.tuples import PermutedOrder
from samplers.shares import Partition
from synthgen.errors import ConfigError

SPLITS = {"train": Fraction(8, 10), "validation": Fraction(1, 10), "test": Fraction(1, 10)}


def build(template, slots, samples, seed=1, group=1, people=1, splits=None):
    config = PromptIdentitiesConfig(
        source="prompts",
        template=template,
        slots=slots,
        expressions_per_identity=group,
        people_per_tuple=people,
    )
    partition = Partition.build(splits, group) if splits else None
    return PromptIdentities.from_config(config, seed, samples, partition)


def shown(people):
    """Return number → split and prompt of each identity."""
    group = people.partition.group
    return [
        (people.partition.locate(number * group)[0], people.identity(number).prompt)
        for number in range(people.count)
    ]


def test_identities_show_different_tuples_under_names_of_their_own():
    people = build("{age} {hair}", {"hair": ["red", "gray"], "age": ["young", "old", "aged"]}, 6)
    found = [people.identity(number) for number in range(6)]
    assert len({identity.prompt for identity in found}) == 6
    assert [identity.identity_id for identity in found][4:] == ["id-00000004", "id-00000005"]
    assert len({identity.seed for identity in found}) == 6
    assert list(found[0].values) == ["age", "hair"]


def test_a_prompt_is_the_template_filled_with_blanks_collapsed():
    people = build(" a {age}   {extra} person {{x}} {age}", {"age": ["old"], "extra": [""]}, 1)
    assert people.identity(0).prompt == "an old person {x} old"
    assert people.identity(0).values == {"age": "old", "extra": ""}


def test_the_order_of_values_in_the_file_decides_nothing():
    one = build("{a}", {"a": {"x": 1.0, "y": 2.0, "z": 3.0}}, 3)
    other = build("{a}", {"a": {"z": 3.0, "x": 1.0, "y": 2.0}}, 3)
    assert [one.identity(n) for n in range(3)] == [other.identity(n) for n in range(3)]


def test_a_template_without_slots_has_one_identity():
    assert build("a face", {}, 5, group=5).identity(0).prompt == "a face"
    with pytest.raises(ConfigError) as caught:
        build("a face", {}, 6, group=5)
    assert str(caught.value) == (
        "identities.template: its slots yield 1 different tuple of values, but samples: 6 with "
        "expressions_per_identity: 5 ask for 2 identities; add values or slots, raise "
        "expressions_per_identity, or set people_per_tuple to 2 or more"
    )


def test_too_few_tuples_are_refused_with_both_numbers():
    with pytest.raises(ConfigError) as caught:
        build("{a} {b}", {"a": ["1", "2"], "b": ["1", "2"]}, 5)
    assert str(caught.value) == (
        "identities.template: its slots yield 4 different tuples of values, but samples: 5 with "
        "expressions_per_identity: 1 ask for 5 identities; add values or slots, raise "
        "expressions_per_identity, or set people_per_tuple to 2 or more"
    )


def test_many_tuples_are_permuted_without_a_table():
    slots = {name: [str(value) for value in range(100)] for name in "abcd"}
    people = build("{a} {b} {c} {d}", slots, 10**6)
    assert isinstance(people.order, PermutedOrder)
    prompts = {people.identity(number).prompt for number in range(500)}
    assert len(prompts) == 500


def test_many_weighted_tuples_are_refused_with_the_limit():
    slots = {name: {str(value): 1.0 + value for value in range(100)} for name in "abcd"}
    with pytest.raises(ConfigError) as caught:
        build("{a} {b} {c} {d}", slots, 10)
    assert str(caught.value) == (
        "identities.slots: the slots yield 100000000 tuples of values; with weights at most "
        "4194304 are possible, so leave values or the weights out"
    )


HEADS = {"hair": [f"hair {n}" for n in range(8)], "age": [f"age {n}" for n in range(5)]}


@pytest.mark.parametrize("more", [{}, {"x": [str(n) for n in range(2**21)]}])
def test_a_tuple_is_in_one_split_whatever_the_seed_and_the_number_of_samples(more):
    template = "{hair} {age}" + " {x}" * bool(more)
    homes: dict[str, set[str]] = {}
    for seed, samples in ((7, 40), (8, 25), (9, 40)):
        for split, prompt in shown(build(template, HEADS | more, samples, seed, splits=SPLITS)):
            homes.setdefault(prompt, set()).add(split)
    assert {len(splits) for splits in homes.values()} == {1}
    if not more:
        assert Counter(split for splits in homes.values() for split in splits) == {
            "train": 32, "validation": 4, "test": 4,
        }  # fmt: skip


def test_the_seed_decides_who_comes_first():
    one, other = (shown(build("{hair} {age}", HEADS, 40, seed, splits=SPLITS)) for seed in (1, 2))
    assert sorted(one) == sorted(other)
    assert one != other


def test_several_people_of_a_tuple_come_when_all_tuples_were_shown():
    people = build("{hair} {age}", HEADS, 120, people=3, splits=SPLITS)
    found = shown(people)
    assert set(Counter(found).values()) == {3}
    assert set(Counter(found[:40]).values()) == {1}
    assert len({people.identity(number).seed for number in range(120)}) == 120


def test_room_for_more_people_changes_none_that_there_are():
    few = build("{hair} {age}", HEADS, 40, splits=SPLITS)
    more = build("{hair} {age}", HEADS, 400, people=10, splits=SPLITS)
    assert [few.identity(n) for n in range(40)] == [more.identity(n) for n in range(40)]


def test_too_few_people_are_refused_with_the_split_and_the_number_that_would_do():
    with pytest.raises(ConfigError) as caught:
        build("{hair} {age}", HEADS, 130, people=3, splits=SPLITS)
    assert str(caught.value) == (
        "identities.template: its slots yield 32 different tuples of values for the split 'train', "
        "but samples: 130 with expressions_per_identity: 1 ask for 104 identities; add values or "
        "slots, raise expressions_per_identity, or set people_per_tuple to 4 or more"
    )


def test_a_split_without_a_tuple_is_refused():
    with pytest.raises(ConfigError) as caught:
        build("{a}", {"a": ["x", "y"]}, 20, people=9, splits=SPLITS)
    assert str(caught.value) == (
        "identities.template: its slots yield 0 different tuples of values for the split "
        "'validation', but samples: 20 with expressions_per_identity: 1 ask for 2 identities; add "
        "values or slots, or leave the split out"
    )


@pytest.mark.parametrize(
    ("template", "value", "prompt"),
    [
        ("a {x} man", "old", "an old man"),
        ("A {x} man", "elderly", "An elderly man"),
        ("an {x} man", "young", "a young man"),
        ("a {x} old man", "", "an old man"),
        ("a {x} man, a hour, a {x} face", "Asian", "an Asian man, a hour, an Asian face"),
        ("a {x} face", "honest", "an honest face"),
        ("a {x} face", "uniform", "a uniform face"),
        ("a {x} face", "unimpressed", "an unimpressed face"),
        ("a {x} face", "European", "a European face"),
        ("a {x} face", "one-eyed", "a one-eyed face"),
        ("a {x} person", "18-year-old", "an 18-year-old person"),
        ("a {x} person", "180 cm tall", "a 180 cm tall person"),
        ("a ({x}) person", "old", "a (old) person"),
        ("banana {x}", "old", "banana old"),
        ("a {x}", "", "a"),
        ("a  {x}!", "old", "an old!"),
    ],
)
def test_the_article_before_a_slot_fits_the_word(template, value, prompt):
    assert build(template, {"x": [value]}, 1).identity(0).prompt == prompt
