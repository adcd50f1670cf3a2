import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplers import load_prior
from samplers.priors.emotions import prototype_table
from synthgen.action_units import AUS
from synthgen.errors import ConfigError

BASIC = ["neutral", "happy", "sad", "surprised", "fearful", "angry", "disgusted"]
EMOTIONS = {"prior": "emotions", "categories": BASIC, "intensity": {"low": 2, "high": 5}}
INDEPENDENT = {
    "prior": "independent",
    "aus": {
        "AU1": {"rate": 0.3, "intensity": {"low": 1, "high": 2}},
        "AU12": {"rate": 1.0, "intensity": {"low": 4, "high": 4}},
        "AU26": {"rate": 0.05},
    },
}
sections = st.sampled_from([EMOTIONS, INDEPENDENT])


@given(sections, st.integers(0, 2**63 - 1), st.integers(0, 40), st.integers(0, 40))
def test_a_larger_draw_keeps_the_earlier_vectors(section, seed, n, more):
    prior = load_prior(section)
    assert np.array_equal(prior.sample(n, seed), prior.sample(n + more, seed)[:n])


@given(sections, st.integers(0, 3), st.integers(0, 10**6), st.integers(1, 30))
def test_rows_of_a_prior_are_the_same_alone_and_in_bulk(section, replacement, start, count):
    prior = load_prior(section)
    strata = prior.strata(3, "test", start, start + count)
    bulk = prior.vectors(3, "test", start, strata, replacement)
    for row in range(count):
        stratum = prior.strata(3, "test", start + row, start + row + 1)
        assert stratum[0] == strata[row]
        alone = prior.vectors(3, "test", start + row, stratum, replacement)
        assert np.array_equal(alone[0], bulk[row])


def test_a_large_draw_is_cut_into_chunks_without_a_seam():
    prior = load_prior(EMOTIONS)
    strata = prior.strata(1, "train", 0, 20_000)
    assert np.array_equal(prior.sample(20_000, seed=1), prior.vectors(1, "train", 0, strata))


@pytest.mark.parametrize("section", [EMOTIONS, INDEPENDENT], ids=["emotions", "independent"])
def test_rates_and_intensities_are_those_announced(section):
    prior = load_prior(section)
    vectors = prior.sample(70_000, seed=5)
    active = vectors != 0
    assert vectors.dtype == np.float32
    assert np.abs(active.mean(axis=0) - prior.rates()).max() < 0.01
    for au in np.flatnonzero(active.any(axis=0)):
        mean = vectors[active[:, au], au].mean()
        assert mean == pytest.approx(prior.mean_intensities()[au], abs=0.06)


def test_prototypes_are_always_active_and_variants_as_often_as_subjects_showed_them():
    prior = load_prior({**EMOTIONS, "categories": list(prototype_table()), "allow_ambiguous": True})
    vectors = prior.sample(22_000, seed=0)
    strata = prior.strata(0, "train", 0, 22_000)
    for number, name in enumerate(prior.categories):
        prototype = prototype_table()[name]
        rates = dict(zip(AUS, (vectors[strata == number] != 0).mean(axis=0), strict=True))
        for au, rate in rates.items():
            if au in prototype.variants:
                assert rate == pytest.approx(prototype.variants[au], abs=0.065)
            else:
                assert rate == float(au in prototype.shown)


def test_without_variants_only_prototypes_are_active():
    prior = load_prior({**EMOTIONS, "categories": ["surprised"], "variants": False})
    active = (prior.sample(50, seed=0) != 0).all(axis=0)
    assert [au for au, on in zip(AUS, active, strict=True) if on] == ["AU1", "AU2", "AU25", "AU26"]
    assert prior.rates().tolist() == active.astype(float).tolist()


def test_intensities_keep_the_range():
    vectors = load_prior(EMOTIONS).sample(5_000, seed=0)
    assert vectors[vectors != 0].min() >= 2
    assert vectors.max() <= 5
    beyond = load_prior(
        {**EMOTIONS, "intensity": {"low": -2, "high": 8}, "allow_out_of_range": True}
    )
    assert beyond.sample(5_000, seed=0).min() < -1.5


def test_neutral_is_the_zero_vector():
    assert not load_prior({**EMOTIONS, "categories": ["neutral"]}).sample(20, seed=0).any()


@settings(max_examples=20)
@given(st.permutations(["happy", "sad", "awed"]))
def test_weights_give_the_same_draw_in_any_order_of_the_mapping(order):
    weights = {"happy": 0.5, "sad": 0.2, "awed": 0.3}
    prior = load_prior({**EMOTIONS, "categories": {name: weights[name] for name in order}})
    assert prior.categories == ("happy", "sad", "awed")
    assert prior.category_shares() == weights


def test_a_list_of_categories_keeps_its_order():
    assert load_prior({**EMOTIONS, "categories": ["sad", "happy"]}).categories == ("sad", "happy")


def test_strata_of_independent_aus_are_sets_of_active_aus():
    prior = load_prior(INDEPENDENT)
    strata = prior.strata(2, "train", 0, 300)
    vectors = prior.vectors(2, "train", 0, strata)
    for stratum, vector in zip(strata.tolist(), vectors, strict=True):
        active = [au for au, value in zip(AUS, vector, strict=True) if value]
        assert prior.stratum_name(stratum) == "+".join(active)
    assert prior.stratum_name(0) == "neutral"
    assert prior.categories == ()
    assert prior.category(int(strata[0])) is None


def test_a_prior_is_read_from_a_file(tmp_path):
    path = tmp_path / "prior.yaml"
    path.write_text("prior: emotions\ncategories: [happy]\nintensity: {low: 1, high: 2}\n")
    vectors = load_prior(path).sample(4, seed=0)
    assert np.array_equal(vectors, load_prior(str(path)).sample(4, seed=0))


def test_a_wrong_file_is_refused_with_its_name(tmp_path):
    path = tmp_path / "prior.yaml"
    path.write_text("prior: emotion\n")
    with pytest.raises(ConfigError) as caught:
        load_prior(path)
    assert str(caught.value) == (
        f"{path}: line 1: prior is 'emotion'; did you mean 'emotions'? It must be 'emotions', "
        "'independent', 'combinations', 'grid', 'uniform', 'copula', 'empirical', 'builtin' or "
        "'mixture', or package.module:Class"
    )


def test_a_wrong_mapping_is_refused():
    with pytest.raises(ConfigError) as caught:
        load_prior({"prior": "independent", "aus": {"AU12": {"rate": 2.0}}})
    assert str(caught.value) == "expressions: aus.AU12.rate is 2.0; it must be at most 1"


def test_categories_that_cannot_be_told_apart_are_named():
    names = ["angry", "sad", "happy", "hatred", "sadly angry", "appalled"]
    prior = load_prior({**EMOTIONS, "categories": names, "allow_ambiguous": True})
    assert prior.ambiguous() == (("angry", "hatred", "appalled"), ("sad", "sadly angry"))
    assert load_prior(EMOTIONS).ambiguous() == ()
    assert load_prior(INDEPENDENT).ambiguous() == ()
