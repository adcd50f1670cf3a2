"""`synthgen train au-net`: train the AU network of the mini world on procedural faces.

It goes on where it was stopped, and then ends in the same weights as without the stop, to the bit
(same machine, same number of threads). A finished training goes on when a cycle is added.
"""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from pipelines.procedural import RENDERER_VERSION
from pipelines.training.au_network.config import AUNetworkConfig
from pipelines.training.au_network.evaluation import evaluate_network
from pipelines.training.au_network.export import WEIGHTS, export_network
from pipelines.training.au_network.faces import Face, HeldOutFaces, TrainingFaces
from pipelines.training.au_network.trainer import AUTrainer
from pipelines.training.data.loader import batch_places, load_batches
from pipelines.training.loop.checkpoint import load_checkpoint, save_checkpoint
from pipelines.training.loop.sameness import check_same, what_counts
from pipelines.training.loop.session import CHECKPOINT, training_folder
from pipelines.training.loop.whole_files import writing
from synthgen.config.loading import load_section

HISTORY = "history.jsonl"

_GLANCE = 5


def train_au_network(
    config_path: str | Path,
    out: str | Path,
    resume: bool = True,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train an AU network, measure it on held-out faces, and export it.

    Args:
        config_path: YAML file, as `AUNetworkConfig` describes it.
        out: folder for the weights, the card, the checkpoint and the history; made if missing.
        resume: go on from the folder's checkpoint if there is one; otherwise start anew.
        stop_at: end after this step with a checkpoint and without an export; None trains to the
            end.
        overrides: `key=value`, as for `load_section`.

    Returns:
        The weight file (which exists only when the training reached its end).

    Raises:
        ConfigError: if the configuration is not allowed.
        OutputError: if the folder cannot be made, or holds a checkpoint of another configuration.
        WeightsError: if the checkpoint cannot be read.
    """
    config = load_section(config_path, AUNetworkConfig, overrides)
    folder = training_folder(out)
    torch.set_num_threads(config.threads)
    trainer = AUTrainer(config)
    if resume:
        _restore(trainer, config, folder / CHECKPOINT)
    _train(trainer, config, folder, config.steps if stop_at is None else stop_at)
    if trainer.step == config.steps:
        export_network(trainer.average, config, folder, Path(config_path).name)
    return folder / WEIGHTS


def _restore(trainer: AUTrainer, config: AUNetworkConfig, path: Path) -> None:
    if not path.exists():
        return
    content = load_checkpoint(path)
    check_same(content["config"], _what_counts(config), path, AUNetworkConfig)
    trainer.restore(content["state"])


def _what_counts(config: AUNetworkConfig) -> dict[str, Any]:
    """Return what the weights are a function of: the configuration's part, and the renderer."""
    return what_counts(config, "evaluation", renderer=RENDERER_VERSION)


def _train(trainer: AUTrainer, config: AUNetworkConfig, folder: Path, last: int) -> None:
    bar = tqdm(total=config.steps, initial=trainer.step, desc="au-net", unit="step")
    with bar:
        for batch in _batches(config, trainer.step, last):
            bar.set_postfix(loss=f"{trainer.learn(batch.pixels, batch.aus):.3f}")
            bar.update()
            if trainer.step % config.checkpoint_every == 0 or trainer.step == last:
                _save(trainer, config, folder)
            if trainer.step % config.evaluation.every == 0 and trainer.step < config.steps:
                _note(trainer, config, folder)


def _batches(config: AUNetworkConfig, first: int, last: int) -> Iterator[Face]:
    places = batch_places(config.batch_size, first, last)
    return load_batches(TrainingFaces(config), places, config.workers)


def _save(trainer: AUTrainer, config: AUNetworkConfig, folder: Path) -> None:
    content = {"config": _what_counts(config), "state": trainer.state()}
    save_checkpoint(folder / CHECKPOINT, content)


def _note(trainer: AUTrainer, config: AUNetworkConfig, folder: Path) -> None:
    faces = HeldOutFaces(config, max(config.evaluation.faces // _GLANCE, 2))
    found = evaluate_network(trainer.measure, faces)
    line = {"step": trainer.step, "aus": {k: dataclasses.asdict(v) for k, v in found.items()}}
    path = folder / HISTORY
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    worst = min(found, key=lambda name: found[name].pearson_r)
    tqdm.write(f"step {trainer.step}: lowest r {found[worst].pearson_r:.4f} ({worst})")
