"""The section of prior `grid`."""

from math import comb
from typing import Literal

from pydantic import Field, model_validator

from synthgen.action_units import AUS, au_index
from synthgen.config.priors.base import PriorSection

COMBINED = (2, 3, 4)
"""How many AUs a combination of a grid has."""

FINEFACE_COMBINATIONS = 50


class GridConfig(PriorSection):
    """Each AU alone at each level, then combinations, over and over in this order."""

    prior: Literal["grid"]
    protocol: Literal["fineface"] | None = Field(
        default=None,
        description="fineface: the evaluation of the FineFace paper for a prompt, 12 AUs at 5 "
        "intensities and 50 combinations; then no other key of the grid may be given.",
    )
    aus: list[str] = Field(default=list(AUS), min_length=1, description="The AUs.")
    levels: list[float] = Field(
        default=[1.0, 2.0, 3.0, 4.0, 5.0],
        min_length=1,
        max_length=100,
        description="The intensities, none 0.",
    )
    combinations: int = Field(
        default=0,
        ge=0,
        le=5000,
        description="Further cells, each of 2 to 4 of the AUs at levels of their own; drawn once, "
        "the same for every seed.",
    )

    @model_validator(mode="after")
    def _is_possible(self) -> "GridConfig":
        if self.quotas is not None:
            raise ValueError("a grid shows its cells in a fixed order; leave quotas out")
        for key in ("aus", "levels", "combinations"):
            if self.protocol and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"protocol {self.protocol} fixes {key}; leave one of them out")
        self._check_values()
        if self.combinations > (possible := self._possible()):
            raise ValueError(
                f"combinations is {self.combinations}; {len(self.aus)} AUs at {len(self.levels)} "
                f"levels have {possible} of 2 to 4 AUs"
            )
        return self

    @property
    def drawn(self) -> int:
        """Number of combinations of several AUs."""
        return FINEFACE_COMBINATIONS if self.protocol else self.combinations

    def _check_values(self) -> None:
        for values, what in ((self.aus, "aus"), (self.levels, "levels")):
            if len(set(values)) < len(values):
                raise ValueError(f"{what} holds a value twice: {', '.join(map(str, values))}")
        for name in self.aus:
            au_index(name)
        if 0 in self.levels:
            raise ValueError("levels holds 0; an AU at 0 is not active")
        self._check_intensities("level", *self.levels)

    def _possible(self) -> int:
        return sum(comb(len(self.aus), k) * len(self.levels) ** k for k in COMBINED)
