"""Blur the rim of a padded picture: the same floats as blurring all of it, in a third of the time.

The blurred picture is blended in by a weight that is 0 in the middle, and black far from the
picture stays black. What is left is a frame, which is cut into four blocks; each is blurred with as
much around it as the kernel reaches, so that every float is the one that a blur of the whole image
gives.
"""

import numpy as np
import scipy.ndimage
from jaxtyping import Float

_TRUNCATE = 4.0  # reach of the kernel in standard deviations, scipy's own default

Block = tuple[slice, slice]


def blend_blurred(
    pixels: Float[np.ndarray, "h w 3"],
    picture: Block,
    down: Float[np.ndarray, " h"],
    across: Float[np.ndarray, " w"],
    blur: float,
) -> None:
    """Blend the blurred image in near its rim, in place.

    Args:
        pixels: padded image.
        picture: rows and columns of the picture; all else is black.
        down: of each row, 1 at the rim, 0 where the picture begins, negative inside.
        across: the same of each column.
        blur: standard deviation of the blur [pixels].
    """
    reach = int(_TRUNCATE * blur + 0.5)
    high, wide = pixels.shape[:2]
    outer = (_grown(picture[0], reach, high), _grown(picture[1], reach, wide))
    inner = (_middle(_weight(down) > 0), _middle(_weight(across) > 0))
    blocks = [(block, _blurred(pixels, block, reach, blur)) for block in _frame(outer, inner)]
    for (rows, columns), blurred in blocks:
        here = pixels[rows, columns]
        edge = np.maximum(across[None, columns, None], down[rows, None, None])
        here += (blurred - here) * _weight(edge)


def _weight(edge: np.ndarray) -> np.ndarray:
    return np.clip(edge * 3.0 + 1.0, 0.0, 1.0)


def _blurred(pixels: np.ndarray, block: Block, reach: int, blur: float) -> np.ndarray:
    rows, columns = (
        _grown(side, reach, length) for side, length in zip(block, pixels.shape, strict=False)
    )
    blurred = scipy.ndimage.gaussian_filter(
        pixels[rows, columns], [blur, blur, 0], truncate=_TRUNCATE
    )
    return blurred[
        block[0].start - rows.start : block[0].stop - rows.start,
        block[1].start - columns.start : block[1].stop - columns.start,
    ]


def _frame(outer: Block, inner: Block) -> list[Block]:
    """Cut `outer` without `inner` into blocks: above, left, right, below."""
    rows, columns = outer
    top, bottom = max(inner[0].start, rows.start), min(inner[0].stop, rows.stop)
    left, right = max(inner[1].start, columns.start), min(inner[1].stop, columns.stop)
    if top >= bottom or left >= right:
        return [outer]
    blocks = [
        (slice(rows.start, top), columns),
        (slice(top, bottom), slice(columns.start, left)),
        (slice(top, bottom), slice(right, columns.stop)),
        (slice(bottom, rows.stop), columns),
    ]
    return [block for block in blocks if all(side.stop > side.start for side in block)]


def _middle(marked: np.ndarray) -> slice:
    """Return what is not marked: one piece, or nothing."""
    inside = np.flatnonzero(~marked)
    return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0)


def _grown(side: slice, reach: int, length: int) -> slice:
    return slice(max(side.start - reach, 0), min(side.stop + reach, length))
