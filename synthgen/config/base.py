"""The base of every section of the configuration."""

from pydantic import BaseModel, ConfigDict

MOST_WEIGHT = 1e9
"""Largest weight of anything: sums of weights stay numbers."""


class Section(BaseModel):
    """A part of the configuration: immutable, and refusing keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
