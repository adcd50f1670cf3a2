"""The section of prior `builtin`."""

from typing import Literal

from pydantic import Field

from synthgen.config.priors.base import PriorSection


class BuiltinConfig(PriorSection):
    """A prior that comes with synthgen, as a data file with its source in it."""

    prior: Literal["builtin"]
    name: str = Field(
        min_length=1, description="Name of the data file, such as disfa-rates or cohn-kanade-rates."
    )
