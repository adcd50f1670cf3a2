"""The presence of a face where the aligner `centered` cuts, which takes every picture for one.

A picture without structure is no face, whatever the network of AUs knows. Beside the mini weights
lies a small network that tells drawn and mini faces from all else; of photographs it knows nothing.

Shapes: B batch.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Image, Resampling
from safetensors.torch import save_file
from torch import Tensor, nn

from pipelines.checkpoints import built_strictly, in_format, read_safetensors
from synthgen.errors import WeightsError

SIDE = 64
"""Side to which a crop is shrunk [pixels]."""

LEAST_STRUCTURE = 3.0
"""Least deviation of a crop's grey from a plane, below which it shows no face [of 255]."""

FORMAT = "synthgen-presence-1"

_CHANNELS = (16, 32, 48, 64)
_LAST_SIDE = SIDE // 8


def has_structure(crop: Image) -> bool:
    """Tell whether a crop is more than one colour or an even change from one to another."""
    grey = np.asarray(_shrunk(crop).convert("L"), np.float64)
    at = np.linspace(-1.0, 1.0, SIDE)
    slope = float((at * at).sum() * SIDE)
    across, down = (grey * at).sum() / slope, (grey * at[:, None]).sum() / slope
    rest = grey - grey.mean() - across * at - down * at[:, None]
    return bool(rest.std() >= LEAST_STRUCTURE)


class PresenceNetwork(nn.Module):
    """Tells drawn and mini faces, where they stand, from all else.

    Args:
        channels: channels at a half, a quarter, an eighth of the side, and of the last layer.
    """

    def __init__(self, channels: Sequence[int] = _CHANNELS) -> None:
        super().__init__()
        self.channels = tuple(channels)
        inputs, strides = (3, *self.channels), (2, 2, 2, 1)
        self.layers = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(inputs[place], inputs[place + 1], 3, strides[place], 1, bias=False),
                    nn.BatchNorm2d(inputs[place + 1]),
                    nn.ReLU(),
                )
                for place in range(len(strides))
            )
        )
        self.head = nn.Linear(self.channels[-1] * _LAST_SIDE**2, 1)

    def forward(self, pixels: Float[Tensor, "B 3 64 64"]) -> Float[Tensor, " B"]:
        """Return the logit of a face, of pixels in [-1, 1]."""
        return self.head(self.layers(pixels).flatten(1))[:, 0]


def presence_pixels(crops: Sequence[Image]) -> Float[Tensor, "B 3 64 64"]:
    """Turn aligned crops into the network's input."""
    pixels = np.stack([np.asarray(_shrunk(crop)) for crop in crops])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1).contiguous()


def _shrunk(crop: Image) -> Image:
    return crop if crop.size == (SIDE, SIDE) else crop.resize((SIDE, SIDE), Resampling.BOX)


class FacePresence:
    """Tells which crops show a face; without a network, which have structure at all.

    Args:
        network: the network in evaluation mode; None: photographs may come, which it does not know.
        threshold: logit from which a crop counts as a face.
    """

    def __init__(self, network: PresenceNetwork | None = None, threshold: float = 0.0) -> None:
        self._network = network
        self._threshold = threshold

    @torch.inference_mode()
    def of(self, crops: Sequence[Image]) -> list[bool]:
        """Tell of each crop whether it shows a face."""
        found = [has_structure(crop) for crop in crops]
        if self._network is None or not any(found):
            return found
        device = next(self._network.parameters()).device
        logits = self._network(presence_pixels(crops).to(device)).tolist()
        return [
            seen and logit >= self._threshold for seen, logit in zip(found, logits, strict=True)
        ]


def save_presence(
    network: PresenceNetwork, threshold: float, path: Path, metadata: Mapping[str, str]
) -> None:
    """Write a network in float16 with its threshold.

    Args:
        network: the network.
        threshold: logit from which a crop counts as a face.
        path: file that ends in `.safetensors`; its folder must exist.
        metadata: further texts to keep, such as `licence`.
    """
    tensors = in_format(network.state_dict(), torch.float16)
    about = {"format": FORMAT, "channels": json.dumps(network.channels)}
    save_file(tensors, path, {**metadata, **about, "threshold": repr(threshold)})


def load_presence(path: Path) -> tuple[PresenceNetwork, float]:
    """Read a network, in evaluation mode, float32, on the CPU, and its threshold.

    Raises:
        WeightsError: if the file is missing, none that `synthgen train presence` wrote, or does not
            hold exactly the network's tensors.
    """
    tensors, metadata = read_safetensors(path)
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{path} is no presence network that `synthgen train presence` wrote: its format is "
            f"{metadata.get('format')!r}, it must be {FORMAT!r}"
        )
    threshold, channels = math.nan, ()
    try:
        threshold, channels = float(metadata["threshold"]), json.loads(metadata["channels"])
        usable = math.isfinite(threshold) and len(channels) == len(_CHANNELS)
        usable = usable and all(type(size) is int and 1 <= size <= 1024 for size in channels)
    except (ValueError, KeyError, TypeError, RecursionError):
        usable = False
    if not usable:
        raise WeightsError(
            f"{path}: its metadata does not say what the presence network looks like"
        )
    floats = in_format(tensors, torch.float32)
    network = built_strictly(lambda: PresenceNetwork(channels), floats, str(path))
    return network.eval().requires_grad_(False), threshold
