"""The examples of the second edition: allowed, and the first two share their latents."""

from pathlib import Path

from pipelines.training.arc2face.expression import ExpressionRecipe
from pipelines.training.arc2face.reference import ReferenceRecipe
from pipelines.training.arc2face.train import Arc2FaceRecipe
from synthgen.config.loading import load_section

SECOND = Path(__file__).parents[4] / "examples" / "train" / "second"
SHARED = ("seed", "data", "examples", "latents", "portrait", "base", "embedder")


def test_the_examples_are_allowed_and_fit_together() -> None:
    configs = [
        load_section(SECOND / f"{recipe.name}.yaml", recipe.settings)
        for recipe in (Arc2FaceRecipe, ExpressionRecipe, ReferenceRecipe)
    ]
    first, second, third = configs
    assert all(getattr(first, key) == getattr(second, key) for key in SHARED)
    assert (first.base, first.data) == (third.base, third.data)
