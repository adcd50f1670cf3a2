"""`synthgen train judge`: train the second judge on portraits of its own.

Its weights are not shipped: whoever evaluates trains a judge that nothing else was chosen by.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from pipelines.evaluation.judge_network import JudgeNetwork, load_judge, save_judge
from pipelines.procedural import RENDERER_VERSION
from pipelines.training.data.loader import batch_places, load_batches
from pipelines.training.judge.config import JudgeConfig
from pipelines.training.judge.evaluation import evaluate_judge
from pipelines.training.judge.faces import HeldOutPortraits, JudgePortraits, Portraits
from pipelines.training.judge.learner import JudgeLearner
from pipelines.training.loop.card import write_card
from pipelines.training.loop.device import pick_training_device
from pipelines.training.loop.sameness import what_counts
from pipelines.training.loop.session import Session, training_folder
from pipelines.weight_files import file_sha256
from synthgen.config.loading import load_section

WEIGHTS = "judge.safetensors"
CARD = "card.json"

_LICENCE = "Apache-2.0"


def train_judge(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train a judge, measure it on held-out portraits, and export it; goes on by itself.

    Args:
        config_path: YAML file, as `JudgeConfig` describes it.
        out: folder for the weights, the card, the checkpoint and the curves; made if missing.
        stop_at: end after this step with a checkpoint and without an export; None: to the end.
        overrides: `key=value`, as for `load_section`.

    Returns:
        The weight file (which exists only when the training reached its end).

    Raises:
        ConfigError: if the configuration is not allowed.
        OutputError: if the folder cannot be made, or holds a checkpoint of another configuration.
        WeightsError: if the checkpoint cannot be read.
        TrainingError: if the loss is not finite.
    """
    config = load_section(config_path, JudgeConfig, overrides)
    folder = training_folder(out)
    torch.set_num_threads(config.threads)
    learner = JudgeLearner(config, pick_training_device(config.device))
    counts = what_counts(config, renderer=RENDERER_VERSION)
    del counts["evaluation"]  # decides nothing about the weights
    session = Session("judge", learner, folder, counts, lambda a, b: _batches(config, a, b))
    session.resume()
    if session.train(stop_at):
        _export(learner.average, config, folder, Path(config_path).name)
    return folder / WEIGHTS


def _batches(config: JudgeConfig, first: int, last: int) -> Iterable[Portraits]:
    places = batch_places(config.batch_size, first, last)
    return load_batches(JudgePortraits(config), places, config.workers)


def _export(average: JudgeNetwork, config: JudgeConfig, folder: Path, name: str) -> None:
    weights = folder / WEIGHTS
    save_judge(average, weights)
    card = {
        "command": f"synthgen train judge {name} --to {folder.name}",
        "file": weights.name,
        "sha256": file_sha256(weights),
        "what": "a plain convolutional network; reads 12 AUs and traits of drawn and mini faces",
        "licence": _LICENCE,
        "data": "procedural faces of identities that no other training sees",
        "renderer": RENDERER_VERSION,
        "steps": sum(cycle.steps for cycle in config.cycles),
        "configuration": config.model_dump(mode="json"),
        "held_out": evaluate_judge(load_judge(weights), HeldOutPortraits(config)),
    }
    write_card(folder / CARD, card)
