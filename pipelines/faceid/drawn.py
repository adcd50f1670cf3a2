"""Embeddings of drawn faces, and stores of drawn people whom no training sees."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from PIL.Image import Image, Resampling
from torch import Tensor

from pipelines.faceid.embedder import (
    FaceEmbedder,
    FaceEmbeddings,
    FoundFace,
    join_faces,
    normalised,
    sharpness_of,
)
from pipelines.faceid.network import INPUT_SIDE, FaceNetwork, load_face_network
from pipelines.pictures import all_rgb
from pipelines.procedural import Identity, random_identity, render
from pipelines.procedural.drawn_aus import aus_of_edition
from pipelines.procedural.geometry import EYE_LEFT, EYE_RIGHT, MOUTH
from pipelines.weight_files import file_sha256
from samplers.identities.embeddings import StoreAbout
from samplers.identities.identity import FACEID_WIDTH
from samplers.identities.store import FaceStore
from samplers.identities.synthetic import refuse_many_people
from synthgen.errors import ConfigError, WeightsError

MINI_FILE = Path(__file__).parents[1] / "mini" / "face_embedder.safetensors"

IMAGE_SIDE = 128
"""Side that images are scaled to before the middle is cut out [pixels]."""

LICENCE = "Apache-2.0"


class DrawnFaceEmbedder:
    """Embeds the face in the middle of each image with a small recogniser.

    It looks for no face: each image counts as one, as wide as the image.

    Args:
        network: the recogniser in evaluation mode, on its device.
        file: its weight file.
        name: name of the embedder.
        licence: licence of the weights.
    """

    def __init__(self, network: FaceNetwork, file: Path, name: str, licence: str) -> None:
        self.name = name
        self.licence = licence
        self.files = (file,)
        self._network = network
        self._weights = {file.name: file_sha256(file)}
        self.fingerprint = f"sha256:{self._weights[file.name]}"

    @classmethod
    def from_pretrained(
        cls, weights: str | Path = "mini", device: str = "cpu"
    ) -> "DrawnFaceEmbedder":
        """Load an embedder.

        Args:
            weights: `mini`, or a file that `synthgen train face-embedder` wrote.
            device: torch device.

        Raises:
            WeightsError: if the weights are missing or do not fit.
        """
        if weights == "mini" and not MINI_FILE.is_file():
            raise WeightsError(
                f"mini face embedder {MINI_FILE} is missing; `synthgen train face-embedder` makes "
                "it"
            )
        file = MINI_FILE if weights == "mini" else Path(weights)
        network, metadata = load_face_network(file)
        network.requires_grad_(False).to(device)
        name = "face-embedder-mini" if weights == "mini" else f"face-embedder-{file.stem}"
        return cls(network, file, name, metadata.get("licence", LICENCE))

    def embed(self, images: Sequence[Image]) -> FaceEmbeddings:
        """Embed the middle of each image."""
        return join_faces([self._face(image) for image in all_rgb(images)])

    def provenance(self) -> dict[str, Any]:
        """Return what embeddings are a function of."""
        return {
            "weights": dict(self._weights),
            "licences": dict.fromkeys(self._weights, self.licence),
            "versions": {name: version(name) for name in ("numpy", "pillow", "torch")},
        }

    @torch.inference_mode()
    def _face(self, image: Image) -> FoundFace:
        """Embed one image, alone: bits would depend on how many stand beside it."""
        crop = middle_of(image)
        pixels = to_pixels(crop)[None]
        device = next(self._network.parameters()).device
        features = self._network(pixels.to(device))[0].float().cpu().numpy()
        side = min(image.size)
        corner = (np.array(image.size) - side) / 2
        points = corner + side * np.array([EYE_LEFT, EYE_RIGHT, MOUTH])
        sharpness = sharpness_of(crop)
        return FoundFace(normalised(features), 1, float(side), 1.0, sharpness, points)


def middle_of(image: Image) -> Image:
    """Scale an RGB image to 128×128 and cut 112×112 out of its middle."""
    if image.size != (IMAGE_SIDE, IMAGE_SIDE):
        image = image.resize((IMAGE_SIDE, IMAGE_SIDE), Resampling.BILINEAR)
    start = (IMAGE_SIDE - INPUT_SIDE) // 2
    return image.crop((start, start, start + INPUT_SIDE, start + INPUT_SIDE))


def to_pixels(crop: Image) -> Float[Tensor, "3 112 112"]:
    """Return a crop as pixels in [0, 1]."""
    return torch.from_numpy(np.array(crop)).permute(2, 0, 1).float().div_(255)


FIRST_SEED = 2**60
"""Identity seed of drawn person 0; trainings draw theirs below and from 2^62 on."""

FIRST_EVALUATED = 2**32
"""Number of the first drawn person whom evaluations ask for; stores begin at 0."""

_AT_ONCE = 64


def drawn_person(number: int, edition: int = 1) -> Identity:
    """Return a drawn person [0, 2^40) of an edition of the drawings."""
    return random_identity(FIRST_SEED + number, edition=edition)


def person_name(number: int, edition: int = 1) -> str:
    """Return the name of a drawn person, in stores and in what is made from them."""
    return f"drawn-{number:08d}" if edition == 1 else f"drawn{edition}-{number:08d}"


def portrait_of(number: int, edition: int = 1) -> Image:
    """Draw a person's portrait with a neutral face, 128×128, as it is embedded."""
    return render(drawn_person(number, edition), aus_of_edition(edition).vector({}))


def embed_drawn(
    numbers: Sequence[int], embedder: FaceEmbedder, edition: int = 1
) -> Float32[np.ndarray, "people 512"]:
    """Embed one portrait of each person."""
    rows = [np.empty((0, FACEID_WIDTH), np.float32)]
    for start in range(0, len(numbers), _AT_ONCE):
        portraits = [portrait_of(number, edition) for number in numbers[start : start + _AT_ONCE]]
        rows.append(embedder.embed(portraits).embeddings)
    return np.concatenate(rows)


def drawn_store(people: int, embedder: FaceEmbedder, first: int = 0, edition: int = 1) -> FaceStore:
    """Make a store of drawn people, one portrait each.

    Args:
        people: how many.
        embedder: what embeds their portraits.
        first: number of the first person [0, 2^40).
        edition: edition of the drawings; each has people of its own.

    Raises:
        ConfigError: if too many are asked for, or people whom evaluations ask for.
        StoreError: if the embedder tells two of them not apart at all.
    """
    refuse_many_people(people)
    if first + people > FIRST_EVALUATED:
        raise ConfigError(
            f"drawn people {first:,} to {first + people - 1:,} are asked for; from "
            f"{FIRST_EVALUATED:,} on they are for evaluations alone"
        )
    numbers = range(first, first + people)
    about = StoreAbout(
        embedder=embedder.fingerprint,
        embedder_name=embedder.name,
        licence=embedder.licence,
        synthetic=True,
        source=f"{people} drawn people{_of_edition(edition)}, one portrait each",
    )
    names = [person_name(number, edition) for number in numbers]
    embeddings = embed_drawn(numbers, embedder, edition)
    return FaceStore.build(embeddings, names, about, where="drawn people")


def _of_edition(edition: int) -> str:
    return "" if edition == 1 else f" of edition {edition} of the drawings"
