"""Check `brightness` for synthgen: a column `brightness`, and images that are too dark rejected."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL.Image import Image
from pydantic import Field

from synthgen.extending import (
    CheckSection,
    Feature,
    RunConfig,
    SampleSpec,
    Verdict,
    Verifier,
    value_feature,
)


class Brightness(CheckSection):
    """A check `{name: brightness, …}` under `verify.checks`."""

    least: float = Field(default=0.0, ge=0, le=255, description="Darkest that is kept [0, 255].")

    def load(self, device: str, run: RunConfig) -> "BrightnessVerifier":
        """Return what measures; the device makes no difference."""
        return BrightnessVerifier(self.least)


class BrightnessVerifier(Verifier):
    """Measures the mean grey value of images.

    Args:
        least: darkest that is kept [0, 255].
    """

    name = "brightness"

    def __init__(self, least: float) -> None:
        self._least = least

    @property
    def columns(self) -> Mapping[str, Feature]:
        """Return one column of numbers."""
        return {"brightness": value_feature("float32")}

    def measure(
        self, images: Sequence[Image], specs: Sequence[SampleSpec]
    ) -> list[Mapping[str, Any]]:
        """Return the brightness of each image."""
        return [{"brightness": float(np.asarray(image.convert("L")).mean())} for image in images]

    def verdict(self, spec: SampleSpec, measured: Mapping[str, Any]) -> Verdict:
        """Reject what is darker than asked for."""
        found = measured["brightness"]
        if found >= self._least:
            return Verdict.accept()
        return Verdict.reject(
            "dark",
            f"the brightness is {found:.1f}; the least allowed is {self._least:g}",
            self._least - found,
        )
