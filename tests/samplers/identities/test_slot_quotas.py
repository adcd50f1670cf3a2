import json
from collections import Counter
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplers import build_plan
from samplers.identities.prompts import quota_order
from samplers.identities.tuples import weighted_order
from samplers.shares import Partition
from synthgen.config import load_config
from synthgen.errors import ConfigError

QUOTAS = {"person": {"man": 0.3, "woman": 0.7}, "age": {"old": 0.5}}


@pytest.fixture
def quoted(configuration):
    """Make a plan with quotas of identity slots."""

    def make(samples=200, quotas=QUOTAS, group=2, people=1):
        config = configuration(samples, group)
        identities = config.identities.model_copy(
            update={"quotas": quotas, "people_per_tuple": people}
        )
        return build_plan(config.model_copy(update={"identities": identities}))

    return make


def values(plan, split):
    specs = plan.specs(split, 0, plan.sizes[split])
    return Counter((spec.identity["age"], spec.identity["person"]) for spec in specs)


def test_slots_hold_their_shares_in_every_split(quoted):
    plan = quoted()
    for split, size in plan.sizes.items():
        for (_, person), count in values(plan, split).items():
            expected = size * 0.5 * QUOTAS["person"][person]
            assert abs(count - expected) <= 3


def test_identities_stay_different_and_more_samples_keep_the_earlier_ones(quoted):
    plan, longer = quoted(100), quoted(200)
    identities = [longer.identities.identity(number) for number in range(100)]
    assert len({tuple(identity.values.values()) for identity in identities}) == 100
    assert [plan.identities.identity(number) for number in range(50)] == identities[:50]


def test_quotas_of_slots_change_no_expression(quoted, configuration):
    plan, plain = quoted(60), build_plan(configuration(60, 2))
    assert [plan.sample(n).aus for n in range(60)] == [plain.sample(n).aus for n in range(60)]


def test_a_cell_with_too_few_tuples_is_refused(quoted):
    with pytest.raises(ConfigError) as caught:
        quoted(quotas={"hair": {"hair 3": 0.9}})
    assert str(caught.value) == (
        "identities.quotas: hair 'hair 3' is asked of 72 identities of the split 'train', but the "
        "slots yield 3 different tuples of it there; add values or slots, raise "
        "expressions_per_identity, or set people_per_tuple to 24 or more"
    )


def test_several_people_of_a_tuple_fill_a_cell(quoted):
    plan = quoted(quotas={"person": {"man": 0.9}}, people=40)
    specs = plan.specs("train", 0, plan.sizes["train"])
    asked = [spec for spec in specs if spec.identity["person"] == "man"]
    assert len(asked) / len(specs) == pytest.approx(0.9, abs=0.02)


TENTHS = {"train": Fraction(8, 10), "validation": Fraction(1, 10), "test": Fraction(1, 10)}
TWO_SLOTS = {"age": {"young": 0.4, "old": 0.3}, "skin": {"pale": 0.2, "tan": 0.2, "dark": 0.2}}
WORDS = {
    "hair": ("black", "blond", "gray"),
    "skin": ("pale", "light", "tan", "brown", "dark"),
    "person": ("man", "woman"),
    "age": ("young", "middle-aged", "old"),
    "extra": ("", "wearing glasses"),
}


AGES = {"young": ("young",), "old": ("old",), "other": ("middle-aged",)}
SKINS = {"pale": ("pale",), "tan": ("tan",), "dark": ("dark",), "other": ("light", "brown")}


def is_in(words, ages, skins):
    """Return whether a tuple of words has one of some ages and one of some skins."""
    return dict(words)["age"] in ages and dict(words)["skin"] in skins


def homes(seed, slots, quotas, people=300, count=1000):
    """Return the tuples of values that each split shows, and how many identities show each."""
    pattern = Partition.build(TENTHS, 1).pattern
    sizes = [len(values) for values in slots.values()]
    order = weighted_order(seed, [[1.0] * size for size in sizes])
    needed = dict.fromkeys(TENTHS, count)
    tables = quota_order(seed, slots, quotas, order, pattern, needed, people).tables
    return {
        split: Counter(
            tuple(
                sorted(
                    (name, slots[name][digit]) for name, digit in zip(slots, digits, strict=True)
                )
            )
            for digits in zip(*np.unravel_index(table, sizes), strict=True)
        )
        for split, table in tables.items()
    }


@given(st.integers(0, 2**63 - 1))
@settings(max_examples=20, deadline=None)
def test_two_quotas_hold_in_small_splits_and_no_tuple_is_in_two_of_them(seed):
    found = homes(seed, WORDS, TWO_SLOTS)
    for split, shown in found.items():
        for (age, ages), (skin, skins) in product(AGES.items(), SKINS.items()):
            there = sum(n for words, n in shown.items() if is_in(words, ages, skins))
            asked = TWO_SLOTS["age"].get(age, 0.3) * TWO_SLOTS["skin"].get(skin, 0.4)
            assert there / 1000 == pytest.approx(asked, abs=0.002), (split, age, skin)
    assert not set(found["train"]) & set(found["test"])
    assert not set(found["validation"]) & set(found["test"])


def test_no_seed_and_no_order_in_the_file_moves_a_tuple_of_a_quota_to_another_split():
    turned = {name: dict(reversed(shares.items())) for name, shares in reversed(TWO_SLOTS.items())}
    one = homes(1, WORDS, TWO_SLOTS)
    other = homes(2, dict(reversed(WORDS.items())), turned)
    for split in TENTHS:
        assert set(one[split]) == set(other[split])


def test_a_cell_that_no_split_can_share_says_what_would_do(quoted):
    with pytest.raises(ConfigError) as caught:
        quoted(
            quotas={"hair": {"hair 3": 0.5}, "person": {"man": 0.5}, "age": {"old": 0.5}}, people=99
        )
    assert str(caught.value) == (
        "identities.quotas: hair 'hair 3', person 'man', age 'old' is asked of 1 identity of the "
        "split 'validation', but the slots yield 0 different tuples of it there; add values or "
        "slots, or leave the split out"
    )


def test_a_cut_by_cells_is_part_of_the_identity_of_the_data(quoted):
    assert quoted().identities.fingerprint() == {}
    config = load_config("examples/quickstart.yaml", [f"identities.quotas={json.dumps(TWO_SLOTS)}"])
    assert build_plan(config).identities.fingerprint() == {"tuples": "cut by the cells of quotas"}
