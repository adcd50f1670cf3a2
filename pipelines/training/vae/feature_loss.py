"""How far two faces lie apart for the embedded AU network: it sees wrinkles that pixels hide."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pipelines.libreface.network import IMAGENET_MEAN, IMAGENET_STD, load_network, resized_side
from pipelines.libreface.weights import MINI_FILE

_LAYERS = 7
"""Children of the encoder up to the 14×14 maps (stem, first to third stage)."""


class AUFeatures:
    """Features of the AU network, as a distance.

    Args:
        device: torch device.
    """

    def __init__(self, device: torch.device) -> None:
        network = load_network(MINI_FILE).to(device).requires_grad_(False)
        self._side = network.input_size
        self._layers = list(network.encoder.children())[:_LAYERS]
        self._mean = torch.tensor(IMAGENET_MEAN, device=device).view(3, 1, 1)
        self._std = torch.tensor(IMAGENET_STD, device=device).view(3, 1, 1)

    def error(self, made: Float[Tensor, "B 3 h w"], wanted: Float[Tensor, "B 3 h w"]) -> Tensor:
        """Return the mean absolute error of the maps of each stage, relative to their size."""
        total = made.new_zeros(())
        a, b = self._normalised(made), self._normalised(wanted)
        for i, layer in enumerate(self._layers):
            a = layer(a)
            with torch.no_grad():
                b = layer(b)
            if i >= 3:
                total = total + (a - b).abs().float().mean() / b.abs().float().mean()
        return total / (_LAYERS - 3)

    def _normalised(self, pixels: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B 3 s s"]:
        side = resized_side(self._side)
        if pixels.shape[-1] != side:
            pixels = functional.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
        edge = (side - self._side) // 2
        inner = pixels[..., edge : edge + self._side, edge : edge + self._side]
        return (0.5 * inner + 0.5 - self._mean) / self._std
