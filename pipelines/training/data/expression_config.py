"""Which expressions drawn faces show."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from synthgen.config.base import Section
from synthgen.config.priors import IntensityRange


class ExpressionShare(Section):
    """A share of the faces, and which of the 12 AUs are active in them."""

    share: float = Field(gt=0, le=1, description="Share of the faces [0, 1].")
    rate: Annotated[float, Field(ge=0, le=1)] | Literal["emotions"] = Field(
        description="Chance of each AU to be active [0, 1], whatever the others do; 'emotions': "
        "the prototype and the variants of an emotion category, all categories alike."
    )


class ExpressiveFaces(Section):
    """Drawn faces, and which expressions they show."""

    expressions: tuple[ExpressionShare, ...] = Field(
        min_length=1, description="Kinds of expressions; their shares must add up to 1."
    )
    intensity: IntensityRange = Field(
        default=IntensityRange(low=0.25, high=5.0),
        description="Range of the intensity of an active AU, within [0, 5].",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "ExpressiveFaces":
        if abs((total := sum(kind.share for kind in self.expressions)) - 1) > 1e-6:
            raise ValueError(f"the shares of expressions add up to {total:g}; they must to 1")
        if outside := self.intensity.outside():
            raise ValueError(f"intensity {outside[0]:g} is outside [0, 5]")
        return self
