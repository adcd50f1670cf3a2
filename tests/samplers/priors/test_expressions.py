"""Names and levels that owners give to expressions."""

import pytest

from samplers import load_prior
from samplers.plan import build_plan
from synthgen.config import parse_expressions
from synthgen.errors import ConfigError

SMILES = {
    "prior": "combinations",
    "combinations": [
        {"aus": {"AU6": 1, "AU12": 2}, "name": "smile", "level": 1},
        {"aus": {"AU6": 3, "AU12": 5}, "name": "smile", "level": 3},
        {"aus": {"AU4": 2}},
        {"aus": {}, "name": "neutral", "level": 0},
    ],
}


def labels(prior, stratum):
    return prior.stratum_name(stratum), prior.expression(stratum), prior.level(stratum)


def test_combinations_keep_their_names_and_levels():
    prior = load_prior(SMILES)
    assert prior.expressions == ("smile", "AU4", "neutral")
    assert prior.has_levels
    assert [labels(prior, stratum) for stratum in range(4)] == [
        ("smile at 1", "smile", 1.0),
        ("smile at 3", "smile", 3.0),
        ("AU4", "AU4", None),
        ("neutral at 0", "neutral", 0.0),
    ]


def test_combinations_without_names_name_no_expression():
    prior = load_prior({"prior": "combinations", "combinations": [{"aus": {"AU4": 2}}]})
    assert prior.expressions == ()
    assert not prior.has_levels
    assert labels(prior, 0) == ("AU4", None, None)


def test_a_level_is_in_the_stored_section_only_where_it_is_given():
    stored = parse_expressions(SMILES).model_dump()["combinations"]
    assert [entry.get("level", "none") for entry in stored] == [1.0, 3.0, "none", 0.0]


@pytest.mark.parametrize(
    ("second", "error"),
    [
        (
            {"aus": {"AU4": 1}, "name": "frown", "level": 2},
            "expressions: two combinations are named 'frown at 2'; give one another name",
        ),
        (
            {"aus": {"AU4": 1}, "level": -1},
            "expressions: combinations.1.level is -1; it must be at least 0",
        ),
        (
            {"aus": {"AU4": 1}, "level": "strong"},
            "expressions: combinations.1.level is 'strong'; it must be a number",
        ),
    ],
)
def test_bad_levels_are_refused(second, error):
    first = {"aus": {"AU4": 5}, "name": "frown", "level": 2}
    with pytest.raises(ConfigError) as caught:
        load_prior({"prior": "combinations", "combinations": [first, second]})
    assert str(caught.value) == error


def test_rules_quotas_and_mixtures_hand_names_and_levels_on():
    ruled = load_prior({**SMILES, "rules": [{"at_most": 3}], "sampling": "sobol"})
    assert labels(ruled, 1) == ("smile at 3", "smile", 3.0)
    assert (ruled.expressions, ruled.has_levels) == (("smile", "AU4", "neutral"), True)

    held = load_prior({**SMILES, "quotas": {"aus": {"AU12": 0.5}}})
    strata = held.strata(3, "train", 0, 40).tolist()
    assert held.expressions == ("smile", "AU4", "neutral")
    for stratum in strata:
        name, expression, level = labels(held, stratum)
        words = f"{expression} at {level:g}" if level is not None else expression
        assert name.startswith(f"{words} [")

    emotions = {"prior": "emotions", "categories": ["happy", "sad"]}
    mixed = load_prior({"prior": "mixture", "of": [emotions, SMILES]})
    assert mixed.expressions == ("smile", "AU4", "neutral")
    assert mixed.has_levels
    assert labels(mixed, 0) == ("happy", None, None)
    assert labels(mixed, 3) == ("smile at 3", "smile", 3.0)


def test_specs_carry_names_and_levels_and_so_do_neutral_images(configuration):
    config = configuration()
    people = config.identities.model_copy(
        update={"expressions_per_identity": "grid", "neutral_image": True}
    )
    changes = {"expressions": parse_expressions(SMILES), "identities": people}
    plan = build_plan(config.model_copy(update=changes))
    specs = [plan.sample(index) for index in range(5)]
    assert (plan.expressions, plan.has_levels) == (("smile", "AU4", "neutral"), True)
    assert (specs[0].stratum, specs[0].expression, specs[0].level) == ("neutral", "neutral", 0.0)
    assert sorted((spec.expression, spec.level or 0) for spec in specs) == [
        ("AU4", 0), ("neutral", 0), ("neutral", 0), ("smile", 1.0), ("smile", 3.0),
    ]  # fmt: skip


def test_a_plan_without_names_has_none(configuration):
    plan = build_plan(configuration())
    assert (plan.expressions, plan.has_levels) == ((), False)
    assert (plan.sample(0).expression, plan.sample(0).level) == (None, None)
