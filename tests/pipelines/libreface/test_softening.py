import numpy as np
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.libreface.alignment import blend_blurred


def edges(length, first, last):
    place = np.arange(length, dtype=np.float32)
    return 1.0 - np.minimum(place / np.int64(first), (length - 1 - place) / np.int64(last))


@given(
    size=st.tuples(st.integers(4, 60), st.integers(4, 60)),
    pad=st.lists(st.integers(1, 40), min_size=4, max_size=4),
    blur=st.floats(0.3, 6),
)
@settings(deadline=None, max_examples=60)
def test_blocks_are_blurred_as_the_whole_image_to_the_bit(size, pad, blur):
    left, top, right, bottom = pad
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.float32)
    pixels = np.pad(picture, ((top, bottom), (left, right), (0, 0)))
    down, across = edges(len(pixels), top, bottom), edges(pixels.shape[1], left, right)
    weight = np.clip(np.maximum(across, down[:, None])[..., None] * 3.0 + 1.0, 0.0, 1.0)
    whole = scipy.ndimage.gaussian_filter(pixels, [blur, blur, 0])
    expected = pixels + (whole - pixels) * weight
    place = (slice(top, top + size[0]), slice(left, left + size[1]))
    blend_blurred(pixels, place, down, across, blur)
    assert np.array_equal(pixels, expected)
