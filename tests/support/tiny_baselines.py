"""Files of baselines for the tiny Stable Diffusion, with random weights."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tiny_fineface import tiny_unet

from pipelines.baselines.pipeline import lora_shapes
from pipelines.baselines.weights import Method, Trained
from pipelines.diffusion.lora import alpha_metadata
from pipelines.fineface.adapter import LORA_TARGETS
from synthgen.action_units import DEFAULT_AUS, ActionUnitSet

RANK = 3


def make_baseline(
    folder: Path, method: Method, aus: ActionUnitSet = DEFAULT_AUS, alpha: float = float(RANK)
) -> Path:
    """Write the files of a baseline, as a training does."""
    folder.mkdir(parents=True)
    trained = Trained(method, aus)
    (folder / "baseline.json").write_text(trained.text())
    card = {"steps": 1200, "configuration": {"batch_size": 4}}
    (folder / "card.json").write_text(json.dumps(card))
    if method == "dreambooth":
        tiny_unet(50).save_pretrained(folder / "unet")
        return folder
    shapes = lora_shapes(tiny_unet(0), RANK)
    for number, name in enumerate(trained.files()):
        draw = torch.Generator().manual_seed(number)
        lora = {name: 0.3 * torch.randn(value.shape, generator=draw)
                for name, value in shapes.items()}  # fmt: skip
        save_file(lora, folder / name, alpha_metadata(RANK, alpha, LORA_TARGETS))
    return folder
