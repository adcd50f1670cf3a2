"""Verdicts on images: accepted, or rejected with a reason; several checks' joined into one."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Verdict:
    """Verdict of a check, or of all checks of a run together, on one image.

    Attributes:
        accepted: whether the image keeps every bound.
        reason: the first bound that it missed, or None. Reasons that no check gives are `blank`:
            the image is of one colour, as where a model's numbers are not finite; and `error`:
            making or measuring it failed.
        detail: one sentence with the values, or "" where it is accepted.
        distance: how far the image is from being accepted, for `keep_best`: by how much bounds are
            missed, summed over them [AU intensity; cosines count ten times]; 0 where the image is
            accepted, infinite where that is not known.
    """

    accepted: bool
    reason: str | None = None
    detail: str = ""
    distance: float = 0.0

    @classmethod
    def accept(cls) -> "Verdict":
        """Return the verdict on an image that keeps every bound."""
        return cls(True)

    @classmethod
    def reject(cls, reason: str, detail: str, distance: float = math.inf) -> "Verdict":
        """Return the verdict on an image that misses a bound."""
        return cls(False, reason, detail, distance)

    @classmethod
    def error(cls, detail: str) -> "Verdict":
        """Return the verdict on an attempt that failed before it could be judged."""
        return cls.reject("error", detail)


def joined(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict of several checks, in their order: the first one that rejects says why.

    Distances add up. Without a check everything is accepted.
    """
    verdicts = list(verdicts)
    first = next((verdict for verdict in verdicts if not verdict.accepted), Verdict.accept())
    return Verdict(
        first.accepted,
        first.reason,
        first.detail,
        float(sum(verdict.distance for verdict in verdicts)),
    )


def blank_detail(image: Image, dtype: str = "") -> str | None:
    """Tell why an image shows nothing; None where it shows something.

    Sources paint black where a model's numbers are not finite.

    Args:
        image: the image.
        dtype: number format of the pipeline that made it, for the advice; "": not known.
    """
    extremes = cast("tuple[tuple[int, int], ...]", image.convert("RGB").getextrema())
    if any(low != high for low, high in extremes):
        return None
    colour = tuple(low for low, _ in extremes)
    mend = (
        "; some models overflow in float16, so set pipeline.dtype to bfloat16 or float32"
        if dtype == "float16"
        else ""
    )
    return (
        f"every pixel is {colour}: the model painted nothing, or its numbers are not finite{mend}"
    )
