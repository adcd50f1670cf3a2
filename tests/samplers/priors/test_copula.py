import pickle

import numpy as np
import pytest
from scipy.special import betainc

from samplers import load_prior
from samplers.randomness import uniforms
from synthgen.action_units import AUS

DRAWS = 200_000
SMILE = {
    "prior": "copula",
    "marginals": {
        "AU1": {"rate": 0.07, "levels": {"A": 0.4, "B": 0.3, "C": 0.2, "D": 0.07, "E": 0.03}},
        "AU6": {"rate": 0.15, "beta": {"a": 2.0, "b": 3.0}},
        "AU12": {"rate": 0.235, "quantiles": [0.5, 1.2, 2.0, 3.1, 5.0]},
        "AU25": {"rate": 0.35, "intensity": {"low": 0.5, "high": 5}},
        "AU26": {"rate": 1.0},
    },
    "correlation": {"AU6+AU12": 0.8, "AU12+AU25": 0.5, "AU1+AU12": -0.4},
}
NEVER = {"AU1": {"rate": 0.0}}
LEVEL_ENDS = [0.5, 1.5, 2.5, 3.5, 4.5, 5.0]


def distance(values, distribution):
    """Return the Kolmogorov-Smirnov distance times √n."""
    share = distribution(np.sort(values.astype(np.float64)))
    steps = np.arange(len(values) + 1) / len(values)
    apart = max((steps[1:] - share).max(), (share - steps[:-1]).max())
    return apart * np.sqrt(len(values))


def distribution(marginal):
    """Return the distribution function that a marginal asks for."""
    if "levels" in marginal:
        weights = np.array([marginal["levels"].get(level, 0.0) for level in "ABCDE"])
        shares = np.concatenate(([0.0], np.cumsum(weights))) / weights.sum()
        return lambda values: np.interp(values, LEVEL_ENDS, shares)
    if "beta" in marginal:
        a, b = marginal["beta"]["a"], marginal["beta"]["b"]
        return lambda values: betainc(a, b, np.clip((values - 0.5) / 4.5, 0, 1))
    nodes = marginal.get("quantiles", [0.5, 5.0])
    return lambda values: np.interp(values, nodes, np.linspace(0, 1, len(nodes)))


def random_marginal(generator):
    kinds = [
        {"levels": dict(zip("ABCDE", generator.dirichlet(np.ones(5)).tolist(), strict=True))},
        {"beta": dict(zip("ab", generator.uniform(0.5, 5, 2).tolist(), strict=True))},
        {"quantiles": np.sort(generator.uniform(0.5, 5, 7)).tolist()},
        {},
    ]
    return {"rate": generator.uniform(0.01, 0.6), **kinds[generator.integers(4)]}


def random_correlation(generator):
    factors = generator.normal(size=(12, generator.integers(2, 13)))
    matrix = factors @ factors.T + 0.3 * np.eye(12)
    scale = np.sqrt(np.diag(matrix))
    return matrix / scale / scale[:, None]


def shares_of_pairs(vectors):
    active = (vectors != 0).astype(np.float64)
    return active.T @ active / len(active)


def as_pairs(table, mark="+", scale=None):
    scale = np.ones(12) if scale is None else scale
    return {
        f"{AUS[i]}{mark}{AUS[j]}": float(table[i, j] / scale[j])
        for i in range(12)
        for j in range(i)
    }


def target(seed):
    """Make marginals at random, and the shares of pairs that random correlations give."""
    generator = np.random.default_rng(seed)
    marginals = {au: random_marginal(generator) for au in AUS}
    latent = random_correlation(generator)
    section = {"prior": "copula", "marginals": marginals, "correlation": as_pairs(latent)}
    prior = load_prior(section)
    rates, joint = prior.rates(), prior.joint()
    asked = [
        {"correlation": as_pairs(latent)},
        {"joint": as_pairs(joint)},
        {"conditional": as_pairs(joint, "|", rates)},
        {"matrix": {"aus": list(AUS), "values": ((latent + latent.T) / 2).tolist()}},
    ][seed % 4]
    return {"prior": "copula", "marginals": marginals, **asked}, joint


