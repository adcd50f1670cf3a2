"""The section of check `libreface`, and the policy on AUs; loads no torch."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, field_validator

from pipelines.libreface.weights import (
    find_presence,
    find_weight_file,
    find_weights,
    measured_aus,
)
from pipelines.procedural.drawn_aus import edition_of
from pipelines.weight_files import count_numbers
from synthgen.action_units import ActionUnitSet, check_facs
from synthgen.config.aus_in_use import AuMapping
from synthgen.config.base import Section, Weights
from synthgen.config.verify import CheckKeyError, CheckSection
from synthgen.errors import ActionUnitError, MissingDependencyError
from synthgen.installation import install_command

if TYPE_CHECKING:
    from pipelines.interfaces import Verifier
    from synthgen.config.run import RunConfig

_Bound = Annotated[float, Field(ge=0)]

_CROP = 3 * 64 * 112 * 112 * 4
"""The network's first layers, for an image: three maps of 64 channels, 112×112 [bytes]."""

_AT_ONCE = 64
"""Images that the network sees at once, at most."""


class ActionUnitPolicy(Section):
    """Bounds that an image must keep. Requests are clipped to [0, 5] before they are compared."""

    max_active_error: _Bound | None = Field(
        default=1.0,
        description="Largest mean |requested − measured| over the AUs asked for [intensity]; null "
        "= not judged.",
    )
    max_each_error: _Bound | None = Field(
        default=None,
        exclude_if=lambda bound: bound is None,
        description="Largest |requested − measured| of each AU asked for [intensity], so that "
        "right AUs do not hide a wrong one in the mean; null = not judged.",
    )
    max_inactive: _Bound | None = Field(
        default=1.0,
        description="Largest measured intensity among the AUs not asked for; null = not judged.",
    )
    min_active: _Bound | None = Field(
        default=0.5,
        description="An AU asked for at 1 or more must be measured at least at this intensity, "
        "so that one expression does not pass for another that has an AU less; null = not judged.",
    )
    per_au_tolerance: AuMapping[_Bound | None] = Field(
        default={},
        description="AU → largest |requested − measured|, instead of the bounds above; "
        "null = this AU is not judged.",
    )

    @field_validator("per_au_tolerance")
    @classmethod
    def _aus_exist(cls, value: dict[str, float | None]) -> dict[str, float | None]:
        for name in value:
            check_facs(name)
        return value


OCCURRING_AUS = frozenset(("AU7", "AU10", "AU14", "AU23", "AU24"))
"""AUs of LibreFace's detection head of which its other head measures no intensity."""


class LibreFacePolicy(ActionUnitPolicy):
    """Bounds on measured AUs, and on AUs of which LibreFace tells only whether they are there."""

    min_occurrence: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None,
        exclude_if=lambda bound: bound is None,
        description="Least probability [0, 1] by LibreFace's detection head of AU7, AU10, AU14, "
        "AU23 and AU24 where they are asked for at 1 or more, so that a run may have these AUs; "
        "null = not judged.",
    )
    max_occurrence: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None,
        exclude_if=lambda bound: bound is None,
        description="Largest probability [0, 1] of those of them that are not asked for; null = "
        "not judged.",
    )

    @property
    def occurrence(self) -> bool:
        """True where AUs are judged by occurrence."""
        return self.min_occurrence is not None or self.max_occurrence is not None


