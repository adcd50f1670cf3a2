import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplers.priors.correlation import FLOOR, nearest_correlation


def table(size, pairs):
    asked, fixed = np.eye(size), np.eye(size, dtype=bool)
    for (i, j), value in pairs.items():
        asked[i, j] = asked[j, i] = value
        fixed[i, j] = fixed[j, i] = True
    return asked, fixed


def test_the_nearest_matrix_is_highams():
    # The example of Higham (2002), section 4, to the four decimals printed there.
    asked = np.array([[1.0, 1, 0], [1, 1, 1], [0, 1, 1]])
    found = nearest_correlation(asked, np.ones((3, 3), dtype=bool))
    expected = [[1, 0.7607, 0.1573], [0.7607, 1, 0.7607], [0.1573, 0.7607, 1]]
    assert found == pytest.approx(np.array(expected), abs=6e-5)


def test_a_matrix_that_can_be_is_kept_to_the_bit():
    asked, fixed = table(4, {(0, 1): 0.8, (1, 2): -0.3})
    assert np.array_equal(nearest_correlation(asked, fixed), asked)


def test_what_was_not_asked_for_gives_way_first():
    asked, fixed = table(3, {(0, 1): 0.8, (1, 2): 0.8})
    found = nearest_correlation(asked, fixed)
    assert found[fixed] == pytest.approx(asked[fixed], abs=1e-5)
    assert found[0, 2] == pytest.approx(0.28, abs=1e-4)  # the least that 0.8 and 0.8 leave


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 66))
def test_whatever_is_asked_a_correlation_matrix_comes(seed, count):
    generator = np.random.default_rng(seed)
    places = generator.permutation(np.stack(np.triu_indices(12, 1), axis=1))[:count]
    asked, fixed = table(12, {(i, j): generator.uniform(-1, 1) for i, j in places})
    found = nearest_correlation(asked, fixed)
    assert np.array_equal(found, found.T)
    assert np.diag(found).tolist() == [1.0] * 12
    assert np.linalg.eigvalsh(found)[0] > FLOOR / 3
