"""Priors over other AUs than the twelve."""

import tracemalloc

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from samplers import load_prior
from samplers.priors import build_prior
from samplers.priors.fit import write_fit
from samplers.priors.labels import Reading
from synthgen.action_units import AUS, FACS, ActionUnitSet
from synthgen.config import PriorSection
from synthgen.errors import ConfigError

MANY = [name for name in FACS if name != "AU8"][:24]
RATES = {"AU7": {"rate": 0.4}, "AU12": {"rate": 0.5}, "AU43": {"rate": 0.2}}
QUOTAS = {"aus": {"AU7": {"0": 0.5, "active": 0.5}}}
RULES = [{"if": "AU7", "then": "AU12"}, {"exclude": ["AU12", "AU24"]}, {"at_most": 9}]
SECTIONS = {
    "emotions": {"prior": "emotions", "categories": ["neutral", "happy", "angry", "disgusted"]},
    "independent": {"prior": "independent", "aus": {au: {"rate": 0.3} for au in MANY}},
    "uniform": {"prior": "uniform", "active": {1: 1.0, 5: 2.0}},
    "grid": {"prior": "grid", "levels": [2, 4], "combinations": 20},
    "combinations": {"prior": "combinations", "combinations": [{"aus": {"AU7": 3, "AU24": 2}}]},
    "copula": {
        "prior": "copula",
        "marginals": {au: {"rate": 0.2} for au in MANY},
        "correlation": {"AU7+AU12": 0.6},
    },
    "sobol": {"prior": "uniform", "active": {3: 1.0}, "sampling": "sobol"},
    "ruled": {"prior": "independent", "aus": {au: {"rate": 0.2} for au in MANY}, "rules": RULES},
    "quotas": {"prior": "independent", "aus": {au: {"rate": 0.3} for au in MANY}, "quotas": QUOTAS},
    "builtin": {"prior": "builtin", "name": "disfa-rates"},
    "mixture": {
        "prior": "mixture",
        "of": [
            {"prior": "uniform", "active": {2: 1.0}},
            {"prior": "emotions", "categories": ["sad"]},
        ],
    },
}


@pytest.mark.parametrize("name", SECTIONS)
def test_24_aus_are_drawn_in_bounded_memory(name):
    tracemalloc.start()
    try:
        prior = load_prior({**SECTIONS[name], "action_units": MANY})
        vectors = prior.sample(10_000, seed=0)
        replaced = prior.vectors(0, "train", 0, prior.strata(0, "train", 0, 500), 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 150 * 2**20
    assert vectors.shape == (10_000, 24)
    assert replaced.shape == (500, 24)
    assert prior.action_units.names == tuple(MANY)
    assert np.abs((vectors != 0).mean(axis=0) - prior.rates()).max() < 0.05
    assert prior.joint().shape == (24, 24)


@given(
    st.sampled_from(["independent", "uniform", "copula", "ruled"]),
    st.integers(0, 10**6),
    st.integers(1, 12),
)
@settings(max_examples=20, deadline=None)
def test_rows_of_24_aus_are_the_same_alone_and_in_bulk(name, start, count):
    prior = PRIORS[name]
    strata = prior.strata(3, "test", start, start + count)
    bulk = prior.vectors(3, "test", start, strata)
    for row in range(count):
        alone = prior.strata(3, "test", start + row, start + row + 1)
        assert alone[0] == strata[row]
        assert (prior.vectors(3, "test", start + row, alone) == bulk[row]).all()


PRIORS = {
    name: load_prior({**SECTIONS[name], "action_units": MANY})
    for name in ("independent", "uniform", "copula", "ruled")
}


def test_the_order_of_the_aus_changes_nothing():
    section = {"prior": "independent", "aus": RATES}
    one, other = (
        load_prior({**section, "action_units": names}).sample(100, seed=1)
        for names in (["AU43", "AU12", "AU7"], ["AU7", "AU12", "AU43"])
    )
    assert (one == other).all()


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"prior": "independent", "aus": RATES, "rules": [{"cap": "AU9", "at": 3}]},
            "expressions: rules.0: AU9 (nose wrinkler) exists in FACS, but the AUs in use are AU7, "
            "AU12, AU43",
        ),
        (
            {"prior": "independent", "aus": RATES, "rules": [{"at_least": 4}]},
            "expressions: rules.0.at_least is 4; it must be at most 3",
        ),
        (
            {"prior": "independent", "aus": RATES, "quotas": {"aus": {"AU1": 0.5}}},
            "expressions: quotas: AU1 (inner brow raiser) exists in FACS, but the AUs in use are "
            "AU7, AU12, AU43",
        ),
        (
            {"prior": "mixture", "of": [{"prior": "uniform", "active": {1: 1}, "aus": ["AU5"]}]},
            "expressions: of.0: AU5 (upper lid raiser) exists in FACS, but the AUs in use are AU7, "
            "AU12, AU43",
        ),
        (
            {
                "prior": "mixture",
                "of": [{"prior": "uniform", "active": {1: 1}, "action_units": ["AU7"]}],
            },
            "expressions: of.0: action_units are AU7; the whole prior has AU7, AU12, AU43, so "
            "leave them out here",
        ),
        (
            {"prior": "grid", "protocol": "fineface"},
            f"expressions: protocol fineface is about {', '.join(AUS)}; leave action_units out",
        ),
        (
            {"prior": "builtin", "name": "disfa-rates"},
            "built-in prior disfa-rates: AU1 (inner brow raiser) exists in FACS, but the AUs in "
            "use are AU7, AU12, AU43",
        ),
    ],
)
def test_aus_of_another_set_are_refused(section, message):
    with pytest.raises(ConfigError) as caught:
        load_prior({**section, "action_units": ["AU7", "AU12", "AU43"]})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["AU1", "AU3"], f"unknown Action Unit 'AU3'; FACS has {', '.join(FACS)}"),
        (["AU1", "AU1"], "AU1 stands there twice"),
        ([], "no Action Unit is named; name one at least"),
        (["AU1", 2], "action_units.1 is 2; it must be text"),
        ("AU1", "action_units is 'AU1'; it must be a list"),
    ],
)
def test_what_is_no_list_of_aus_is_refused(names, message):
    with pytest.raises(ConfigError) as caught:
        load_prior({"prior": "uniform", "active": {1: 1.0}, "action_units": names})
    assert str(caught.value) == f"expressions: {message}"