@pytest.mark.parametrize("seed", range(12))
def test_draws_follow_what_was_asked(seed):
    section, joint = target(seed)
    prior = load_prior(section)
    vectors = prior.sample(DRAWS, seed=seed)
    asked = np.array([section["marginals"][au]["rate"] for au in AUS])
    assert np.abs((vectors != 0).mean(axis=0) - asked).max() < 0.005
    assert np.abs(shares_of_pairs(vectors) - joint).max() < 0.01
    assert prior.joint() == pytest.approx(joint, abs=2e-6)
    assert prior.notes() == ()
    for au, name in enumerate(AUS):
        values = vectors[vectors[:, au] != 0, au]
        assert distance(values, distribution(section["marginals"][name])) < 1.95
        assert values.mean() == pytest.approx(prior.mean_intensities()[au], abs=0.1)


@pytest.mark.parametrize("seed", [3, 5, 6])
@pytest.mark.parametrize("way", ["replacement", "stratum alone"])
def test_redraws_keep_the_active_aus_and_follow_the_marginals(seed, way):
    section, _ = target(seed)
    prior = load_prior(section)
    strata = prior.strata(0, "train", 0, 30_000)
    first = prior.vectors(0, "train", 0, strata)
    if way == "replacement":
        again = prior.vectors(0, "train", 0, strata, replacement=1)
    else:
        again = prior.draw(strata, uniforms(1, "elsewhere", 0, 30_000, prior.width))
    assert np.array_equal(again != 0, first != 0)
    for au, name in enumerate(AUS):
        values = again[first[:, au] != 0, au]
        assert distance(values, distribution(section["marginals"][name])) < 1.95
        assert abs(np.corrcoef(values, first[first[:, au] != 0, au])[0, 1]) < 0.6
        assert (values != first[first[:, au] != 0, au]).mean() > 0.95


def test_redraws_rise_together_as_first_draws_do():
    pairs = as_pairs(random_correlation(np.random.default_rng(5)))
    marginals = {au: {"rate": 0.4} for au in AUS}
    prior = load_prior({"prior": "copula", "marginals": marginals, "correlation": pairs})
    strata = prior.strata(0, "train", 0, 30_000)
    both = np.flatnonzero((strata & 1 != 0) & (strata & 2 != 0))
    together = [
        np.corrcoef(prior.vectors(0, "train", 0, strata, replacement)[both, :2].T)[0, 1]
        for replacement in (0, 1, 2)
    ]
    assert together[1:] == pytest.approx([together[0]] * 2, abs=0.06)


def test_aus_that_go_together_also_rise_together():
    vectors = load_prior(SMILE).sample(50_000, seed=0)
    both = vectors[(vectors[:, 4] != 0) & (vectors[:, 6] != 0)]
    assert np.corrcoef(both[:, 4], both[:, 6])[0, 1] > 0.3
    alone = load_prior({**SMILE, "intensity_correlation": "none"}).sample(50_000, seed=0)
    assert np.array_equal(alone != 0, vectors != 0)
    both = alone[(alone[:, 4] != 0) & (alone[:, 6] != 0)]
    assert abs(np.corrcoef(both[:, 4], both[:, 6])[0, 1]) < 0.03
    assert distance(alone[alone[:, 6] != 0, 6], distribution(SMILE["marginals"]["AU12"])) < 1.95


def test_aus_that_are_never_and_always_active():
    prior = load_prior(SMILE)
    vectors = prior.sample(5_000, seed=1)
    assert (vectors[:, AUS.index("AU26")] >= 0.5).all()
    assert not vectors[:, AUS.index("AU2")].any()
    assert prior.joint()[AUS.index("AU6"), AUS.index("AU26")] == 0.15
    assert prior.rates()[AUS.index("AU2")] == 0
    assert prior.category(0) is None
    assert prior.stratum_name((1 << 6) + (1 << 4)) == "AU6+AU12"