class LibreFaceCheck(CheckSection):
    """Measuring of AUs by a network of LibreFace's kind, and the policy on them."""

    name: Literal["libreface"]  # pyright: ignore[reportIncompatibleVariableOverride]
    weights: str = Field(
        default="mini",
        description="'mini' (embedded), 'libreface' (published, non-commercial licence; see "
        "`synthgen weights fetch`), or a file or folder in LibreFace's or in our own format.",
    )
    aligner: Literal["centered", "mediapipe"] = Field(
        default="mediapipe",
        description="'centered': the face stands where procedural and mini faces stand, and is "
        "not looked for (the mini weights tell pictures without one); 'mediapipe': found by "
        "FaceMesh (extra 'alignment').",
    )
    policy: LibreFacePolicy = Field(
        default=LibreFacePolicy(), description="Bounds an image must keep."
    )

    def load(self, device: str, run: "RunConfig") -> "Verifier":
        """Load network and aligner."""
        from pipelines.libreface.check import ActionUnitCheck
        from pipelines.libreface.verifier import LibreFaceVerifier

        reader = LibreFaceVerifier.from_pretrained(
            self.weights, aligner=self.aligner, device=device
        )
        if occurring := self._occurring(run):
            from pipelines.libreface.occurrence import OccurrenceCheck

            return OccurrenceCheck(reader, self.policy, run.expressions.au_set, occurring)
        return ActionUnitCheck(reader, self.policy, run.expressions.au_set)

    @property
    def action_units(self) -> frozenset[str]:
        """The AUs that it can measure, or judge by occurrence."""
        return self._intensities | (OCCURRING_AUS if self.policy.occurrence else set())

    @property
    def _intensities(self) -> frozenset[str]:
        return frozenset(measured_aus(self.weights).names)

    def _occurring(self, run: "RunConfig") -> tuple[str, ...]:
        """Return the AUs of the run that are judged by occurrence."""
        if not self.policy.occurrence:
            return ()
        able = OCCURRING_AUS - self._intensities
        return tuple(name for name in run.expressions.au_set.names if name in able)

    @property
    def knows(self) -> str:
        """The pictures that the mini network can measure; other networks are somebody else's."""
        if self.weights != "mini":
            return ""
        return (
            "knows drawn faces and those of the embedded model alone; for photographs "
            "set verify.weights=libreface and verify.aligner=mediapipe"
        )

    def doubts(self, run: "RunConfig") -> list[str]:
        """Tell of drawn faces of another edition than the mini network has learned."""
        drawn = run.pipeline.drawn_edition
        if self.weights != "mini" or drawn is None:
            return []
        learned = edition_of(measured_aus(self.weights))
        if drawn == learned:
            return []
        return [
            f"pipeline.edition is {drawn}, but the check's weights 'mini' have learned "
            f"drawn faces of edition {learned}: much of what they measure is wrong; give the check "
            "weights of `synthgen train au-net`, or the run no verifier"
        ]

    def check_configuration(self, run: "RunConfig") -> None:
        """Refuse tolerances of AUs that the run does not have, and bounds that judge nothing."""
        occurring = self._occurring(run)
        if self.policy.occurrence:
            bound = "min" if self.policy.min_occurrence is not None else "max"
            key = f"policy.{bound}_occurrence"
            if self.weights == "mini":
                raise CheckKeyError(
                    key,
                    "the weights 'mini' have not learned to tell whether other AUs are there; set "
                    "weights to 'libreface', or to a file of its format",
                )
            if not occurring:
                raise CheckKeyError(
                    key,
                    "it judges AU7, AU10, AU14, AU23 and AU24, and the run has none of them; "
                    "name them in expressions.action_units, or leave it out",
                )
        for name in self.policy.per_au_tolerance:
            if name in occurring:
                raise CheckKeyError(
                    "policy.per_au_tolerance",
                    f"of {name} no intensity is measured; it is judged by occurrence",
                )
            try:
                run.expressions.au_set.index(name)
            except ActionUnitError as error:
                raise CheckKeyError("policy.per_au_tolerance", str(error)) from error

    def accepts(
        self, requested: np.ndarray, measured: np.ndarray, action_units: ActionUnitSet
    ) -> np.ndarray:
        """Return whether the policy would accept faces of these AUs for these requests."""
        from pipelines.libreface.check import accepted

        if self.policy.occurrence and (others := OCCURRING_AUS - self._intensities):
            known = ActionUnitSet(action_units.without(others))
            places = [action_units.index(name) for name in known.names]
            return accepted(requested[:, places], measured[:, places], self.policy, known)
        return accepted(requested, measured, self.policy, action_units)

    def find_weights(self, fetch: bool) -> Weights:
        """Look for the network's file, and the aligner's package."""
        if fetch:
            return self._fetched()
        if self.aligner == "mediapipe" and find_spec("mediapipe") is None:
            raise MissingDependencyError(
                f"the aligner mediapipe is not installed; {install_command('alignment')}"
            )
        file, name, licence = find_weights(self.weights)
        files = [file, *filter(None, [find_presence(self.weights, self.aligner)])]
        return Weights(bytes=4 * sum(map(count_numbers, files)), licences={name: licence})

    def local_paths(self) -> list[str]:
        """Return the network's file or folder, where it is neither embedded nor fetched."""
        return [] if self.weights in ("mini", "libreface") else [self.weights]

    def working_memory(self, batch: int) -> int:
        """Return what measuring a batch takes [bytes]."""
        return min(batch, _AT_ONCE) * _CROP

    def _fetched(self) -> Weights:
        if self.weights == "mini":
            return Weights()
        if self.weights == "libreface":
            from pipelines.libreface.network import fetch_libreface

            return Weights(files=(fetch_libreface(),))
        return Weights(files=(find_weight_file(self.weights),))
