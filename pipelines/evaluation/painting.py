"""Models that are judged, all through one function: texts, AUs and seeds to images."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL.Image import Image

from pipelines.interfaces import ImageSource
from samplers.spec import Attempt, SampleSpec

Painter = Callable[[Sequence[str], Float[np.ndarray, "n 12"], Sequence[int]], list[Image]]
"""Texts, AU intensities [0–5] and seeds of the noise → one image each."""


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A model that is judged.

    Attributes:
        name: what the tables call it.
        identity: what its images are a function of besides text, AUs, seed and batch size: JSON
            values.
        paint: paints one batch.
    """

    name: str
    identity: dict[str, Any]
    paint: Painter


def candidate_of(name: str, source: ImageSource, settings: dict[str, Any]) -> Candidate:
    """Make a candidate of an image source, as runs use them.

    Args:
        name: what the tables call it.
        source: the image source.
        settings: its configuration, which its images are a function of too.
    """

    def paint(
        texts: Sequence[str], aus: Float[np.ndarray, "n 12"], seeds: Sequence[int]
    ) -> list[Image]:
        return source.paint([_attempt(*asked) for asked in zip(texts, aus, seeds, strict=True)])

    return Candidate(name, {"settings": settings, **source.fingerprint()}, paint)


def _attempt(text: str, aus: Float[np.ndarray, " 12"], seed: int) -> Attempt:
    spec = SampleSpec(
        index=0,
        split="evaluation",
        position=0,
        replacement=0,
        stratum="",
        aus=tuple(map(float, aus)),
        emotion=None,
        identity_id="",
        identity={},
        identity_seed=seed,
        prompt=text,
        negative_prompt="",
    )
    return Attempt(spec, number=0, seed=seed)
