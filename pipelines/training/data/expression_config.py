"""Which expressions drawn faces show."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from synthgen.config.base import Section
from synthgen.config.priors import IntensityRange


class ExpressionShare(Section):
    """A share of the faces, and which of the 12 AUs are active in them."""

    share: float = Field(gt=0, le=1, description="Share of the faces [0, 1].")
    rate: Annotated[float, Field(ge=0, le=1)] | Literal["emotions"] = Field(
        description="Chance of each AU to be active [0, 1], whatever the others do; 'emotions': "
        "the prototype and the variants of an emotion category, all categories alike."
    )


def check_expressions(kinds: Sequence[ExpressionShare], intensity: IntensityRange) -> None:
    """Refuse shares that do not add up to 1, and intensities outside [0, 5].

    Raises:
        ValueError: with the sum, or the first intensity outside.
    """
    if abs((total := sum(kind.share for kind in kinds)) - 1) > 1e-6:
        raise ValueError(f"the shares of expressions add up to {total:g}; they must to 1")
    if outside := intensity.outside():
        raise ValueError(f"intensity {outside[0]:g} is outside [0, 5]")
