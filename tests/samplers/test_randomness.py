from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from samplers.randomness import derive_seed, normals, uniforms

SEEDS = st.integers(0, 2**63 - 1)
STAGES = st.text(max_size=20)


@given(SEEDS, STAGES, st.integers(0, 10**9), st.integers(0, 20), st.integers(1, 30))
def test_a_row_is_the_same_alone_and_in_bulk(seed, stage, start, count, width):
    bulk = uniforms(seed, stage, start, start + count, width)
    alone = [uniforms(seed, stage, row, row + 1, width)[0] for row in range(start, start + count)]
    assert bulk.shape == (count, width)
    assert np.array_equal(bulk, np.array(alone).reshape(count, width))


@given(SEEDS, STAGES, STAGES)
def test_stages_and_seeds_are_independent(seed, one, other):
    draw = uniforms(seed, one, 0, 4, 3)
    assert np.array_equal(draw, uniforms(seed, other, 0, 4, 3)) == (one == other)
    assert not np.array_equal(draw, uniforms(seed ^ 1, one, 0, 4, 3))


def philox(counter, key):
    """Philox4x64-10 by the formulas of Salmon et al. (SC 2011)."""
    mask = 2**64 - 1
    words = [counter >> 64 * n & mask for n in range(4)]
    low, high = key & mask, key >> 64
    for _ in range(10):
        one, two = words[0] * 0xD2E7470EE14C6C93, words[2] * 0xCA5A826395121157
        words = [two >> 64 ^ words[1] ^ low, two & mask, one >> 64 ^ words[3] ^ high, one & mask]
        low, high = low + 0x9E3779B97F4A7C15 & mask, high + 0xBB67AE8584CAA73B & mask
    return words


def test_the_numbers_are_those_of_the_published_generator():
    name = (7).to_bytes(8, "little") + (6).to_bytes(4, "little") + b"pinned"
    key = blake2b(name, digest_size=16, person=b"synthgen-philox").digest()
    # A row of width 6 takes two counters; the generator counts up before it draws.
    words = [word for n in (11, 12) for word in philox(n, int.from_bytes(key, "little"))]
    expected = [((word >> 12) + 0.5) / 2**52 for word in words[:6]]
    assert uniforms(7, "pinned", 5, 6, 6).tolist() == [expected]


def test_the_numbers_are_fixed_for_ever():
    assert uniforms(7, "pinned", 5, 6, 3).tolist() == [
        [0.6139399527607429, 0.45691511693786324, 0.765999826381467]
    ]
    assert derive_seed(7, "pinned", 1, 2) == 3410512402266107592


def test_uniforms_are_uniform_in_the_open_interval():
    numbers = uniforms(1, "uniform", 0, 20_000, 5)
    assert numbers.dtype == np.float64
    assert numbers.min() > 0
    assert numbers.max() < 1
    assert kstest(numbers.reshape(-1), "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(numbers, rowvar=False) - np.eye(5)).max() < 0.03


def test_normals_are_standard():
    numbers = normals(1, "normal", 0, 20_000, 4)
    assert kstest(numbers.reshape(-1), "norm").pvalue > 1e-3


@pytest.mark.parametrize(("start", "stop", "width"), [(-1, 2, 1), (3, 2, 1), (0, 1, 0)])
def test_what_is_no_range_is_refused(start, stop, width):
    with pytest.raises(ValueError, match=f"rows {start} to {stop} of width {width} are no range"):
        uniforms(0, "", start, stop, width)


@given(SEEDS, st.lists(st.integers(0, 2**40), max_size=4), st.lists(st.integers(0, 2**40)))
def test_derived_seeds_differ_by_address(seed, one, other):
    first = derive_seed(seed, "noise", *one)
    assert 0 <= first < 2**63
    assert (first == derive_seed(seed, "noise", *other)) == (one == other)
    assert first != derive_seed(seed, "other", *one)
