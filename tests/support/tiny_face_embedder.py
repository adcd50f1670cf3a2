"""Face embedders of a few thousand parameters."""

from pathlib import Path

import torch

from pipelines.faceid.drawn import DrawnFaceEmbedder
from pipelines.faceid.network import FaceNetwork, save_face_network
from pipelines.procedural import random_identity, render

NEUTRAL = (0.0,) * 12


def face_network(seed: int = 0) -> FaceNetwork:
    """Make a recogniser that has learned nothing."""
    torch.manual_seed(seed)
    return FaceNetwork(channels=(8, 8, 8, 8), blocks=(1, 1, 1, 1)).eval()


def face_embedder(folder: Path, seed: int = 0, name: str = "tiny") -> DrawnFaceEmbedder:
    """Write such a recogniser to `<folder>/<name>.safetensors` and load it."""
    path = folder / f"{name}.safetensors"
    save_face_network(face_network(seed), path, {"licence": "CC0-1.0"})
    return DrawnFaceEmbedder.from_pretrained(path)


def portrait(seed: int, size: int = 128):
    """Draw somebody."""
    return render(random_identity(seed=seed), NEUTRAL, size=size)
