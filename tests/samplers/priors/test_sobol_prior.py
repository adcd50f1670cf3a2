from collections import Counter

import numpy as np
import pytest
from prior_sections import BLENDS, INDEPENDENT, RULES, UNIFORM

from samplers import load_prior
from synthgen.errors import ConfigError


@pytest.mark.parametrize("section", [INDEPENDENT, BLENDS], ids=lambda one: one["prior"])
def test_rates_of_a_power_of_two_are_nearer_than_by_chance(section):
    prior = load_prior({**section, "sampling": "sobol"})
    strata = prior.strata(0, "train", 0, 4096)
    active = prior.vectors(0, "train", 0, strata) != 0
    assert np.abs(active.mean(axis=0) - prior.rates()).max() < 0.004
    assert prior.rates().tolist() == load_prior(section).rates().tolist()


def test_numbers_of_active_aus_are_nearer_than_by_chance():
    prior = load_prior({**UNIFORM, "sampling": "sobol"})
    strata = prior.strata(0, "train", 0, 4096).tolist()
    counts = Counter(stratum.bit_count() for stratum in strata)
    for number, share in UNIFORM["active"].items():
        assert abs(counts[number] - 4096 * share) <= 1


def test_intensities_of_a_category_are_spread_evenly():
    section = {
        "prior": "emotions",
        "categories": ["happy", "sad"],
        "intensity": {"low": 1, "high": 5},
    }
    prior = load_prior({**section, "sampling": "sobol"})
    strata = prior.strata(0, "train", 0, 512)
    smiles = prior.vectors(0, "train", 0, strata)[strata == 0][:, 6]
    assert np.bincount(((smiles - 1) * 64).astype(int)).tolist() == [1] * 256


def test_replacements_and_further_trials_are_random():
    free = {**INDEPENDENT, "sampling": "sobol"}
    prior, ruled = load_prior(free), load_prior({**free, "rules": RULES})
    strata = prior.strata(0, "train", 0, 200)
    again = prior.vectors(0, "train", 0, strata, replacement=1)
    assert np.array_equal(again, load_prior(INDEPENDENT).vectors(0, "train", 0, strata, 1))
    drawn = prior.sample(500, 0), ruled.sample(500, 0)
    same = (drawn[0] == drawn[1]).all(axis=1)
    assert 0.3 < same.mean() < 0.9


def test_a_prior_that_is_drawn_otherwise_is_refused(tmp_path):
    (tmp_path / "labels.csv").write_text("AU1,AU12\n0,3\n2,0\n")
    section = {"prior": "empirical", "labels": str(tmp_path / "labels.csv"), "format": "csv"}
    with pytest.raises(ConfigError) as caught:
        load_prior({**section, "sampling": "sobol"})
    assert str(caught.value) == (
        "expressions.sampling is 'sobol'; prior 'empirical' can have 'random' alone"
    )
