"""What holds for every composed prior."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prior_sections import SECTIONS

from samplers import load_prior
from samplers.priors import Prior
from synthgen.action_units import AUS

PRIORS = {name: load_prior(section) for name, section in SECTIONS.items()}
names = st.sampled_from(sorted(SECTIONS))


@given(names, st.integers(0, 3), st.integers(0, 10**6), st.integers(1, 25))
@settings(max_examples=80, deadline=None)
def test_rows_are_the_same_alone_and_in_bulk(name, replacement, start, count):
    prior = PRIORS[name]
    strata = prior.strata(3, "test", start, start + count)
    bulk = prior.vectors(3, "test", start, strata, replacement)
    for row in range(count):
        stratum = prior.strata(3, "test", start + row, start + row + 1)
        assert stratum[0] == strata[row]
        alone = prior.vectors(3, "test", start + row, stratum, replacement)
        assert alone.tobytes() == bulk[row].tobytes()


@given(names, st.integers(0, 2**63 - 1), st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=40, deadline=None)
def test_a_larger_draw_keeps_the_earlier_vectors(name, seed, n, more):
    prior = PRIORS[name]
    assert np.array_equal(prior.sample(n, seed), prior.sample(n + more, seed)[:n])


@pytest.mark.parametrize("name", SECTIONS)
def test_rates_joint_probabilities_and_means_are_those_announced(name):
    prior: Prior = PRIORS[name]
    vectors = prior.sample(40_000, seed=5)
    active = vectors != 0
    both = active.T.astype(float) @ active / len(vectors)
    assert np.abs(both - prior.joint()).max() < 0.012
    assert np.abs(np.diagonal(both) - prior.rates()).max() < 0.012
    for au in np.flatnonzero(active.sum(axis=0) > 500):
        mean = vectors[active[:, au], au].mean()
        assert mean == pytest.approx(prior.mean_intensities()[au], abs=0.15)


@pytest.mark.parametrize("name", SECTIONS)
def test_intensities_are_active_by_their_strata_and_within_bounds(name):
    prior = PRIORS[name]
    vectors = prior.sample(3_000, seed=2)
    strata = prior.strata(2, "train", 0, 3_000)
    assert vectors.dtype == np.float32
    assert vectors.min() >= 0
    assert vectors.max() <= 5
    assert all(prior.stratum_name(int(stratum)) for stratum in np.unique(strata))
    assert set(map(prior.category, strata.tolist())) <= {*prior.categories, None}


@pytest.mark.parametrize("name", SECTIONS)
def test_parts_allow_every_vector_that_is_drawn(name):
    prior = PRIORS[name]
    strata = prior.strata(2, "train", 0, 500)
    vectors = prior.vectors(2, "train", 0, strata)
    parts = prior.parts()
    for number, vector in zip(prior.part_of(strata), vectors, strict=True):
        active = vector != 0
        part = parts[number]
        assert (part.patterns(range(len(AUS))) == active).all(axis=1).any()
        assert (vector >= np.float32(part.low))[active].all()
        assert (vector <= np.float32(part.high))[active].all()
