"""Section `verify`: how images are measured, and which are kept."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from synthgen.action_units import au_index
from synthgen.config.base import Section

_Bound = Annotated[float, Field(ge=0)]


class PolicyConfig(Section):
    """Bounds that an image must keep. Requests are clipped to [0, 5] before they are compared."""

    max_active_error: _Bound = Field(
        default=1.0,
        description="Largest mean |requested − measured| over the AUs asked for [intensity].",
    )
    max_inactive: _Bound = Field(
        default=1.0, description="Largest measured intensity among the AUs not asked for."
    )
    min_active: _Bound | None = Field(
        default=0.5,
        description="An AU asked for at 1 or more must be measured at least at this intensity, "
        "so that one expression does not pass for another that has an AU less; null = not judged.",
    )
    per_au_tolerance: dict[str, _Bound | None] = Field(
        default={},
        description="AU → largest |requested − measured|, instead of the bounds above; "
        "null = this AU is not judged.",
    )

    @field_validator("per_au_tolerance")
    @classmethod
    def _aus_exist(cls, value: dict[str, float | None]) -> dict[str, float | None]:
        for name in value:
            au_index(name)
        return value


class VerifyConfig(Section):
    """Who measures the AUs of an image, and what is done with what misses the policy."""

    verifier: Literal["libreface"] = Field(
        default="libreface", description="What measures the AUs."
    )
    weights: str = Field(
        default="mini",
        description="'mini' (embedded), 'libreface' (published, non-commercial licence; see "
        "`synthgen weights fetch`), or a file or folder in LibreFace's or in our own format.",
    )
    aligner: Literal["centered", "mediapipe"] = Field(
        default="mediapipe",
        description="'centered': the face stands where procedural and mini faces stand; "
        "'mediapipe': found by FaceMesh (extra 'alignment').",
    )
    policy: PolicyConfig = Field(default=PolicyConfig(), description="Bounds an image must keep.")
    max_attempts: int = Field(
        default=4,
        ge=1,
        le=1000,
        description="Images made for one spec before it counts as exhausted.",
    )
    on_exhausted: Literal["replace", "drop", "keep_best", "fail"] = Field(
        default="replace",
        description="'replace': another spec of the same stratum; 'drop': the sample is missing; "
        "'keep_best': the nearest image is kept with accepted=false; 'fail': the run ends.",
    )
    max_replacements: int = Field(
        default=10,
        ge=0,
        le=1000,
        description="Further specs of a stratum before a sample is dropped.",
    )
