import pytest

from samplers.identities import PromptIdentities
from samplers.identities.prompts import FeistelOrder, PromptIdentitiesConfig
from synthgen.errors import ConfigError


def build(template, slots, samples, seed=1, group=1):
    config = PromptIdentitiesConfig(
        source="prompts", template=template, slots=slots, expressions_per_identity=group
    )
    return PromptIdentities.from_config(config, seed, samples)


def test_identities_show_different_tuples_under_names_of_their_own():
    people = build("{age} {hair}", {"hair": ["red", "gray"], "age": ["young", "old", "aged"]}, 6)
    found = [people.identity(number) for number in range(6)]
    assert len({identity.prompt for identity in found}) == 6
    assert [identity.identity_id for identity in found][4:] == ["id-00000004", "id-00000005"]
    assert len({identity.seed for identity in found}) == 6
    assert list(found[0].values) == ["age", "hair"]


def test_a_prompt_is_the_template_filled_with_blanks_collapsed():
    people = build(" a {age}   {extra} person {{x}} {age}", {"age": ["old"], "extra": [""]}, 1)
    assert people.identity(0).prompt == "a old person {x} old"
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
        "expressions_per_identity: 5 ask for 2 identities; add values or slots, or raise "
        "expressions_per_identity"
    )


def test_too_few_tuples_are_refused_with_both_numbers():
    with pytest.raises(ConfigError) as caught:
        build("{a} {b}", {"a": ["1", "2"], "b": ["1", "2"]}, 5)
    assert str(caught.value) == (
        "identities.template: its slots yield 4 different tuples of values, but samples: 5 with "
        "expressions_per_identity: 1 ask for 5 identities; add values or slots, or raise "
        "expressions_per_identity"
    )


def test_many_tuples_are_permuted_without_a_table():
    slots = {name: [str(value) for value in range(100)] for name in "abcd"}
    people = build("{a} {b} {c} {d}", slots, 10**6)
    assert isinstance(people.order, FeistelOrder)
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
