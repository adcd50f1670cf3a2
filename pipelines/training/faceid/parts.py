"""What a training of the face adapter has besides the network that learns."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipelines.faceid.embedder import FaceEmbedder
from pipelines.faceid.verifier import load_embedder
from pipelines.fineface.adapter import AUAdapter
from pipelines.fineface.checkpoint import read_au_adapter
from pipelines.fineface.weights import MINI, embedded, file_names
from pipelines.hub import resolve
from pipelines.training.data.examples import Examples, examples_of
from pipelines.training.diffusion.base_parts import encoder_sha256
from pipelines.training.diffusion.frozen_base import FrozenBase, find_base, load_base
from pipelines.training.faceid.config import FaceIdTrainingConfig
from pipelines.training.loop.device import pick_training_device
from pipelines.weight_files import file_sha256

_EMBEDDED_FINEFACE = "fineface"


@dataclass(frozen=True, slots=True)
class Parts:
    """What stays as it is while the face adapter learns.

    Attributes:
        config: the training run.
        folder: its folder.
        device: torch device.
        base: the base, on the device.
        fineface: folder of the AU adapter; None: none.
        embedder: describes the people.
        examples: what is learned from.
    """

    config: FaceIdTrainingConfig
    folder: Path
    device: torch.device
    base: FrozenBase
    fineface: Path | None
    embedder: FaceEmbedder
    examples: Examples

    def facts(self) -> dict[str, Any]:
        """Return what the weights are a function of besides the configuration."""
        fineface = _weight_files(self.fineface) if self.fineface else []
        return {
            "base_files": self.base.checksums(),
            "vae_encoder_sha256": encoder_sha256(self.base.folder / "vae"),
            "fineface_files": {path.name: file_sha256(path) for path in fineface},
            "embedder_fingerprint": self.embedder.fingerprint,
            **self.examples.fingerprint,
        }

    def au_adapter(self) -> AUAdapter | None:
        """Load the AU adapter that works meanwhile."""
        if self.fineface is None:
            return None
        adapter = read_au_adapter(self.fineface, self.base.unet, "", 1.0)
        nn.Module.to(adapter, device=self.device)
        return adapter


def load_parts(config: FaceIdTrainingConfig, folder: Path) -> Parts:
    """Load what a training names.

    Args:
        config: the training run.
        folder: its folder.

    Raises:
        SynthgenError: if the base, the AU adapter, the embedder, the data or the device do not
            serve.
    """
    torch.set_num_threads(config.threads)
    device = pick_training_device(config.device)
    found = find_base(config.base, config.revision)
    return Parts(
        config=config,
        folder=folder,
        device=device,
        base=load_base(found, device, getattr(torch, config.dtype), config.attention),
        fineface=_fineface(config.fineface),
        embedder=load_embedder(config.embedder, str(device), config.threads),
        examples=examples_of(config.data, config.seed),
    )


def _fineface(where: str | None) -> Path | None:
    if where is None:
        return None
    files = file_names("", 1.0)
    return embedded(_EMBEDDED_FINEFACE, files) if where == MINI else resolve(where, files=files)


def _weight_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".ckpt"))
