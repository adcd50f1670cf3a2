"""The attribute network: a plain stack of convolutions that reads the traits of a person.

It has no shortcuts and no global pooling: where something stands is kept to the end. The second
judge of evaluations is the same stack with a further head, and other weights. A file is a
safetensors file whose metadata says what the network looks like and which traits it reads.

Shapes: B batch, side of the network's input.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from pipelines.checkpoints import built_strictly, in_format, read_safetensors
from pipelines.procedural.vocabulary import TRAITS
from synthgen.errors import WeightsError
from synthgen.foreign import excerpt

FORMAT = "synthgen-attributes-1"

SIDE = 128
"""Side of the attribute network's input: a whole portrait, hair and clothes too [pixels]."""

_DOUBLINGS = 4
_LARGEST = 4096


class TraitReader(nn.Module):
    """Convolutions, joined at the end, and a linear head for each trait.

    Args:
        channels: channels at a half, a quarter, an eighth and a sixteenth of the input's side.
        narrow: channels of each place before all places are joined.
        hidden: width of what all heads read.
        side: side of the input, a multiple of 16 [pixels].
        traits: trait → its values.

    Attributes:
        shape: the first three arguments.
        traits: trait → its values.
    """

    def __init__(
        self,
        channels: Sequence[int],
        narrow: int,
        hidden: int,
        side: int,
        traits: Mapping[str, Sequence[str]],
    ) -> None:
        super().__init__()
        self.shape = {"channels": list(channels), "narrow": narrow, "hidden": hidden}
        self.traits: Mapping[str, tuple[str, ...]] = {k: tuple(v) for k, v in traits.items()}
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
        cells = (side // 2**_DOUBLINGS) ** 2
        self.joined = nn.Sequential(
            nn.Flatten(), nn.Linear(narrow * cells, hidden), nn.BatchNorm1d(hidden), nn.GELU()
        )
        self.heads = nn.ModuleDict(
            {trait: nn.Linear(hidden, len(values)) for trait, values in self.traits.items()}
        )

    def features(self, pixels: Float[Tensor, "B 3 side side"]) -> Float[Tensor, "B hidden"]:
        """Return what the heads read of pixels in [0, 1], float32."""
        return self.joined(self.encoder(2 * pixels - 1)).float()

    def trait_logits(self, features: Float[Tensor, "B hidden"]) -> dict[str, Tensor]:
        """Return trait → logits of its values [B, values]."""
        return {trait: head(features) for trait, head in self.heads.items()}


class AttributeNetwork(TraitReader):
    """Reads the traits of portraits.

    Args:
        channels, narrow, hidden: as of `TraitReader`.
        traits: trait → its values; by default all of `vocabulary.TRAITS`.
    """

    def __init__(
        self,
        channels: Sequence[int],
        narrow: int,
        hidden: int,
        traits: Mapping[str, Sequence[str]] = TRAITS,
    ) -> None:
        super().__init__(channels, narrow, hidden, SIDE, traits)

    @classmethod
    def from_file(cls, path: str | Path) -> "AttributeNetwork":
        """Read a network.

        Returns:
            The network in evaluation mode, float32, without gradients, on the CPU.

        Raises:
            WeightsError: if the file is missing, is none that `synthgen train attributes` wrote,
                or does not hold exactly the network's tensors.
        """
        file = Path(path)
        if not file.exists():
            raise WeightsError(
                f"attribute network {file} does not exist; `synthgen train attributes CONFIG "
                "--to FOLDER` makes one"
            )
        tensors, metadata = read_safetensors(file)
        if metadata.get("format") != FORMAT:
            raise WeightsError(
                f"{file} is no attribute network that `synthgen train attributes` wrote: its "
                f"format is {metadata.get('format')!r}, it must be {FORMAT!r}"
            )
        shape = read_shape(metadata.get("shape", ""), file, "attribute network")
        traits = _read_traits(metadata.get("traits", ""), file)
        floats = in_format(tensors, torch.float32)
        network = built_strictly(lambda: cls(*shape, traits), floats, str(file))
        return network.eval().requires_grad_(False)

    def save(self, path: Path, metadata: Mapping[str, str] | None = None) -> None:
        """Write the weights as float16, and what the network looks like.

        Args:
            path: file that ends in `.safetensors`; its folder must exist.
            metadata: further texts to keep, such as `licence`.
        """
        tensors = in_format(self.state_dict(), torch.float16)
        about = {"format": FORMAT, "shape": json.dumps(self.shape)}
        kept = {**(metadata or {}), **about, "traits": json.dumps(self.traits)}
        save_file(tensors, path, kept)

    def logits(self, pixels: Float[Tensor, "B 3 128 128"]) -> dict[str, Tensor]:
        """Return trait → logits of its values [B, values], float32, of pixels in [0, 1]."""
        features = self.features(pixels)
        with torch.autocast(pixels.device.type, enabled=False):
            return self.trait_logits(features)

    def forward(self, images: Float[Tensor, "B 3 s s"]) -> dict[str, Tensor]:
        """Read portraits of any size, each image's bits whatever its place in the batch.

        On a CPU the last bits of a row of a matrix product depend on where it stands among the
        others; convolutions take one image after another. So what follows them, a fiftieth of the
        work, takes one image at a time. The network must be in evaluation mode.

        Args:
            images: whole portraits, square, pixels in [0, 1].

        Returns:
            Trait → probability of each of its values [B, values], in the order of `traits`.
        """
        if images.shape[-1] != SIDE:
            size = (SIDE, SIDE)
            images = functional.interpolate(images, size, mode="bilinear", antialias=True)
        found = self.encoder(2 * images - 1)
        rows = [self.trait_logits(self.joined(row[None]).float()) for row in found]
        if not rows:
            return {name: images.new_zeros(0, len(held)) for name, held in self.traits.items()}
        return {name: torch.cat([row[name] for row in rows]).softmax(1) for name in self.traits}


class ReaderShape(NamedTuple):
    """Size of a `TraitReader`: its first three arguments."""

    channels: Sequence[int]
    narrow: int
    hidden: int


def read_shape(text: str, file: Path, what: str) -> ReaderShape:
    """Read what a file's metadata says of the network's size.

    Args:
        text: the metadata, JSON.
        file: the file, for the error.
        what: name of the network, for the error.

    Raises:
        WeightsError: if it says something else, or a size is not allowed.
    """
    shape: Any = None
    try:
        shape = json.loads(text)
        sizes = [*shape["channels"], shape["narrow"], shape["hidden"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(
            f"{file}: its metadata does not say what the {what} looks like"
        ) from error
    whole = all(isinstance(size, int) and 1 <= size <= _LARGEST for size in sizes)
    if len(shape) != 3 or len(sizes) != 6 or not whole:
        raise WeightsError(
            f"{file}: the {what}'s shape {excerpt(shape)} must hold four channels, narrow and "
            f"hidden, each from 1 to {_LARGEST}"
        )
    return ReaderShape(tuple(shape["channels"]), shape["narrow"], shape["hidden"])


def _read_traits(text: str, file: Path) -> dict[str, tuple[str, ...]]:
    try:
        found = json.loads(text)
        traits = {name: tuple(values) for name, values in found.items()}
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise WeightsError(f"{file}: its metadata does not say which traits it reads") from error
    for name, values in traits.items():
        known = TRAITS.get(name, ())
        if not values or not all(value in known for value in values):
            raise WeightsError(
                f"{file} reads {excerpt(name)} as {excerpt(list(values))}; traits and their "
                f"values are those of drawn faces: {', '.join(TRAITS)}"
            )
    return traits


def _layer(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.GELU(),
    )
