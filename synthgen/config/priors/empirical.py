"""The section of prior `empirical`."""

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, field_validator

from synthgen.config.base import Section
from synthgen.config.priors.base import PriorSection

LabelScale = Literal[5, 1, 100, "occurrence"]
"""Scale of the AU values of a table."""

LabelSides = Literal["mean", "max", "refuse"]
"""AUs of a face's left and right become their mean, their maximum, or are refused."""

AnySection = TypeVar("AnySection", bound=Section)


class EmpiricalConfig(PriorSection):
    """The rows of a label file, drawn as often as they stand there."""

    prior: Literal["empirical"]
    labels: str = Field(
        min_length=1,
        description="Label file, or folder of label files; a relative path begins at the working "
        "directory. Its checksum is part of the identity of the data.",
    )
    format: Literal["csv", "openface", "libreface", "disfa", "bp4d"] = Field(
        description="Layout of the label files."
    )
    weights: str | None = Field(
        default=None, description="Column of the rows' weights; null: each row weighs 1."
    )
    where: dict[str, str | float | list[float]] = Field(
        default={},
        description="Column → a value, or a range [low, high] with both ends in it; only rows that "
        "hold them all are drawn.",
    )
    scale: LabelScale | None = Field(
        default=None,
        exclude_if=lambda scale: scale is None,
        description="Scale of the labels' values: 5, 1 or 100 for intensities from 0 to that "
        "number, occurrence for 0 and 1; null: found from the values, and told.",
    )
    missing: list[float | str] = Field(
        default=[],
        max_length=20,
        exclude_if=lambda codes: not codes,
        description="Numbers or texts that stand for an AU that was not coded, such as 9, 999 or "
        "-1.",
    )
    sides: LabelSides = Field(
        default="refuse",
        exclude_if=lambda sides: sides == "refuse",
        description="AUs of a face's left and right (AU12L, AU12R) become their mean, their max, "
        "or are refused.",
    )
    smoothing: float = Field(
        default=0.0,
        ge=0,
        le=5,
        description="Standard deviation [intensity] of the normal kernel around the intensity of "
        "each active AU; what it gives is clipped to [active_from, 5], so the AU stays active.",
    )
    active_from: float = Field(
        default=0.5,
        gt=0,
        le=5,
        description="Intensity from which an AU counts as active; lower ones become 0.",
    )

    @field_validator("where")
    @classmethod
    def _ranges_in_order(
        cls, where: dict[str, str | float | list[float]]
    ) -> dict[str, str | float | list[float]]:
        for column, wanted in where.items():
            if isinstance(wanted, list) and (len(wanted) != 2 or wanted[0] > wanted[1]):
                raise ValueError(f"{column} is {wanted}; it must be a value or a range [low, high]")
        return where


def with_absolute_labels(section: AnySection) -> AnySection:
    """Make every path of labels in a section, or in one inside it, independent of the folder."""
    changes: dict[str, object] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(section, EmpiricalConfig) and name == "labels":
            changes[name] = str(Path(section.labels).absolute())
        elif isinstance(value, Section):
            changes[name] = with_absolute_labels(value)
        elif isinstance(value, list | tuple):
            items = (with_absolute_labels(v) if isinstance(v, Section) else v for v in value)
            changes[name] = type(value)(items)
    return section.model_copy(update=changes)
