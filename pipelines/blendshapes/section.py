"""The section of check `blendshapes`, and its policy; loads neither torch nor MediaPipe."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator

from pipelines.blendshapes.fitted_map import find_map, load_map
from pipelines.libreface.section import ActionUnitPolicy
from synthgen.action_units import ActionUnitSet
from synthgen.config.base import Weights
from synthgen.config.verify import CheckKeyError, CheckSection
from synthgen.errors import ActionUnitError, ConfigError, MissingDependencyError, WeightsError
from synthgen.foreign import regular_file
from synthgen.installation import install_command

if TYPE_CHECKING:
    from pipelines.blendshapes.check import BlendshapeCheck
    from synthgen.config.run import RunConfig

LICENCE = "Apache-2.0, where it is Google's"
"""Licence of the user's own `face_landmarker.task`."""

BlendshapeColumn = Literal[
    "blendshapes",
    "landmarks",
    "head_pose_measured",
    "face_box",
    "blendshape_aus_left",
    "blendshape_aus_right",
]


class BlendshapePolicy(ActionUnitPolicy):
    """Bounds on the AUs that blendshapes tell, and on how far another verifier may differ.

    They are wider than those of `libreface`, as the map is coarser: of faces that are drawn exactly
    as they were asked for they keep nine of ten.
    """

    max_active_error: Annotated[float, Field(ge=0)] | None = Field(
        default=2.0,
        description="Largest mean |requested − measured| over the AUs asked for [intensity]; null "
        "= not judged.",
    )
    max_inactive: Annotated[float, Field(ge=0)] | None = Field(
        default=1.5,
        description="Largest measured intensity among the AUs not asked for; null = not judged.",
    )
    min_active: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description="An AU asked for at 1 or more must be measured at least at this intensity; "
        "null = not judged.",
    )
    agree_within: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        exclude_if=lambda bound: bound is None,
        description="Largest difference to the AUs that the other verifier measured, for each AU "
        "asked for that both see [intensity]; null = not judged.",
    )

    @property
    def judges(self) -> bool:
        """True where there is a bound at all; without one the check only measures."""
        return any(bound not in (None, {}) for _, bound in self)


class BlendshapesCheck(CheckSection):
    """Measuring of AUs, sides, landmarks and head pose by Google's FaceLandmarker."""

    name: Literal["blendshapes"]  # pyright: ignore[reportIncompatibleVariableOverride]
    landmarker: str = Field(
        min_length=1,
        description="Your own face_landmarker.task of Google's FaceLandmarker (extra 'alignment').",
    )
    map: str = Field(
        default="drawn",
        min_length=1,
        description="From blendshapes to AUs: 'drawn' (embedded, fitted on drawn faces), or a file "
        "of `synthgen train blendshape-map`.",
    )
    least_r: float = Field(
        default=0.65,
        ge=0,
        le=1,
        description="Cross-validated correlation of the map from which an AU counts as seen; the "
        "others are neither measured nor judged.",
    )
    columns: list[BlendshapeColumn] = Field(
        default=[], description="Further columns: the names of those that are wanted."
    )
    policy: BlendshapePolicy = Field(
        default=BlendshapePolicy(), description="Bounds an image must keep."
    )

    @field_validator("columns")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        if twice := [name for name in dict.fromkeys(value) if value.count(name) > 1]:
            raise ValueError(f"{twice[0]} stands there twice")
        return value

    def load(self, device: str, run: "RunConfig") -> "BlendshapeCheck":
        """Load FaceLandmarker, which works on the CPU, and the map."""
        from pipelines.blendshapes.check import BlendshapeCheck
        from pipelines.blendshapes.landmarker import FaceLandmarker

        reader = FaceLandmarker(Path(self.landmarker), "landmarker of check 'blendshapes'")
        return BlendshapeCheck(
            reader, load_map(self.map), self, run.expressions.au_set, self._other(run)
        )

    @property
    def measures_aus(self) -> bool:
        """It measures those of the run that it sees."""
        return True

    @property
    def knows(self) -> str:
        """Tell what the embedded map was fitted on."""
        if self.map != "drawn":
            return ""
        return "reads photographs too, but whose map to AUs was fitted on drawn faces alone"

    def check_configuration(self, run: "RunConfig") -> None:
        """Refuse tolerances of AUs that the run does not have, and to agree with nobody."""
        for name in self.policy.per_au_tolerance:
            try:
                run.expressions.au_set.index(name)
            except ActionUnitError as error:
                raise CheckKeyError("policy.per_au_tolerance", str(error)) from error
        if self.policy.agree_within is not None and self._other(run) is None:
            raise CheckKeyError(
                "policy.agree_within",
                "it compares with the AUs that another check measures, and there is none; name "
                "one in verify.checks, such as libreface",
            )

    def check_values(self, run: "RunConfig") -> None:
        """Refuse a map that sees no AU of the run, or none of those that have a tolerance.

        Raises:
            WeightsError: if the map is missing, or is none.
            ConfigError: naming the AUs.
        """
        fitted = load_map(self.map)
        seen, asked = fitted.visible(self.least_r), run.expressions.au_set
        if not seen & set(asked.names):
            able = ", ".join(ActionUnitSet.of(seen).names) if seen else "none"
            raise ConfigError(
                f"the check 'blendshapes' sees none of the run's AUs ({', '.join(asked.names)}): "
                f"with least_r {self.least_r:g} its map sees {able}"
            )
        for name in self.policy.per_au_tolerance:
            if name not in seen:
                r = f"r is {fitted.r[name]:.2f}" if name in fitted.r else "it is not in the map"
                raise ConfigError(
                    f"policy.per_au_tolerance of the check 'blendshapes' names {name}, which it "
                    f"does not see: {r}, and least_r is {self.least_r:g}"
                )

    def doubts(self, run: "RunConfig") -> list[str]:
        """Tell which AUs of the run it does not see."""
        try:
            seen = load_map(self.map).visible(self.least_r)
        except WeightsError:
            return []  # `find_weights` says so
        if not (unseen := run.expressions.au_set.without(seen)):
            return []
        return [
            f"the check 'blendshapes' does not see {', '.join(unseen)} (least_r "
            f"{self.least_r:g}): it neither measures nor judges them"
        ]

    def find_weights(self, fetch: bool) -> Weights:
        """Look for FaceLandmarker's file, the map, and MediaPipe."""
        file, fitted = Path(self.landmarker), find_map(self.map)
        regular_file(file, "landmarker of check 'blendshapes'", WeightsError)
        if not fetch and find_spec("mediapipe") is None:
            raise MissingDependencyError(
                f"the check blendshapes needs mediapipe, which is not installed: "
                f"{install_command('alignment')}"
            )
        own = () if self.map == "drawn" else (fitted,)
        return Weights(files=(file, *own), licences={file.name: LICENCE})

    def local_paths(self) -> list[str]:
        """Return FaceLandmarker's file, and the map where it is not embedded."""
        return [self.landmarker, *([] if self.map == "drawn" else [self.map])]

    def _other(self, run: "RunConfig") -> str | None:
        """Return the name of the first other check of the run that measures AUs."""
        return next(
            (each.name for each in run.verify.checks if each != self and each.measures_aus),
            None,
        )
