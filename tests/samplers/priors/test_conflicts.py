import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prior_sections import INDEPENDENT

from samplers import load_prior
from samplers.priors.rules import MIN_ACCEPTANCE
from synthgen.errors import ConfigError

EMOTIONS = {"prior": "emotions", "categories": ["neutral", "happy", "surprised"]}
MEND = "; leave one out, give one a penalty, or change the prior"


@pytest.mark.parametrize(
    ("section", "rules", "message"),
    [
        (
            INDEPENDENT,
            [{"at_most": 2}, {"cap": "AU9", "at": 3}, {"at_least": 3}],
            "no vector of this prior keeps 'at most 2 active' and 'at least 3 active'",
        ),
        (INDEPENDENT, [{"at_least": 6}], "no vector of this prior keeps 'at least 6 active'"),
        (
            {"prior": "independent", "aus": {"AU1": {"rate": 1.0}, "AU12": {"rate": 0.5}}},
            [{"if": "AU1", "then": "AU12", "at_least": 4}, {"cap": "AU12", "at": 3}],
            "no vector of this prior keeps 'AU1 implies AU12 at 4 or more' and 'AU12 at most at 3'",
        ),
        (
            EMOTIONS,
            [{"exclude": ["AU4", "AU9"]}, {"at_most": 3}, {"if": "AU1", "then": "AU2"}],
            "no vector of category 'surprised' keeps 'at most 3 active'",
        ),
        (
            EMOTIONS,
            [{"if": "AU12", "then": "AU6"}, {"exclude": ["AU6", "AU25"]}],
            "no vector of category 'happy' keeps 'AU12 implies AU6' and "
            "'AU6 and AU25 exclude each other'",
        ),
        (EMOTIONS, [{"at_least": 1}], "no vector of category 'neutral' keeps 'at least 1 active'"),
        (
            {"prior": "uniform", "active": {2: 1.0, 4: 1.0}},
            [{"at_most": 3}, {"at_least": 3}],
            "no vector of this prior keeps 'at most 3 active' and 'at least 3 active'",
        ),
        (
            {"prior": "grid", "aus": ["AU1"], "levels": [1, 4]},
            [{"cap": "AU1", "at": 3}],
            "no vector of cell 'AU1=4.0' keeps 'AU1 at most at 3'",
        ),
        (
            {"prior": "mixture", "of": [INDEPENDENT, EMOTIONS]},
            [{"at_most": 1}],
            "no vector of category 'happy' of component 2 keeps 'at most 1 active'",
        ),
    ],
)
def test_a_smallest_set_of_impossible_rules_is_named(section, rules, message):
    with pytest.raises(ConfigError) as caught:
        load_prior({**section, "rules": rules})
    assert str(caught.value) == f"expressions.rules: {message}{MEND}"


@given(st.permutations([{"at_least": 3}, {"at_most": 2}, {"cap": "AU9", "at": 4}, {"at_most": 4}]))
@settings(max_examples=10, deadline=None)
def test_the_smallest_set_does_not_depend_on_the_order(rules):
    with pytest.raises(ConfigError, match=r"'at (most 2|least 3) active' and 'at (most 2|least 3)"):
        load_prior({**INDEPENDENT, "rules": rules})


def test_a_penalty_makes_the_impossible_possible():
    rules = [{"at_most": 2}, {"at_least": 3, "penalty": 0.9}]
    vectors = load_prior({**INDEPENDENT, "rules": rules}).sample(200, seed=0)
    assert ((vectors != 0).sum(axis=1) <= 2).all()


def test_rules_that_leave_too_little_are_refused_with_how_much():
    rare = {"prior": "independent", "aus": {"AU1": {"rate": 0.07}, "AU2": {"rate": 0.07}}}
    with pytest.raises(ConfigError) as caught:
        load_prior({**rare, "rules": [{"cap": "AU1", "at": 4}, {"at_least": 2}]})
    text = str(caught.value)
    assert text.startswith("expressions.rules: 'at least 2 active' leave about 0.")
    assert text.endswith(
        " % of the vectors of this prior; at least 1 % are needed, so leave one out, or change "
        "the prior"
    )
    assert MIN_ACCEPTANCE == 0.01


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (
            [{"foo": 1}],
            "rules.0 is {'foo': 1}; it must be a rule with one of the keys if, exclude, at_most, "
            "at_least and cap",
        ),
        ([{"if": "AU1"}], "key rules.0.then is missing"),
        ([{"at_most": 2, "penalty": 1.5}], "rules.0.penalty is 1.5; it must be below 1"),
        (
            [{"if": "AU1", "then": "AU1"}],
            "rules.0: AU1 cannot ask for itself; name another AU under then",
        ),
        ([{"exclude": ["AU1", "AU1"]}], "rules.0: exclude names an AU twice: AU1, AU1"),
        ([{"at_most": 2}, {"at_most": 2}], "rules: the rule 'at most 2 active' stands there twice"),
    ],
)
def test_a_wrong_rule_is_refused(rules, message):
    with pytest.raises(ConfigError) as caught:
        load_prior({**INDEPENDENT, "rules": rules})
    assert str(caught.value) == f"expressions: {message}"