class _TwelveAlone(PriorSection):
    """A prior of others that knows the twelve alone."""

    def build(self):
        return load_prior({"prior": "uniform", "active": {1: 1.0}})


def test_a_prior_that_draws_other_aus_than_the_runs_is_refused():
    assert build_prior(_TwelveAlone(prior="alone")).action_units.names == AUS
    with pytest.raises(ConfigError) as caught:
        build_prior(_TwelveAlone(prior="alone", action_units=["AU7", "AU12"]))
    assert str(caught.value) == (
        f"expressions.action_units are AU7, AU12; the prior 'alone' draws {', '.join(AUS)}"
    )


def test_rules_that_tell_too_many_aus_apart_are_refused():
    section = {**SECTIONS["independent"], "action_units": MANY}
    with pytest.raises(ConfigError) as caught:
        load_prior({**section, "rules": [{"exclude": MANY[:15]}]})
    assert str(caught.value) == (
        "expressions.rules: the rules tell 15 AUs of this prior apart; at most 14 are possible, so "
        "name fewer AUs in rules"
    )


def test_labels_are_read_for_the_aus_in_use(tmp_path):
    labels = tmp_path / "labels.csv"
    rows = ["AU7,AU12,AU43", *["2,0,1", "0,3,0", "4,0,2", "0,1,0"] * 20]
    labels.write_text("\n".join(rows) + "\n")
    section = {"prior": "empirical", "labels": str(labels), "format": "csv"}
    known = ["AU4", "AU7", "AU43"]
    prior = load_prior({**section, "action_units": known})
    assert prior.rates().tolist() == [0, 0.5, 0.5]
    assert {prior.stratum_name(int(s)) for s in prior.strata(0, "train", 0, 50)} == {
        "neutral",
        "AU7+AU43",
    }
    fitted = tmp_path / "prior.yaml"
    fit = write_fit(labels, "csv", fitted, reading=Reading(aus=ActionUnitSet.of(known)))
    assert fit.rows == 80
    assert yaml.safe_load(fitted.read_text())["action_units"] == known
    assert load_prior(fitted).rates().tolist() == [0, 0.5, 0.5]
