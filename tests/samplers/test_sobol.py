import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import qmc

from samplers.priors.sobol import MAX_ROWS, sobol_uniforms
from samplers.randomness import derive_seed


@given(st.integers(0, 2**63 - 1), st.integers(1, 30), st.integers(0, MAX_ROWS - 40))
@settings(max_examples=30, deadline=None)
def test_rows_are_the_same_alone_and_in_bulk(seed, width, start):
    rows = np.arange(start, start + 40)
    bulk = sobol_uniforms(seed, "stage", rows, width)
    assert ((bulk > 0) & (bulk < 1)).all()
    for row in (0, 7, 39):
        alone = sobol_uniforms(seed, "stage", rows[row : row + 1], width)
        assert alone.tobytes() == bulk[row].tobytes()


def test_points_are_those_of_scipy_in_the_middle_of_their_cells():
    rng = np.random.default_rng(derive_seed(3, "stage"))
    expected = qmc.Sobol(24, bits=52, rng=rng).random(1024)
    found = sobol_uniforms(3, "stage", np.arange(1024), 24)
    assert np.abs(found - expected).max() <= 2.0**-53


@given(st.integers(0, 2**63 - 1), st.integers(1, 1000), st.integers(0, 8))
@settings(max_examples=30, deadline=None)
def test_each_column_covers_equal_bins_alike(seed, block, power):
    rows = np.arange(block << power, (block + 1) << power)
    bins = (sobol_uniforms(seed, "stage", rows, 12) * (1 << power)).astype(int)
    assert (np.sort(bins, axis=0) == np.arange(1 << power)[:, None]).all()


def test_seed_and_stage_decide():
    rows = np.arange(16)
    draws = [sobol_uniforms(*key, rows, 4) for key in ((0, "a"), (0, "b"), (1, "a"))]
    assert not np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


@pytest.mark.parametrize("rows", [[-1], [MAX_ROWS]])
def test_rows_that_do_not_exist_are_refused(rows):
    with pytest.raises(ValueError, match="there are no such rows of width 2"):
        sobol_uniforms(0, "stage", np.array(rows), 2)
