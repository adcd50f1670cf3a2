"""The section of prior `mixture`."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from synthgen.config.base import MOST_WEIGHT, Section
from synthgen.config.priors.base import PriorSection
from synthgen.config.priors.simple import SimplePriorConfig


class ComponentConfig(Section):
    """A prior and its weight; in YAML, the section of the prior with one more key `weight`."""

    weight: float = Field(
        default=1.0, gt=0, le=MOST_WEIGHT, description="Weight of the component, above 0."
    )
    section: SimplePriorConfig = Field(description="The section of the prior.")

    @model_validator(mode="after")
    def _has_no_quotas(self) -> "ComponentConfig":
        if self.section.quotas is not None:
            raise ValueError("a component has quotas; give them to the whole mixture")
        return self

    @model_validator(mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or "section" in value:
            return value
        section = {key: entry for key, entry in value.items() if key != "weight"}
        return {"section": section, **{key: value[key] for key in ("weight",) if key in value}}

    @model_serializer(mode="wrap")
    def _join(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        parts = handler(self)
        return {"weight": parts["weight"], **parts["section"]}


class MixtureConfig(PriorSection):
    """Priors in exact proportion."""

    prior: Literal["mixture"]
    of: list[ComponentConfig] = Field(
        min_length=1,
        max_length=100,
        description="Components, each a prior but no mixture. Shares are exact in each block of at "
        "most 1000 samples of a split; finer ones are rounded to 0.001 or more.",
    )
    allow_ambiguous: bool = Field(
        default=False,
        description="Allow categories of different components whose prototypes are the same on "
        "the 12 AUs.",
    )

    @model_validator(mode="after")
    def _leaves_numbers_to_components(self) -> "MixtureConfig":
        if self.sampling != "random":
            raise ValueError(
                f"sampling {self.sampling} is nothing for a mixture; give it to its components"
            )
        return self