@pytest.mark.parametrize("tied", ["latent", "none"])
@pytest.mark.parametrize("replacement", [0, 2])
def test_rows_are_the_same_alone_and_in_bulk_to_the_bit(tied, replacement):
    prior = load_prior({**SMILE, "intensity_correlation": tied})
    start, count = 999_000, 100
    strata = prior.strata(3, "test", start, start + count)
    bulk = prior.vectors(3, "test", start, strata, replacement)
    for row in range(count):
        stratum = prior.strata(3, "test", start + row, start + row + 1)
        assert stratum[0] == strata[row]
        alone = prior.vectors(3, "test", start + row, stratum, replacement)
        assert np.array_equal(alone[0], bulk[row])


def test_a_stratum_of_another_place_is_kept_whatever_stands_beside_it():
    prior = load_prior(SMILE)
    own = prior.strata(3, "train", 0, 50)
    other = own.copy()
    other[::2] = prior.strata(4, "train", 0, 50)[::2]
    found = prior.vectors(3, "train", 0, other)
    sets = ((found != 0) << np.arange(12)).sum(axis=1)
    assert np.array_equal(sets, other)
    kept = own == other
    assert np.array_equal(found[kept], prior.vectors(3, "train", 0, own)[kept])


def test_a_stratum_that_no_stored_draw_has_is_kept_too():
    rare = {au: {"rate": 0.002} for au in AUS[:5]}
    prior = load_prior({"prior": "copula", "marginals": rare})
    strata = np.full(200, 0b11111)
    vectors = prior.draw(strata, uniforms(0, "rare", 0, 200, prior.width))
    assert (vectors[:, :5] >= 0.5).all()
    assert not vectors[:, 5:].any()
    assert vectors[:, :5].mean() == pytest.approx(2.75, abs=0.15)


@pytest.mark.parametrize("tied", ["latent", "none"])
def test_sobol_points_keep_the_law_and_cover_more_evenly(tied):
    section, joint = target(1)
    section = {**section, "intensity_correlation": tied}
    random, even = load_prior(section), load_prior({**section, "sampling": "sobol"})
    vectors = even.sample(1 << 14, seed=0)
    missed = np.abs(shares_of_pairs(vectors) - joint)
    assert missed.max() < 0.004
    assert missed.mean() < np.abs(shares_of_pairs(random.sample(1 << 14, seed=0)) - joint).mean()
    for au, name in enumerate(AUS):
        values = vectors[vectors[:, au] != 0, au]
        assert distance(values, distribution(section["marginals"][name])) < 1.95
    strata = even.strata(0, "train", 900, 950)
    bulk = even.vectors(0, "train", 900, strata)
    assert np.array_equal(bulk, vectors[900:950])
    assert np.array_equal(even.vectors(0, "train", 907, strata[7:8])[0], bulk[7])


def test_a_mixture_and_rules_keep_the_law_of_a_copula():
    section, joint = target(2)
    parts = [{"weight": 1.0, **section}, {"weight": 1.0, "prior": "independent", "aus": NEVER}]
    mixed = load_prior({"prior": "mixture", "of": parts}).sample(40_000, seed=0)
    assert np.abs(shares_of_pairs(mixed) - joint / 2).max() < 0.01
    rules = [{"if": "AU26", "then": "AU25", "at_least": 1}]
    ruled = load_prior({**section, "rules": rules})
    vectors = ruled.sample(10_000, seed=0)
    plain = load_prior(section).sample(10_000, seed=0)
    broken = (plain[:, 11] != 0) & (plain[:, 10] < 1)
    assert 0 < broken.sum() < len(broken)
    assert np.array_equal(vectors[~broken], plain[~broken])
    assert not ((vectors[:, 11] != 0) & (vectors[:, 10] < 1)).any()


def test_a_pickled_prior_draws_the_same():
    prior = load_prior(SMILE)
    copy = pickle.loads(pickle.dumps(prior))
    assert np.array_equal(copy.sample(100, seed=4), prior.sample(100, seed=4))


def test_a_larger_draw_keeps_the_earlier_vectors():
    prior = load_prior(SMILE)
    assert np.array_equal(prior.sample(10, seed=2), prior.sample(9_000, seed=2)[:10])
