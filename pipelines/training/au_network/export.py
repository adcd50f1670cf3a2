"""What a finished training of the AU network leaves: weights in LibreFace's format, and a card."""

import dataclasses
from pathlib import Path

from pipelines.evaluation.agreement import AUAgreement
from pipelines.libreface.network import LibreFaceNetwork, load_network, save_network
from pipelines.procedural import RENDERER_VERSION
from pipelines.training.au_network.config import AUNetworkConfig
from pipelines.training.au_network.evaluation import evaluate_network
from pipelines.training.au_network.faces import HeldOutFaces
from pipelines.training.loop.card import write_card
from pipelines.weight_files import file_sha256

WEIGHTS = "au_network.safetensors"
CARD = "au_network.json"

_LICENCE = "Apache-2.0"


def export_network(
    network: LibreFaceNetwork, config: AUNetworkConfig, folder: Path, name: str
) -> None:
    """Write the network in LibreFace's format, and a card with what held-out faces show.

    Args:
        network: the moving average, in evaluation mode.
        config: the training run.
        folder: folder of the training.
        name: name of the configuration's file.
    """
    weights = folder / WEIGHTS
    save_network(network, weights, {"licence": _LICENCE})
    faces = HeldOutFaces(config, config.evaluation.faces)
    found = evaluate_network(load_network(weights), faces, workers=config.workers)
    command = f"synthgen train au-net {name} --to {folder.name}"
    write_card(folder / CARD, {"command": command, **_card(config, weights, found)})


def _card(
    config: AUNetworkConfig, weights: Path, found: dict[str, AUAgreement]
) -> dict[str, object]:
    return {
        "file": weights.name,
        "sha256": file_sha256(weights),
        "what": "ResNet-18 in LibreFace's format; measures 12 AUs of procedural and mini faces",
        "licence": _LICENCE,
        "data": "procedural faces, each of an identity of its own, drawn for the training",
        "renderer": RENDERER_VERSION,
        "faces_seen": config.steps * config.batch_size,
        "steps": config.steps,
        "configuration": config.model_dump(mode="json"),
        "held_out": {name: dataclasses.asdict(value) for name, value in found.items()},
    }
