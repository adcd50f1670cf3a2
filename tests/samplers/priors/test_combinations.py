from collections import Counter

import numpy as np
import pytest
from prior_sections import COMBINATIONS, GRID, TOTAL, UNIFORM
from scipy.stats import beta, kstest

from samplers import load_prior
from synthgen.action_units import AUS, au_vector
from synthgen.errors import ConfigError


def test_combinations_come_in_exact_proportion_with_their_intensities():
    prior = load_prior(COMBINATIONS)
    strata = prior.strata(4, "train", 0, 400)
    assert Counter(map(prior.stratum_name, strata.tolist())) == {
        "smile": 200,
        "AU4": 100,
        "neutral": 100,
    }
    vectors = prior.vectors(4, "train", 0, strata)
    smiles = vectors[strata == 0]
    assert set(smiles[:, AUS.index("AU6")].tolist()) == {3.0}
    assert kstest(smiles[:, AUS.index("AU12")], "uniform", args=(2, 3)).pvalue > 1e-4
    assert set(map(tuple, vectors[strata == 1].tolist())) == {au_vector({"AU4": 1.5})}
    assert not vectors[strata == 2].any()
    assert prior.categories == ()


def test_a_grid_shows_each_cell_once_in_each_block_and_in_order():
    prior = load_prior(GRID)
    vectors = prior.sample(30, seed=9)
    assert np.array_equal(vectors[:10], vectors[10:20])
    assert np.array_equal(vectors[:10], load_prior(GRID).sample(10, seed=1))
    assert len(set(map(tuple, vectors[:10].tolist()))) == 10
    alone = [au_vector({au: level}) for au in ("AU1", "AU12") for level in (1, 3, 5)]
    assert vectors[:6].tolist() == list(map(list, alone))
    assert ((vectors[6:10] != 0).sum(axis=1) == 2).all()
    assert prior.stratum_name(5) == "AU12=5.0"


def test_the_protocol_of_fineface_is_60_single_aus_and_50_combinations():
    prior = load_prior({"prior": "grid", "protocol": "fineface"})
    vectors = prior.sample(110, seed=0)
    active = (vectors != 0).sum(axis=1)
    assert len(set(map(tuple, vectors.tolist()))) == 110
    assert Counter(active.tolist()) == {1: 60, 2: 17, 3: 17, 4: 16}
    assert Counter(vectors[:60].max(axis=1).tolist()) == dict.fromkeys(
        (1.0, 2.0, 3.0, 4.0, 5.0), 12
    )
    assert set(vectors[vectors != 0].tolist()) == {1.0, 2.0, 3.0, 4.0, 5.0}
    whole = load_prior({"prior": "grid", "combinations": 50})
    assert np.array_equal(whole.sample(110, seed=0), vectors)


def test_uniform_draws_any_k_aus_alike():
    prior = load_prior({**UNIFORM, "aus": ["AU1", "AU4", "AU6", "AU12"]})
    strata = prior.strata(0, "train", 0, 60_000).tolist()
    counts = Counter(map(prior.stratum_name, strata))
    numbers = Counter(stratum.bit_count() for stratum in strata)
    assert {k: round(n / 60_000, 2) for k, n in numbers.items()} == {1: 0.5, 2: 0.3, 3: 0.2}
    assert len(counts) == 4 + 6 + 4
    for name, count in counts.items():
        k = name.count("+") + 1
        assert count / 60_000 == pytest.approx({1: 0.5 / 4, 2: 0.3 / 6, 3: 0.2 / 4}[k], abs=0.006)


def test_a_total_is_uniform_and_split_uniformly_over_the_simplex():
    prior = load_prior(TOTAL)
    vectors = prior.sample(20_000, seed=3).astype(float)
    totals = vectors.sum(axis=1)
    assert kstest(totals, "uniform", args=(2, 3)).pvalue > 1e-4
    for number in (2, 3):
        rows = vectors[(vectors != 0).sum(axis=1) == number]
        first = rows[np.arange(len(rows)), (rows != 0).argmax(axis=1)]
        assert kstest(first / rows.sum(axis=1), beta(1, number - 1).cdf).pvalue > 1e-4


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {**COMBINATIONS, "combinations": [{"aus": {"AU6": [3, 2]}}]},
            "combinations.0: AU6 is [3.0, 2.0]; it must be [lowest, highest]",
        ),
        (
            {**COMBINATIONS, "combinations": [{"aus": {"AU6": 0}}]},
            "combinations.0: AU6 is 0.0; leave out an AU that is not active",
        ),
        (
            {**COMBINATIONS, "combinations": [{"aus": {"AU6": 7}}]},
            "AU6 of 'AU6' 7 is outside [0, 5]; set allow_out_of_range: true to allow it",
        ),
        (
            {**COMBINATIONS, "combinations": [{"aus": {"AU6": 1}}, {"aus": {"AU6": 2}}]},
            "two combinations are named 'AU6'; give one another name",
        ),
        (
            {"prior": "grid", "protocol": "fineface", "levels": [1]},
            "protocol fineface fixes levels; leave one of them out",
        ),
        ({"prior": "grid", "levels": [0, 1]}, "levels holds 0; an AU at 0 is not active"),
        (
            {"prior": "grid", "aus": ["AU1", "AU2"], "levels": [3], "combinations": 2},
            "combinations is 2; 2 AUs at 1 levels have 1 of 2 to 4 AUs",
        ),
        (
            {"prior": "uniform", "active": {3: 1.0}, "aus": ["AU1", "AU2"]},
            "active names 3 AUs; there are 2 in aus",
        ),
        (
            {**TOTAL, "intensity": {"low": 1, "high": 2}},
            "intensity and total are both given; leave one out",
        ),
        (
            {**TOTAL, "total": {"low": 3, "high": 9}},
            "total 9 is outside [0, 5]; set allow_out_of_range: true to allow it",
        ),
    ],
)
def test_what_cannot_be_is_refused(section, message):
    with pytest.raises(ConfigError) as caught:
        load_prior(section)
    assert str(caught.value) == f"expressions: {message}"
