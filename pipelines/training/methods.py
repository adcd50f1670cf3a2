"""Methods of `synthgen train fineface`: FineFace itself and its baselines, by the key `method`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.training.baselines.train import DreamBoothRecipe, LoraAURecipe, LoraTextRecipe
from pipelines.training.fineface.train import FineFaceRecipe, estimate_fineface
from pipelines.training.recipe import Recipe, run_recipe
from synthgen.config.loading import chosen_by
from synthgen.errors import ConfigError

FINEFACE = "fineface"

RECIPES: Mapping[str, type[Recipe[Any]]] = {
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
    """Estimate what a training takes, as `estimate_fineface` says.

    Raises:
        ConfigError: if there is no such method, or none of its trainings is estimated.
    """
    method = chosen_by("method", RECIPES, FINEFACE, config_path, overrides)
    if method != FINEFACE:
        raise ConfigError(
            f"--dry-run estimates the training of method {FINEFACE!r} alone, and method is "
            f"{method!r}; --stop-at 20 shows how long a step takes"
        )
    return estimate_fineface(config_path, overrides)
