import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplers import load_prior
from synthgen.config.quotas import intensity_levels
from synthgen.errors import ConfigError

EMOTIONS = {"prior": "emotions", "categories": ["neutral", "happy", "sad", "surprised"]}
INDEPENDENT = {
    "prior": "independent",
    "aus": {"AU1": {"rate": 0.3}, "AU12": {"rate": 0.5}, "AU25": {"rate": 0.02}},
}
COPULA = {
    "prior": "copula",
    "marginals": {"AU4": {"rate": 0.2}, "AU6": {"rate": 0.15}, "AU12": {"rate": 0.25}},
    "correlation": {"AU6+AU12": 0.8},
    "rules": [{"exclude": ["AU4", "AU12"]}],
}
LEVELS = {"AU12": {0: 0.3, "1-2": 0.2, "C-E": 0.5}}
CASES = {
    "emotions": {**EMOTIONS, "quotas": {"category": {"happy": 0.5, "sad": 0.3}}},
    "independent": {**INDEPENDENT, "quotas": {"aus": {**LEVELS, "AU1": 0.5}}},
    "copula": {**COPULA, "quotas": {"aus": LEVELS}},
    "mixture": {
        "prior": "mixture",
        "of": [{"weight": 2, **EMOTIONS}, {"weight": 1, **INDEPENDENT}],
        "quotas": {"category": {"happy": 0.6}},
    },
    "joint": {
        **EMOTIONS,
        "quotas": {"joint": [{"category": "happy", "aus": {"AU6": "3-5"}, "share": 0.25}]},
    },
}


def shares(prior, split="train", stop=600):
    strata = prior.strata(7, split, 0, stop)
    vectors = prior.vectors(7, split, 0, strata)
    labels = None
    if prior.categories:
        known = [*prior.categories, None]
        labels = np.array([known.index(prior.category(int(stratum))) for stratum in strata])
    cells = prior.cells.numbers(vectors, labels)
    return np.bincount(cells, minlength=len(prior.cells.names)) / stop


@pytest.mark.parametrize("case", CASES)
def test_every_stretch_of_a_split_holds_the_quotas(case):
    prior = load_prior(CASES[case])
    for split, stop in (("train", 600), ("test", 60)):
        found = shares(prior, split, stop)
        assert np.abs(found - np.array(prior.cells.shares)).max() <= 1.5 / stop + 1e-9


@given(st.sampled_from(list(CASES)), st.integers(0, 90), st.integers(0, 5))
@settings(max_examples=10, deadline=None)
def test_a_row_is_the_same_alone_and_in_bulk_and_so_is_its_replacement(case, row, replacement):
    prior = load_prior(CASES[case])
    bulk = prior.strata(3, "train", 0, 91)
    alone = prior.strata(3, "train", row, row + 1)
    assert alone[0] == bulk[row]
    vectors = prior.vectors(3, "train", 0, bulk, replacement)
    assert (prior.vectors(3, "train", row, alone, replacement)[0] == vectors[row]).all()


@pytest.mark.parametrize("case", CASES)
def test_replacements_keep_the_cell(case):
    prior = load_prior(CASES[case])
    strata = prior.strata(5, "train", 0, 200)
    cells = strata % len(prior.counts)
    labels = None
    if prior.categories:
        known = [*prior.categories, None]
        labels = np.array([known.index(prior.category(int(stratum))) for stratum in strata])
    first = prior.vectors(5, "train", 0, strata)
    second = prior.vectors(5, "train", 0, strata, 1)
    assert prior.cells.holds(cells, second, labels).all()
    assert (first[first.any(axis=1)] != second[first.any(axis=1)]).any(axis=1).all()


def test_a_sample_whose_first_draw_is_in_its_cell_keeps_it():
    plain, quoted = load_prior(INDEPENDENT), load_prior(CASES["independent"])
    same = (plain.sample(400, 1) == quoted.sample(400, 1)).all(axis=1)
    assert 0.1 < same.mean() < 0.9


