from collections import Counter

import numpy as np
import pytest
from prior_sections import BLENDS, COMBINATIONS, MIXTURE, RULED_MIXTURE, UNIFORM

from samplers import load_prior
from synthgen.config import parse_expressions
from synthgen.errors import ConfigError

SAD = {"prior": "emotions", "categories": ["sad"]}
SADLY_ANGRY = {"prior": "emotions", "categories": ["sadly angry"]}


def test_components_come_in_exact_proportion_and_keep_what_they_balance():
    prior = load_prior(MIXTURE)
    strata = prior.strata(1, "train", 0, 400)
    components = strata % 3
    assert np.bincount(components).tolist() == [200, 100, 100]
    emotions = [prior.category(stratum) for stratum in strata.tolist()]
    assert Counter(emotions) == {None: 200, "happy": 80, "sad": 40, "happy+surprised": 80}
    assert prior.categories == ("happy", "sad", "happy+surprised")
    assert prior.category_shares() == {"happy": 0.2, "sad": 0.1, "happy+surprised": 0.2}


def test_a_component_draws_what_it_draws_alone():
    """The j-th position of a component is its j-th, at a place of its own."""
    prior, alone = load_prior(MIXTURE), load_prior(BLENDS)
    strata = prior.strata(1, "train", 7, 407)
    vectors = prior.vectors(1, "train", 7, strata)[strata % 3 == 0]
    before = int((prior.strata(1, "train", 0, 7) % 3 == 0).sum())
    stop = before + len(vectors)
    own = alone.strata(1, "train/component-0", before, stop)
    assert np.array_equal(alone.vectors(1, "train/component-0", before, own), vectors)
    assert [prior.stratum_name(n) for n in strata[strata % 3 == 0].tolist()] == [
        alone.stratum_name(n) for n in own.tolist()
    ]


def test_rules_around_a_mixture_keep_components_and_change_only_what_broke_them():
    free, ruled = load_prior(MIXTURE), load_prior(RULED_MIXTURE)
    vectors = free.sample(2_000, seed=6), ruled.sample(2_000, seed=6)
    strata = [prior.strata(6, "train", 0, 2_000) for prior in (free, ruled)]
    broken = ((vectors[0] != 0).sum(axis=1) > 6) | (
        (vectors[0][:, 1] != 0) & (vectors[0][:, 0] == 0)
    )
    assert 0 < broken.sum() < 1_000
    assert np.array_equal(vectors[0][~broken], vectors[1][~broken])
    assert np.array_equal(strata[0] % 3, strata[1] % 3)
    assert ((vectors[1] != 0).sum(axis=1) <= 6).all()
    assert not ((vectors[1][:, 1] != 0) & (vectors[1][:, 0] == 0)).any()


def test_a_replacement_keeps_the_component_and_its_stratum():
    prior = load_prior(MIXTURE)
    strata = prior.strata(2, "test", 30, 90)
    names = [prior.stratum_name(stratum) for stratum in strata.tolist()]
    for replacement in (1, 2):
        vectors = prior.vectors(2, "test", 30, strata, replacement)
        for name, vector in zip(names, vectors, strict=True):
            if "AU" in name:
                assert name.count("+") + 1 == (vector != 0).sum()


def test_a_mixture_of_one_is_written_and_read_again():
    config = parse_expressions(RULED_MIXTURE)
    assert parse_expressions(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"prior": "mixture", "of": [SAD, SADLY_ANGRY]},
            "expressions.categories: 'sad' and 'sadly angry' have the same prototype on the 12 AUs "
            "(AU4, AU15); leave one out, or set allow_ambiguous: true",
        ),
        (
            {"prior": "mixture", "of": [{**MIXTURE}]},
            "expressions: of.0.prior is 'mixture'; it must be 'emotions', 'independent', "
            "'combinations', 'grid', 'uniform', 'copula', 'empirical' or 'builtin', or "
            "package.module:Class",
        ),
        (
            {"prior": "mixture", "of": [{**UNIFORM, "weight": 0}]},
            "expressions: of.0.weight is 0; it must be above 0",
        ),
        (
            {"prior": "mixture", "of": [{**COMBINATIONS, "wieght": 1}]},
            "expressions: unknown key of.0.wieght; did you mean 'weight'? There are weight, "
            "action_units, allow_out_of_range, source, sampling, rules, flame, prior, combinations",
        ),
        (
            {"prior": "mixture", "of": [UNIFORM], "sampling": "sobol"},
            "expressions: sampling sobol is nothing for a mixture; give it to its components",
        ),
    ],
)
def test_mixtures_that_cannot_be_are_refused(section, message):
    with pytest.raises(ConfigError) as caught:
        load_prior(section)
    assert str(caught.value) == message


def test_ambiguous_categories_of_two_components_need_leave():
    section = {"prior": "mixture", "of": [SAD, SADLY_ANGRY], "allow_ambiguous": True}
    assert load_prior(section).ambiguous() == (("sad", "sadly angry"),)
    same = load_prior({"prior": "mixture", "of": [SAD, SAD]})
    assert same.categories == ("sad",)
    assert same.category_shares() == {"sad": 1.0}
