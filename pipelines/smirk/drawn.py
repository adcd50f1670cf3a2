"""The extractor of drawn faces: reads the 55 numbers of `samplers.flame.drawn` from a picture.

It stands wherever SMIRK's network stands: the same crop in, the same numbers out. It is the plain
stack of convolutions of the attribute network, which keeps where something stands to the end, so
that left and right are told apart; its head reads the 30 intensities of a drawn expression, and the
fixed code makes the numbers of them, so that what it reads is always an expression.

Shapes: B batch.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from pipelines.attributes.network import TraitReader, read_shape
from pipelines.checkpoints import built_strictly, in_format, read_safetensors
from pipelines.smirk.network import SIDE, refuse_images
from pipelines.weight_files import file_sha256
from samplers.flame.drawn import CODE, EXTRACTOR, MOVEMENTS, REST
from synthgen.action_units import MAX_INTENSITY, MIN_INTENSITY
from synthgen.errors import WeightsError
from synthgen.foreign import excerpt

FORMAT = "synthgen-flame-extractor-1"

_SHRUNK = 2
"""Pixels of a crop to one that the convolutions see, on each side."""


class DrawnEncoder(TraitReader):
    """Reads expressions from aligned drawn faces; see `crop_face`.

    Args:
        channels, narrow, hidden: as of `TraitReader`.

    Attributes:
        name: name of the extractor in a bank.
        fingerprint: `sha256:…` of the file that the weights come from; empty of a network in
            training.
        licence: licence of the weights, as their file tells it.
    """

    name = EXTRACTOR

    def __init__(self, channels: Sequence[int], narrow: int, hidden: int) -> None:
        super().__init__(channels, narrow, hidden, SIDE // _SHRUNK, {})
        self.fingerprint = ""
        self.licence = ""
        self.intensity = nn.Linear(hidden, len(MOVEMENTS))
        self.register_buffer("code", torch.tensor(CODE.T, dtype=torch.float32), persistent=False)
        self.register_buffer("rest", torch.tensor(REST, dtype=torch.float32), persistent=False)

    @classmethod
    def from_file(cls, path: str | Path, device: str | torch.device = "cpu") -> "DrawnEncoder":
        """Read a network.

        Args:
            path: the file that `synthgen train flame-extractor` wrote.
            device: where the network is put.

        Returns:
            The network in evaluation mode, float32, frozen.

        Raises:
            WeightsError: if the file is missing, is none that `synthgen train flame-extractor`
                wrote, or does not hold exactly the network's tensors.
        """
        file = Path(path)
        if not file.exists():
            raise WeightsError(
                f"extractor {excerpt(file)} does not exist; `synthgen train flame-extractor CONFIG "
                "--to FOLDER` makes one"
            )
        tensors, metadata = read_safetensors(file)
        if metadata.get("format") != FORMAT:
            raise WeightsError(
                f"{excerpt(file)} is no extractor that `synthgen train flame-extractor` wrote: its "
                f"format is {excerpt(metadata.get('format'))!r}, it must be {FORMAT!r}"
            )
        shape = read_shape(metadata.get("shape", ""), file, "extractor")
        floats = in_format(tensors, torch.float32)
        network = built_strictly(lambda: cls(*shape), floats, excerpt(file))
        network.fingerprint = f"sha256:{file_sha256(file)}"
        network.licence = f"extractor of drawn faces: {excerpt(metadata.get('licence', 'unknown'))}"
        return network.eval().requires_grad_(False).to(device)

    def save(self, path: Path, metadata: Mapping[str, str] | None = None) -> None:
        """Write the weights as float16, and what the network looks like.

        Args:
            path: file that ends in `.safetensors`; its folder must exist.
            metadata: further texts to keep, such as `licence`.
        """
        tensors = in_format(self.state_dict(), torch.float16)
        kept = {**(metadata or {}), "format": FORMAT, "shape": json.dumps(self.shape)}
        save_file(tensors, path, kept)

    def intensities(self, images: Float[Tensor, "B 3 224 224"]) -> Float[Tensor, "B movements"]:
        """Return the intensity of each of `MOVEMENTS`, about [0–5], float32; as it is learned."""
        features = self.features(functional.avg_pool2d(images, _SHRUNK))
        with torch.autocast(images.device.type, enabled=False):
            return MAX_INTENSITY * self.intensity(features)

    def forward(self, images: Tensor) -> Float[Tensor, "B 55"]:
        """Read the expressions of aligned faces.

        Args:
            images: [B, 3, 224, 224], RGB in [0, 1], not normalised.

        Returns:
            50 coefficients, 2 eyelids in [0, 1], and the jaw: the numbers of the drawn expression
            that is read, of intensities within [0, 5].

        Raises:
            PictureError: if the images are of another size, or their pixels not within [0, 1].
        """
        refuse_images(images, "the extractor of drawn faces")
        found = self.intensities(images).clamp(MIN_INTENSITY, MAX_INTENSITY)
        return self.get_buffer("rest") + found @ self.get_buffer("code")