def test_inside_a_cell_the_law_is_the_priors():
    plain = load_prior(EMOTIONS).sample(40_000, seed=2)
    prior = load_prior({**EMOTIONS, "quotas": {"aus": {"AU6": {"0": 0.5, "4-5": 0.3}}}})
    quoted = prior.sample(4000, seed=2)
    cells = {"0": [0], "4-5": [4, 5], "1-3": [1, 2, 3]}
    for levels in cells.values():
        mine, theirs = (
            values[np.isin(intensity_levels(values)[:, 4], levels)] for values in (quoted, plain)
        )
        rates = (theirs != 0).mean(axis=0)
        error = np.sqrt(rates * (1 - rates) * (1 / len(mine) + 1 / len(theirs)))
        assert (np.abs((mine != 0).mean(axis=0) - rates) <= 5 * error + 1e-9).all()


def test_expected_rates_are_those_of_the_draw():
    for case in CASES.values():
        prior = load_prior(case)
        vectors = prior.sample(600, seed=4)
        assert np.abs((vectors != 0).mean(axis=0) - prior.rates()).max() < 0.09
        assert np.allclose(np.diagonal(prior.joint()), prior.rates())
        assert sum(prior.category_shares().values()) <= 1 + 1e-9


def test_strata_are_named_by_the_prior_and_the_cell():
    prior = load_prior(CASES["independent"])
    assert prior.cells.names[0] == "AU1 active, AU12 0"
    names = {prior.stratum_name(int(stratum)) for stratum in prior.strata(1, "train", 0, 50)}
    assert "AU1 [AU1 active, AU12 0]" in names


SIXTHS = {str(level): 1 / 6 for level in range(6)}


@pytest.mark.parametrize(
    ("quotas", "message"),
    [
        (
            {"category": {"happy": 0.5}},
            "expressions.quotas: the prior has no category 'happy'; it has none",
        ),
        (
            {"aus": {"AU1": {"E": 0.5}, "AU25": 0.5, "AU12": {"5": 0.5}}},
            "expressions.quotas: the prior fills the cell 'AU1 5, AU12 5, AU25 active' in 0 of "
            "20000 draws; at least 20 are needed, so change the prior or leave this cell out",
        ),
        (
            {"aus": dict.fromkeys(["AU1", "AU2", "AU4", "AU5", "AU6", "AU9"], SIXTHS)},
            "expressions: quotas: the quotas have 46,656 cells; at most 10,000 are possible, so "
            "leave margins out or join levels",
        ),
        (
            {"aus": {"AU12": {"0-2": 0.2, "2": 0.3}}},
            "expressions: quotas: aus.AU12 has the level 2 twice",
        ),
        (
            {"aus": {"AU12": {"0": 0.2, "active": 0.3}}},
            "expressions: quotas: the shares of aus.AU12 add up to 0.5; they must add up to 1",
        ),
        (
            {"aus": {"AU12": {"0": 0.6, "1": 0.7}}},
            "expressions: quotas: the shares of aus.AU12 add up to 1.3; at most 1 is possible",
        ),
        ({}, "expressions: quotas: give either joint, or category and aus"),
        (
            {"joint": [{"aus": {"AU12": "3-9"}, "share": 0.1}]},
            "expressions: quotas.joint.0: levels '3-9' are none; allowed are 0 to 5, A to E, "
            "ranges such as 3-5, and 'active'",
        ),
        (
            {"joint": [{"share": 0.1}]},
            "expressions: quotas.joint.0: the cell names neither a category nor aus",
        ),
        (
            {
                "joint": [
                    {"aus": {"AU12": "3-5"}, "share": 0.1},
                    {"aus": {"AU1": 3}, "share": 0.1},
                ]
            },
            "expressions.quotas: the cells 'AU12 3-5' and 'AU1 3' overlap; a sample must be in one "
            "cell alone",
        ),
    ],
)
def test_what_cannot_be_is_refused(quotas, message):
    with pytest.raises(ConfigError) as caught:
        load_prior({**INDEPENDENT, "quotas": quotas})
    assert str(caught.value) == message


def test_quotas_of_a_component_are_refused():
    component = {**EMOTIONS, "quotas": {"category": {"happy": 0.5}}}
    with pytest.raises(ConfigError, match="give them to the whole mixture"):
        load_prior({"prior": "mixture", "of": [component]})


def test_quotas_of_a_grid_are_refused():
    with pytest.raises(ConfigError) as caught:
        load_prior({"prior": "grid", "quotas": {"aus": {"AU1": 0.5}}})
    assert str(caught.value) == (
        "expressions: a grid shows its cells in a fixed order; leave quotas out"
    )
