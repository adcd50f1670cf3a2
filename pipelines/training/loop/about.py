"""What the cards of all trained weights say alike."""

from pathlib import Path
from typing import Any

from pipelines.training.data.config import DatasetData, ProceduralData
from pipelines.training.loop.settings import TrainingSettings

_OURS = "Apache-2.0"


def about_training(
    name: str,
    what: str,
    config: TrainingSettings,
    data: ProceduralData | DatasetData,
    folder: Path,
    config_path: str | Path,
    steps: int,
    facts: dict[str, Any],
) -> dict[str, Any]:
    """Say how weights came to be.

    Args:
        name: the training, such as `vae`.
        what: what the weights are.
        config: the training's configuration.
        data: what was learned from.
        folder: folder of the training.
        config_path: the configuration's file.
        steps: steps that were learned.
        facts: what the weights are a function of besides the configuration.
    """
    drawn = isinstance(data, ProceduralData)
    return {
        "command": f"synthgen train {name} {Path(config_path).name} --to {folder.name}",
        "what": what,
        "licence": _OURS if drawn else "as the data that it was trained on",
        "data": "drawn portraits" if drawn else f"{data.path} ({data.split})",
        **facts,
        "steps": steps,
        "examples_seen": steps * config.batch_size,
        "configuration": config.model_dump(mode="json"),
    }
