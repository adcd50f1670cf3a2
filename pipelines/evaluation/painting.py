"""Models that are judged, all through one function: requests to images."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from PIL.Image import Image

from pipelines.evaluation.protocols import Request, au_array
from pipelines.interfaces import ImageSource
from samplers.spec import Attempt, SampleSpec
from synthgen.config import FaceIdConfig, FineFaceConfig

Painter = Callable[[Sequence[Request]], list[Image]]
"""Requests → one image each."""


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A model that is judged.

    Attributes:
        name: what the tables call it.
        identity: what its images are a function of besides requests and batch size: JSON values.
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

    def paint(requests: Sequence[Request]) -> list[Image]:
        return source.paint([_attempt(request) for request in requests])

    return Candidate(name, {"settings": settings, **source.fingerprint()}, paint)


def settings_of(config: FineFaceConfig | FaceIdConfig) -> dict[str, Any]:
    """Return what images are a function of besides the files, wherever these lie."""
    kept = config.model_dump(mode="json", exclude={"weights"})
    weights = config.weights
    return {**kept, "lora_scale": 1.0 if weights == "mini" else weights.lora_scale}


def _attempt(request: Request) -> Attempt:
    seed = request.prompt.noise
    spec = SampleSpec(
        index=0,
        split="evaluation",
        position=0,
        replacement=0,
        stratum="",
        aus=tuple(map(float, au_array([request])[0])),
        emotion=None,
        identity_id="",
        identity={},
        identity_seed=seed,
        prompt=request.text,
        negative_prompt="",
        faceid=request.person,
    )
    return Attempt(spec, number=0, seed=seed)
