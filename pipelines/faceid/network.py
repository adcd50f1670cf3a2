"""A small face recogniser and its file.

A residual network (He et al., CVPR 2016) ends in a depthwise convolution as large as its input, so
that places are weighed one by one instead of averaged (Chen et al., "MobileFaceNets", 2018), and in
a linear layer of 512 numbers whose direction is the embedding.

Shapes: B batch.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor, nn

from pipelines.checkpoints import built_strictly, in_format, read_safetensors
from pipelines.libreface.network import BasicBlock
from samplers.identities.identity import FACEID_WIDTH
from synthgen.errors import WeightsError
from synthgen.foreign import excerpt

INPUT_SIDE = 112
"""Side of the input [pixels]."""

FORMAT = "synthgen-face-embedder-1"

_STAGES = 4
_LAST_SIDE = INPUT_SIDE // 2**_STAGES


class FaceNetwork(nn.Module):
    """Turns aligned faces into 512 numbers.

    Args:
        channels: channels at a half, a quarter, an eighth and a sixteenth of the side.
        blocks: residual blocks of each of these stages.
    """

    def __init__(
        self, channels: Sequence[int] = (32, 64, 128, 192), blocks: Sequence[int] = (1, 2, 2, 2)
    ) -> None:
        super().__init__()
        self.shape = {"channels": list(channels), "blocks": list(blocks)}
        first, last = channels[0], channels[-1]
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(inplace=True),
        )
        inputs = (first, *channels[:-1])
        self.stages = nn.Sequential(
            *(
                _stage(inputs[place], channels[place], blocks[place], 2 if place else 1)
                for place in range(_STAGES)
            )
        )
        self.places = nn.Sequential(WeighedSum(last, _LAST_SIDE), nn.BatchNorm1d(last))
        self.projection = nn.Linear(last, FACEID_WIDTH, bias=False)
        self.scaling = nn.BatchNorm1d(FACEID_WIDTH)

    def forward(self, pixels: Float[Tensor, "B 3 112 112"]) -> Float[Tensor, "B 512"]:
        """Return the features of aligned faces of pixels in [0, 1]; their direction counts."""
        features = self.places(self.stages(self.stem(2 * pixels - 1)))  # [B, last]
        return self.scaling(self.projection(features))


class WeighedSum(nn.Module):
    """Adds up all places of each channel, each place with a weight of its own.

    That is a depthwise convolution as large as its input.

    Args:
        channels: channels of the input.
        side: height and width of the input.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, side, side) / side)

    def forward(self, x: Float[Tensor, "B c h w"]) -> Float[Tensor, "B c"]:
        """Return the sums."""
        return (x * self.weight).sum((2, 3))


def save_face_network(
    network: FaceNetwork,
    path: Path,
    metadata: Mapping[str, str] | None = None,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a recogniser's weights, and what it looks like.

    Args:
        network: the network.
        path: file that ends in `.safetensors`; its folder must exist.
        metadata: further texts to keep, such as `licence`.
        dtype: float16 or float32; counters stay whole numbers.
    """
    tensors = in_format(network.state_dict(), dtype)
    save_file(
        tensors, path, {**(metadata or {}), "format": FORMAT, "shape": json.dumps(network.shape)}
    )


def load_face_network(path: str | Path) -> tuple[FaceNetwork, dict[str, str]]:
    """Read a recogniser.

    Returns:
        The network in evaluation mode, float32, on the CPU, and the file's metadata.

    Raises:
        WeightsError: if the file is missing, is none that `synthgen train face-embedder` wrote,
            does not hold exactly the network's tensors, or holds one that is not finite.
    """
    file = Path(path)
    if not file.exists():
        raise WeightsError(
            f"face embedder {file} does not exist; `synthgen train face-embedder CONFIG --to "
            "FOLDER` makes one"
        )
    tensors, metadata = read_safetensors(file)
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{file} is no face embedder that `synthgen train face-embedder` wrote: its format is "
            f"{metadata.get('format')!r}, it must be {FORMAT!r}"
        )
    shape = _shape(metadata.get("shape", ""), file, len(tensors))
    floats = in_format(tensors, torch.float32)
    return built_strictly(lambda: FaceNetwork(**shape), floats, str(file)).eval(), metadata


def _shape(text: str, file: Path, tensors: int) -> dict[str, list[int]]:
    try:
        shape = json.loads(text)
        channels, blocks = list(shape["channels"]), list(shape["blocks"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(
            f"{file}: its metadata does not say what the face embedder looks like"
        ) from error
    if len(channels) != _STAGES or len(blocks) != _STAGES or not _small([*channels, *blocks]):
        raise WeightsError(
            f"{file}: the face embedder's shape {excerpt(shape)} must hold {_STAGES} channels and "
            f"{_STAGES} blocks, each from 1 to 1024"
        )
    if sum(blocks) > tensors:
        raise WeightsError(
            f"{file}: the face embedder's shape names {sum(blocks)} blocks; the file holds "
            f"{tensors} tensors"
        )
    return {"channels": channels, "blocks": blocks}


def _small(sizes: Sequence[object]) -> bool:
    return all(type(size) is int and 1 <= size <= 1024 for size in sizes)


def _stage(inputs: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(inputs, channels, stride)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1) for _ in range(blocks - 1)))
