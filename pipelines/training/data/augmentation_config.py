"""How portraits are changed before they are learned, in whole batches."""

from pydantic import Field

from synthgen.config.base import Section


class BatchAugmentation(Section):
    """What is done to a portrait before it is learned; strengths are drawn from 0 to the bounds."""

    chance: float = Field(default=0.35, ge=0, le=1, description="Chance of each change [0, 1].")
    shift: float = Field(
        default=0.04, ge=0, le=0.2, description="Shift [share of the image's side]."
    )
    scale: float = Field(default=0.04, ge=0, le=0.5, description="Relative change of size.")
    rotation: float = Field(
        default=0.05, ge=0, le=1, description="Rotation in the image plane [radians]."
    )
    soften: float = Field(
        default=0.7, ge=0, le=1, description="Share of the image that a 5×5 mean may replace."
    )
    gamma: float = Field(default=0.25, ge=0, lt=1, description="Change of gamma, as a logarithm.")
    tint: float = Field(default=0.06, ge=0, lt=1, description="Relative change of each colour.")
    noise: float = Field(
        default=0.03,
        ge=0,
        le=1,
        description="Gaussian noise, standard deviation [share of full scale].",
    )
    erase: float = Field(
        default=0.2, ge=0, le=0.5, description="Side of an erased square [share of the side]."
    )
