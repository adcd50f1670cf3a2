"""IP-Adapter files of the FaceID portrait layout for the tiny base, with random weights."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tiny_fineface import TEXT_WIDTH, tiny_unet
from torch import Tensor

FACE_WIDTH = 512
TOKENS = 16
EMBEDDER = "sha256:0123"


def make_face_adapter(
    folder: Path, name: str = "faceid.bin", embedder: str | None = None, strength: float = 0.5
) -> Path:
    """Write a `.bin` or `.safetensors` file; 16 tokens a face, an inner layer twice as wide."""
    folder.mkdir(parents=True, exist_ok=True)
    state = face_adapter_state(strength)
    if name.endswith(".bin"):
        torch.save(state, folder / name)
    else:
        flat = {f"{part}.{key}": v for part, named in state.items() for key, v in named.items()}
        save_file(flat, folder / name, metadata={"embedder": embedder} if embedder else None)
    return folder / name


def face_adapter_state(strength: float = 0.5) -> dict[str, dict[str, Tensor]]:
    """Return the tensors as the `.bin` file nests them."""
    draw = torch.Generator().manual_seed(31)

    def normal(*shape: int, scale: float) -> Tensor:
        return scale * torch.randn(shape, generator=draw)

    inner = 2 * FACE_WIDTH
    projection = {
        "proj.0.weight": normal(inner, FACE_WIDTH, scale=1.0),
        "proj.0.bias": normal(inner, scale=0.3),
        "proj.2.weight": normal(TOKENS * TEXT_WIDTH, inner, scale=0.1),
        "proj.2.bias": normal(TOKENS * TEXT_WIDTH, scale=0.3),
        "norm.weight": 1 + normal(TEXT_WIDTH, scale=0.1),
        "norm.bias": normal(TEXT_WIDTH, scale=0.1),
    }
    attention = {}
    unet = tiny_unet(0)
    cross = [path.removesuffix(".processor") for path in unet.attn_processors if ".attn2." in path]
    for number, path in enumerate(cross):
        width = unet.get_parameter(f"{path}.to_v.weight").shape[0]
        for kind in "kv":
            name = f"{2 * number + 1}.to_{kind}_ip.weight"
            attention[name] = normal(width, TEXT_WIDTH, scale=strength)
    return {"image_proj": projection, "ip_adapter": attention}


def people(*shape: int, seed: int = 8) -> np.ndarray:
    """Return L2-normalised embeddings [*shape, 512]."""
    rows = np.random.default_rng(seed).normal(size=(*shape, FACE_WIDTH))
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
