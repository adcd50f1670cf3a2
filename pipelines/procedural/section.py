"""The section of pipeline `procedural`; loads neither torch nor skia."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from pipelines.procedural.drawn_aus import aus_of_edition
from pipelines.procedural.vocabulary import refuse_unknown_values, unknown_values
from synthgen.config.base import Figure, Weights
from synthgen.config.pipeline import DigitalSource, PipelineSection
from synthgen.config.run import RunConfig

if TYPE_CHECKING:
    from pipelines.procedural.source import ProceduralSource

_MEASURED_SIDE = 128
_MEASURED_PNG = 17_800
"""Data of a sample of drawn faces, 128×128, PNG: 240 of examples/drawn-faces.yaml [bytes]."""


Label = Literal["aus", "landmarks", "contour", "box", "pose", "gaze", "light"]
"""Names of exact labels, each of which is a column: see `label_columns.LABEL_COLUMNS`."""


class ProceduralConfig(PipelineSection):
    """Drawn portraits: no model, a few milliseconds each."""

    name: Literal["procedural"]  # pyright: ignore[reportIncompatibleVariableOverride]
    size: int = Field(
        default=128, ge=64, le=1024, description="Width and height of an image [pixels]."
    )
    edition: Literal[1, 2] = Field(
        default=1,
        exclude_if=lambda edition: edition == 1,
        description="Edition of the drawings: 1 shows the 12 AUs; 2 shows AU7, 10, 14, 23, 24 and "
        "43 too, heads turned by up to 20° and eyes that look elsewhere.",
    )
    au_noise: float = Field(
        default=0.0,
        ge=0,
        le=5,
        description="Standard deviation [intensity] of what is drawn around what was asked for; at "
        "0, seeds change nothing but the pose of an expression that a person shows again.",
    )

    labels: list[Label] = Field(
        default=[],
        exclude_if=lambda labels: not labels,
        description="Exact labels of the drawings, a column each: the names of those that are "
        "wanted.",
    )

    @field_validator("labels")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        if twice := [name for name in dict.fromkeys(value) if value.count(name) > 1]:
            raise ValueError(f"{twice[0]} stands there twice")
        return value

    def load(self, device: str) -> "ProceduralSource":
        """Return what draws; the device makes no difference."""
        from pipelines.procedural.source import ProceduralSource

        return ProceduralSource(self)

    def check_values(self, run: RunConfig) -> None:
        """Refuse slot values that drawn faces cannot show.

        Raises:
            ConfigError: if a value names no trait.
        """
        refuse_unknown_values(unknown_values(run.identities.weighted_slots()), "procedural faces")

    def doubts(self, run: RunConfig) -> list[str]:
        """Tell of a negative prompt, which nothing reads."""
        if run.identities.negative_prompt:
            return ["identities.negative_prompt has no effect on drawn portraits"]
        return []

    @property
    def action_units(self) -> frozenset[str]:
        """The AUs that the edition shows."""
        return frozenset(aus_of_edition(self.edition).names)

    @property
    def drawn_edition(self) -> int:
        """The edition of the drawings."""
        return self.edition

    @property
    def uses_gpu(self) -> bool:
        """False: drawing is done by the CPU."""
        return False

    @property
    def noiseless(self) -> bool:
        """True where nothing is drawn around what was asked for."""
        return self.au_noise == 0

    def image_size(self, weights: Weights) -> tuple[int, int]:
        """Return height and width of the images [pixels]."""
        return self.size, self.size

    def digital_source(self, conditions: Collection[str]) -> DigitalSource:
        """Return the term for what rules draw: nothing here was learned from sampled data."""
        return "algorithmicMedia"

    def known_bytes(self, weights: Weights, image_format: str) -> Figure | None:
        """Return what a sample takes on disk [bytes]."""
        if self.size == _MEASURED_SIDE and image_format == "png":
            return Figure(_MEASURED_PNG, "as the drawn faces of the examples")
        return super().known_bytes(weights, image_format)
