"""The second judge: a plain stack of convolutions that reads 12 AUs and the traits of a person.

It shares nothing with the AU network that accepts images: another architecture (no shortcuts, no
global pooling: where something stands is kept to the end), other faces, other changes to them,
another loss. Its file is a safetensors file whose metadata says what the network looks like.

Shapes: B batch, side = `INPUT_SIDE`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor, nn

from pipelines.checkpoints import built_strictly, read_safetensors
from pipelines.procedural.vocabulary import TRAITS
from synthgen.action_units import AU_COUNT, MAX_INTENSITY
from synthgen.errors import WeightsError
from synthgen.foreign import excerpt

FORMAT = "synthgen-judge-1"
JUDGED_TRAITS = ("hair", "skin", "age", "person")
INPUT_SIDE = 112
"""Side of the input [pixels]: the middle of a portrait of 128 pixels."""

_DOUBLINGS = 4
_CELLS = INPUT_SIDE // 2**_DOUBLINGS


class JudgeOutput(NamedTuple):
    """Measurements of the judge.

    Attributes:
        aus: AU intensities, about [0–5].
        traits: trait → logits of its values, in the order of `vocabulary.TRAITS`.
    """

    aus: Float[Tensor, "B aus"]
    traits: dict[str, Float[Tensor, "B values"]]


class JudgeNetwork(nn.Module):
    """Reads the expression and the traits of a portrait.

    Args:
        channels: channels at a half, a quarter, an eighth and a sixteenth of the input's side.
        narrow: channels of each place before all places are joined.
        hidden: width of what all heads read.
    """

    def __init__(self, channels: Sequence[int], narrow: int, hidden: int) -> None:
        super().__init__()
        self.shape = {"channels": list(channels), "narrow": narrow, "hidden": hidden}
        half, quarter, eighth, sixteenth = channels
        self.encoder = nn.Sequential(
            _layer(3, half, kernel=5, stride=2),
            _layer(half, quarter, stride=2),
            _layer(quarter, quarter),
            _layer(quarter, eighth, stride=2),
            _layer(eighth, eighth),
            _layer(eighth, eighth),
            _layer(eighth, sixteenth, stride=2),
            _layer(sixteenth, sixteenth),
            _layer(sixteenth, narrow, kernel=1),
        )  # [B, narrow, side/16, side/16]
        self.joined = nn.Sequential(
            nn.Flatten(), nn.Linear(narrow * _CELLS**2, hidden), nn.BatchNorm1d(hidden), nn.GELU()
        )
        self.intensity = nn.Linear(hidden, AU_COUNT)
        self.traits = nn.ModuleDict(
            {trait: nn.Linear(hidden, len(TRAITS[trait])) for trait in JUDGED_TRAITS}
        )

    def forward(self, pixels: Float[Tensor, "B 3 side side"]) -> JudgeOutput:
        """Read portraits of pixels in [0, 1]."""
        features = self.joined(self.encoder(2 * pixels - 1)).float()  # [B, hidden]
        with torch.autocast(pixels.device.type, enabled=False):
            aus = MAX_INTENSITY * self.intensity(features)
            return JudgeOutput(aus, {name: head(features) for name, head in self.traits.items()})


def save_judge(
    network: JudgeNetwork, path: Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a judge's weights as float32, and what it looks like."""
    tensors = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    kept = {**(metadata or {}), "format": FORMAT, "shape": json.dumps(network.shape)}
    save_file(tensors, path, kept)


def load_judge(path: str | Path) -> JudgeNetwork:
    """Read a judge.

    Returns:
        The network in evaluation mode, on the CPU.

    Raises:
        WeightsError: if the file is missing, is none that `synthgen train judge` wrote, or does not
            hold exactly the network's tensors.
    """
    file = Path(path)
    if not file.exists():
        raise WeightsError(
            f"judge {file} does not exist; `synthgen train judge CONFIG --to FOLDER` makes one"
        )
    tensors, metadata = read_safetensors(file)
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{file} is no judge that `synthgen train judge` wrote: its format is "
            f"{metadata.get('format')!r}, it must be {FORMAT!r}"
        )
    shape = _shape(metadata.get("shape", ""), file)
    return built_strictly(lambda: JudgeNetwork(**shape), tensors, str(file)).eval()


def _shape(text: str, file: Path) -> dict[str, Any]:
    try:
        shape = json.loads(text)
        sizes = [*shape["channels"], shape["narrow"], shape["hidden"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(
            f"{file}: its metadata does not say what the judge looks like"
        ) from error
    whole = all(isinstance(size, int) and 1 <= size <= 4096 for size in sizes)
    if len(shape) != 3 or len(sizes) != 6 or not whole:
        raise WeightsError(
            f"{file}: the judge's shape {excerpt(shape)} must hold four channels, narrow and "
            "hidden, each from 1 to 4096"
        )
    return shape


def _layer(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.GELU(),
    )
