from collections import Counter

import pytest

from samplers import build_plan
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
        "slots yield 2 different tuples of it there; add values or slots, raise "
        "expressions_per_identity, or set people_per_tuple to 36 or more"
    )


def test_several_people_of_a_tuple_fill_a_cell(quoted):
    plan = quoted(quotas={"person": {"man": 0.9}}, people=40)
    specs = plan.specs("train", 0, plan.sizes["train"])
    asked = [spec for spec in specs if spec.identity["person"] == "man"]
    assert len(asked) / len(specs) == pytest.approx(0.9, abs=0.02)
