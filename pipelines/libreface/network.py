"""LibreFace's AU network (ResNet-18, one head for intensities, one for detection) and its files.

Modules bear the names of LibreFace's `combined_resnet.pt`, `{"model": state_dict}`, which therefore
loads strictly and unchanged. Our own format is a safetensors file of the same state dict, in fp16
or fp32, whose metadata says for which `input_size` it was trained. Architecture: Chang et al.,
"LibreFace", WACV 2024.

Shapes: B batch, 12 AUs.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor, nn

from pipelines.checkpoints import (
    SAFETENSORS_SUFFIX,
    load_strictly,
    read_pickled_tensors,
    read_safetensors,
)
from pipelines.libreface.files import find_weight_file
from pipelines.libreface.resnet import FEATURES, resnet18_encoder
from synthgen.action_units import AU_COUNT, MAX_INTENSITY
from synthgen.errors import WeightsError

INPUT_SIZE = 224
"""Side of LibreFace's own input [pixels]."""

DETECTED_AUS = (
    "AU1", "AU2", "AU4", "AU6", "AU7", "AU10", "AU12", "AU14", "AU15", "AU17", "AU23", "AU24",
)  # fmt: skip
"""AUs of the detection head, in its order (those of BP4D)."""

MIN_INPUT_SIZE = 32
MAX_INPUT_SIZE = 1024

_HIDDEN = 128
_DROPOUT = 0.1


class LibreFaceNetwork(nn.Module):
    """Measures AU intensities of aligned faces.

    Args:
        input_size: side of the square input that the weights were trained for [pixels]; images are
            shrunk to 256/224 of it and cropped in the middle, as LibreFace does. The network itself
            takes any size.
    """

    def __init__(self, input_size: int = INPUT_SIZE) -> None:
        super().__init__()
        self.input_size = input_size
        self.encoder = resnet18_encoder()
        self.classifier = _head()
        self.classifier_2 = _head()

    def forward(self, pixels: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B aus"]:
        """Return the AU intensities [0–5] of normalised face crops."""
        return MAX_INTENSITY * self.heads(pixels)[0]

    def by_rows(self, pixels: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B aus"]:
        """Return what `forward` does, each image's bits whatever its place in the batch.

        On a CPU the last bits of a row of a matrix product depend on where it stands among the
        others; convolutions take one image after another. So the head, a thousandth of the work,
        takes one row at a time.
        """
        features = self.encoder(pixels).flatten(1)  # [B, 512]
        rows = [self.classifier(row[None]) for row in features]
        return MAX_INTENSITY * torch.cat(rows)

    def heads(
        self, pixels: Float[Tensor, "B 3 h w"]
    ) -> tuple[Float[Tensor, "B aus"], Float[Tensor, "B aus"]]:
        """Return both heads as they leave their sigmoid [0–1].

        Returns:
            Intensity / 5 of each AU in the order of an AU vector, and the probability of each AU of
            `DETECTED_AUS` (present from 0.5 on).
        """
        features = self.encoder(pixels).flatten(1)  # [B, 512]
        return self.classifier(features), self.classifier_2(features)


def load_network(path: str | Path) -> LibreFaceNetwork:
    """Read an AU network.

    Args:
        path: a file in LibreFace's or our own format, or a folder that holds exactly one.

    Returns:
        The network in evaluation mode, float32, on the CPU.

    Raises:
        WeightsError: if there is no such file, it holds anything but tensors, or these are not
            exactly the network's, or not finite.
    """
    file = find_weight_file(path)
    if file.suffix == SAFETENSORS_SUFFIX:
        tensors, metadata = read_safetensors(file)
        network = LibreFaceNetwork(_input_size(metadata, file))
        load_strictly(network, _expand(tensors), str(file))
    else:
        network = LibreFaceNetwork()
        load_strictly(network, _libreface_state(file), str(file))
    return network.eval()


def save_network(
    network: LibreFaceNetwork,
    path: str | Path,
    metadata: Mapping[str, str] | None = None,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write an AU network in our own format.

    Args:
        network: the network.
        path: the file, ending in `.safetensors`; its folder must exist.
        metadata: further texts to keep in the file.
        dtype: float16 or float32; counters stay whole numbers.

    Raises:
        WeightsError: if the file does not end in `.safetensors`.
    """
    file = Path(path)
    if file.suffix != SAFETENSORS_SUFFIX:
        raise WeightsError(f"{file} must end in {SAFETENSORS_SUFFIX}: that is our own format")
    tensors = {
        name: (value.to(dtype) if value.is_floating_point() else value).cpu().contiguous()
        for name, value in network.state_dict().items()
    }
    save_file(tensors, file, {**(metadata or {}), "input_size": str(network.input_size)})


def _libreface_state(file: Path) -> object:
    content = read_pickled_tensors(file)
    if not isinstance(content, dict) or "model" not in content:
        raise WeightsError(f'{file} must hold {{"model": state_dict}}, as LibreFace writes it')
    return content["model"]


def _input_size(metadata: Mapping[str, str], file: Path) -> int:
    text = metadata.get("input_size", str(INPUT_SIZE))
    if not text.isdecimal() or not MIN_INPUT_SIZE <= int(text) <= MAX_INPUT_SIZE:
        raise WeightsError(
            f"{file}: input_size is {text!r}; it must be a whole number "
            f"from {MIN_INPUT_SIZE} to {MAX_INPUT_SIZE}"
        )
    return int(text)


def _expand(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: value.float() if value.is_floating_point() else value
        for name, value in tensors.items()
    }


def _head() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(FEATURES, _HIDDEN),
        nn.ReLU(),
        nn.BatchNorm1d(_HIDDEN),
        nn.Dropout(_DROPOUT),
        nn.Linear(_HIDDEN, AU_COUNT),
        nn.Sigmoid(),
    )
