"""Pipeline `ovals` for synthgen: a face of an oval and a few lines."""

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw
from pydantic import Field

from synthgen.extending import (
    ActionUnitSet,
    Attempt,
    Feature,
    ImageSource,
    PipelineSection,
    Weights,
    vector_feature,
)

SHOWN = ActionUnitSet(("AU1", "AU4", "AU12", "AU15", "AU25"))


class Ovals(PipelineSection):
    """Section `pipeline` with `name: ovals`."""

    size: int = Field(default=64, ge=32, le=512, description="Width and height [pixels].")
    line: int = Field(default=2, ge=1, le=8, description="Width of a line [pixels].")

    def load(self, device: str) -> "OvalSource":
        """Return what draws; the device makes no difference."""
        return OvalSource(self)

    @property
    def uses_gpu(self) -> bool:
        """False: drawing is done by the CPU."""
        return False

    @property
    def action_units(self) -> frozenset[str]:
        """The AUs that it can show; a run that asks for others is refused."""
        return frozenset(SHOWN.names)

    def image_size(self, weights: Weights) -> tuple[int, int]:
        """Return height and width of the images [pixels]."""
        return self.size, self.size


class OvalSource(ImageSource):
    """Draws attempts; an image follows from its attempt alone."""

    def __init__(self, section: Ovals) -> None:
        """Take size and width of lines from the section."""
        self._size, self._line = section.size, section.line

    def generate(self, attempts: Sequence[Attempt]) -> list[Image.Image]:
        """Return one RGB image for each attempt, in order."""
        return [self._draw(attempt) for attempt in attempts]

    @property
    def columns(self) -> Mapping[str, Feature]:
        """Return one column: the colour of the skin, which no check need measure."""
        return {"oval_skin": vector_feature(3, "uint8")}

    @property
    def descriptions(self) -> Mapping[str, str]:
        """Return the order of its numbers."""
        return {"oval_skin": "Red, green and blue of the skin [0, 255]."}

    def labels(self, attempts: Sequence[Attempt]) -> list[Mapping[str, Any]]:
        """Return a value of the column for each attempt."""
        return [{"oval_skin": self._skin(attempt)} for attempt in attempts]

    def _skin(self, attempt: Attempt) -> tuple[int, int, int]:
        who, noise = attempt.spec.identity_seed, attempt.seed
        return (200 + who % 40, 150 + who // 40 % 50, 120 + noise % 20)

    def _draw(self, attempt: Attempt) -> Image.Image:
        unit, skin = self._size / 16, self._skin(attempt)
        inner_brow, lower_brow, smile, sad, open_lips = attempt.spec.aus_of(SHOWN)
        image = Image.new("RGB", (self._size, self._size), (60, 90, 120))
        draw = ImageDraw.Draw(image)
        draw.ellipse((3 * unit, unit, 13 * unit, 15 * unit), fill=skin)
        outer = unit * (5 + 0.2 * lower_brow)
        for outside, inside in ((5, 7), (11, 9)):
            brow = (outside * unit, outer, inside * unit, outer - 0.3 * unit * inner_brow)
            draw.line(brow, (50, 30, 20), self._line)
            eye = (min(outside, inside) * unit, 6 * unit, max(outside, inside) * unit, 7 * unit)
            draw.ellipse(eye, fill=(30, 30, 60))
        corners, middle = unit * (11 - 0.4 * (smile - sad)), 11 * unit
        lower = middle + unit * (0.2 + 0.4 * open_lips)
        mouth = [(5 * unit, corners), (8 * unit, middle), (11 * unit, corners), (8 * unit, lower)]
        draw.polygon(mouth, fill=(150, 40, 50))
        return image
