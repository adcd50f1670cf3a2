"""Methods of `synthgen train fineface`: FineFace itself and its baselines, by the key `method`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.training.baselines.train import DreamBoothRecipe, LoraAURecipe, LoraTextRecipe
from pipelines.training.diffusion.estimate import MeasurableRecipe, estimate_training
from pipelines.training.fineface.train import FineFaceRecipe
from pipelines.training.recipe import run_recipe
from synthgen.config.loading import chosen_by

FINEFACE = "fineface"

RECIPES: Mapping[str, type[MeasurableRecipe[Any]]] = {
    FINEFACE: FineFaceRecipe,
    "lora-t": LoraTextRecipe,
    "lora-au": LoraAURecipe,
    "dreambooth": DreamBoothRecipe,
}
"""Method → its training."""


def train_by_method(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train what the key `method` of a configuration says, as `run_recipe` says.

    Raises:
        ConfigError: if there is no such method.
    """
    method = chosen_by("method", RECIPES, FINEFACE, config_path, overrides)
    return run_recipe(RECIPES[method], config_path, out, stop_at, overrides)


def estimate_by_method(config_path: str | Path, overrides: Sequence[str] = ()) -> list[str]:
    """Estimate what a training takes, as `estimate_training` says.

    Raises:
        ConfigError: if there is no such method.
    """
    method = chosen_by("method", RECIPES, FINEFACE, config_path, overrides)
    return estimate_training(RECIPES[method], config_path, overrides)
