"""`synthgen train face-embedder`: train the recogniser of drawn and mini faces."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from pipelines.faceid.drawn import LICENCE, DrawnFaceEmbedder
from pipelines.faceid.network import FaceNetwork, save_face_network
from pipelines.procedural import RENDERER_VERSION
from pipelines.training.data.loader import batch_places, load_batches
from pipelines.training.face_embedder.config import FaceEmbedderConfig
from pipelines.training.face_embedder.evaluation import evaluate_embedder
from pipelines.training.face_embedder.learner import FaceEmbedderLearner
from pipelines.training.face_embedder.people import Pictures, TrainingPictures
from pipelines.training.loop.card import write_card
from pipelines.training.loop.device import pick_training_device
from pipelines.training.loop.sameness import what_counts
from pipelines.training.loop.session import Session, training_folder
from pipelines.training.loop.whole_files import write_whole
from pipelines.weight_files import file_sha256
from synthgen.config.loading import load_section

WEIGHTS = "face_embedder.safetensors"
CARD = "card.json"


def train_face_embedder(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train a face embedder, measure it on people it never saw, export it; goes on by itself.

    Args:
        config_path: YAML file, as `FaceEmbedderConfig` describes it.
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
    config = load_section(config_path, FaceEmbedderConfig, overrides)
    folder = training_folder(out)
    torch.set_num_threads(config.threads)
    learner = FaceEmbedderLearner(config, pick_training_device(config.device))
    counts = what_counts(config, renderer=RENDERER_VERSION)
    del counts["evaluation"]  # decides nothing about the weights
    session = Session("face-embedder", learner, folder, counts, lambda a, b: _batches(config, a, b))
    session.resume()
    if session.train(stop_at):
        _export(learner.average.embedder, config, folder, Path(config_path).name)
    return folder / WEIGHTS


def _batches(config: FaceEmbedderConfig, first: int, last: int) -> Iterable[Pictures]:
    places = batch_places(config.batch_size, first, last)
    return load_batches(TrainingPictures(config), places, config.workers)


def _export(average: FaceNetwork, config: FaceEmbedderConfig, folder: Path, name: str) -> None:
    weights = folder / WEIGHTS
    with write_whole(weights) as partial:
        save_face_network(average.to("cpu"), partial, {"licence": LICENCE})
    card = {
        "command": f"synthgen train face-embedder {name} --to {folder.name}",
        "file": weights.name,
        "sha256": file_sha256(weights),
        "what": "a residual network; turns drawn and mini faces into 512-d embeddings",
        "licence": LICENCE,
        "data": "drawn people, each in many pictures",
        "renderer": RENDERER_VERSION,
        "steps": sum(cycle.steps for cycle in config.cycles),
        "configuration": config.model_dump(mode="json"),
        "held_out": evaluate_embedder(DrawnFaceEmbedder.from_pretrained(weights), config),
    }
    write_card(folder / CARD, card)
