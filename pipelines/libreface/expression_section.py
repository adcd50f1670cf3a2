"""The section of check `libreface-expression`, and its policy; loads no torch."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipelines.libreface.weights import LICENCE, expression_file, find_expression_weights
from pipelines.weight_files import count_numbers
from synthgen.config.base import Section, Weights
from synthgen.config.verify import CheckSection
from synthgen.errors import ConfigError, MissingDependencyError
from synthgen.installation import install_command

if TYPE_CHECKING:
    from pipelines.libreface.expression import ExpressionCheck
    from synthgen.config.run import RunConfig

CLASSES = (
    "Neutral",
    "Happiness",
    "Sadness",
    "Surprise",
    "Fear",
    "Disgust",
    "Anger",
    "Contempt",
)
"""LibreFace's expressions, in the order of its head (those of AffectNet)."""

CLASS_OF = {
    "neutral": "Neutral",
    "happy": "Happiness",
    "sad": "Sadness",
    "surprised": "Surprise",
    "fearful": "Fear",
    "disgusted": "Disgust",
    "angry": "Anger",
    "contempt": "Contempt",
}
"""Category → class that shows it; compound emotions have none, and are not judged."""

_CROP = 3 * 48 * 112 * 112 * 4
"""The network's first layers, for an image: three maps of 48 channels, 112×112 [bytes]."""

_AT_ONCE = 64
"""Images that the network sees at once, at most."""


class ExpressionPolicy(Section):
    """Bounds on the class that an image is taken for."""

    match: bool = Field(
        default=True,
        description="Whether the class of the largest score must be that of the category.",
    )
    min_score: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="Least score [0, 1] of the category's class; null = not judged.",
    )

    @property
    def judges(self) -> bool:
        """True where there is a bound at all."""
        return self.match or self.min_score is not None


class ExpressionsCheck(CheckSection):
    """Check that an image shows the category asked for, by LibreFace's expression head."""

    name: Literal["libreface-expression"]  # pyright: ignore[reportIncompatibleVariableOverride]
    weights: str = Field(
        default="libreface",
        min_length=1,
        description="'libreface' (published, non-commercial licence; see `synthgen weights "
        "fetch`), or a file in the format of its repvgg.pt.",
    )
    aligner: Literal["centered", "mediapipe"] = Field(
        default="mediapipe",
        description="'centered': the face stands where procedural and mini faces stand; "
        "'mediapipe': found by FaceMesh (extra 'alignment').",
    )
    policy: ExpressionPolicy = Field(
        default=ExpressionPolicy(), description="Bounds an image must keep."
    )

    def load(self, device: str, run: "RunConfig") -> "ExpressionCheck":
        """Load network and aligner."""
        from pipelines.libreface.expression import ExpressionCheck

        return ExpressionCheck.from_pretrained(self.weights, self.aligner, self.policy, device)

    def check_values(self, run: "RunConfig") -> None:
        """Refuse to judge categories where there are none with a class.

        Raises:
            ConfigError: with those that have one.
        """
        if self.policy.judges and not set(_categories(run)) & set(CLASS_OF):
            raise ConfigError(
                "the check 'libreface-expression' compares images with their categories, and no "
                f"category of the run has a class of LibreFace ({', '.join(CLASS_OF)} have one); "
                "set policy.match to false, or leave the check out"
            )

    def doubts(self, run: "RunConfig") -> list[str]:
        """Tell which categories are not judged."""
        if not self.policy.judges:
            return []
        if not (others := [name for name in _categories(run) if name not in CLASS_OF]):
            return []
        return [
            f"the check 'libreface-expression' does not judge {', '.join(others)}: LibreFace has "
            "no class for them"
        ]

    def find_weights(self, fetch: bool) -> Weights:
        """Look for the network's file, and the aligner's package."""
        if fetch:
            if self.weights != "libreface":
                return Weights(files=(find_expression_weights(self.weights),))
            from pipelines.libreface.expression import fetch_expression

            return Weights(files=(fetch_expression(),))
        if self.aligner == "mediapipe" and find_spec("mediapipe") is None:
            raise MissingDependencyError(
                f"the aligner mediapipe is not installed; {install_command('alignment')}"
            )
        file = find_expression_weights(self.weights)
        licence = LICENCE if file == expression_file() else "not stated"
        return Weights(bytes=4 * count_numbers(file), licences={file.name: licence})

    def local_paths(self) -> list[str]:
        """Return the network's file, where it is not fetched."""
        return [] if self.weights == "libreface" else [str(Path(self.weights))]

    def working_memory(self, batch: int) -> int:
        """Return what measuring a batch takes [bytes]."""
        return min(batch, _AT_ONCE) * _CROP


def _categories(run: "RunConfig") -> tuple[str, ...]:
    """Return the categories that the run's prior shows."""
    from samplers.priors import build_prior

    return build_prior(run.expressions).categories
