"""Training of the network that tells drawn and mini faces from pictures without one.

Half of the pictures are portraits, harder changed than the AU network's: what a diffusion model
makes of a face must still count. The threshold lies as far below the faces as it can without
letting held-out pictures of kinds that are learned through, and never above what nearly all faces
reach.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps
from pydantic import Field
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from pipelines.libreface.alignment import CenteredAligner
from pipelines.libreface.presence import (
    FacePresence,
    PresenceNetwork,
    load_presence,
    presence_pixels,
    save_presence,
)
from pipelines.procedural import render, renderer_version
from pipelines.training.au_network.augmentation import DRAWS, AugmentationConfig, augment
from pipelines.training.data.config import LabelledFaces
from pipelines.training.data.drawing import (
    RoundCache,
    draw_aus,
    draw_person,
    face_number,
    label_aus,
)
from pipelines.training.data.faceless import KINDS, SIZE, UNSEEN, draw_faceless
from pipelines.training.data.loader import load_steps
from pipelines.training.files import write_whole
from pipelines.training.learner import Learner, seeded
from pipelines.training.provenance import OUR_LICENCE, write_card
from pipelines.training.recipe import Recipe, run_recipe
from pipelines.training.settings import Cycle, TrainingSettings, pick_training_device
from pipelines.weight_files import file_sha256
from samplers.randomness import derive_seed, uniforms
from synthgen.config.base import Section


class PresenceFacesConfig(LabelledFaces):
    """Portraits of 128 pixels, each of an identity that no other training sees."""

    views: int = Field(
        default=3, ge=1, le=100, description="How often a portrait is learned, otherwise changed."
    )
    grey: float = Field(default=0.1, ge=0, le=1, description="Share without colour [0, 1].")
    augmented: float = Field(default=0.5, ge=0, le=1, description="Chance of each change [0, 1].")


class PresenceEvaluation(Section):
    """Held-out pictures: portraits of people never learned, and pictures without a face."""

    faces: int = Field(default=3000, ge=8, le=1_000_000, description="Portraits, half changed.")
    faceless: int = Field(
        default=200, ge=8, le=1_000_000, description="Pictures of each kind without a face."
    )


class PresenceConfig(TrainingSettings):
    """A training run of the presence network; the weights are a function of it."""

    cycles: tuple[Cycle, ...] = Field(
        min_length=1,
        description="The steps; a finished training goes on when a cycle is added at the end.",
    )
    faces: PresenceFacesConfig = Field(description="Portraits to learn from.")
    augmentation: AugmentationConfig = Field(
        default=AugmentationConfig(), description="What is done to a picture, a face or not."
    )
    margin: float = Field(
        default=2.0,
        ge=0,
        description="How far the threshold lies below the least certain of 1,000 faces [logit].",
    )
    evaluation: PresenceEvaluation = Field(
        default=PresenceEvaluation(), description="What the result is measured on."
    )


FIRST_IDENTITY = 2**48
FIRST_HELD_OUT = 2**49
"""Identity seeds of the first portrait that is learned and of the first that is held out."""


class Pictures(NamedTuple):
    """Pictures to learn from; without the batch axis, one of them.

    Attributes:
        pixels: the network's input.
        faces: 1 for a face, else 0.
    """

    pixels: Float[Tensor, "*B 3 64 64"]
    faces: Float[Tensor, "*B"]


class TrainingPictures(Dataset[Pictures]):
    """The pictures of a training: portraits at even places, pictures without a face at odd ones."""

    def __init__(self, config: PresenceConfig) -> None:
        self._config = config
        self._portraits = RoundCache(self._draw)

    def __getitem__(self, index: int) -> Pictures:
        config = self._config
        if shows := index % 2 == 0:
            picture = self._portraits[face_number(index // 2, config.faces.views)]
        else:
            picture = draw_faceless(_generator(config.seed, "train", index))
        changed = _changed(picture, config, "train", index)
        return Pictures(_crop_pixels([changed])[0], torch.tensor(float(shows)))

    def _draw(self, number: int) -> Image.Image:
        return _portrait(self._config, "train", FIRST_IDENTITY, number)


def _portrait(config: PresenceConfig, use: str, first: int, number: int) -> Image.Image:
    faces, seed, stage = config.faces, config.seed, f"presence/{use}"
    aus = draw_aus(seed, stage, number, faces.expressions, faces.intensity, label_aus(faces))
    person = draw_person(faces, seed, stage, number, first + number)
    return render(person, aus.tolist(), size=SIZE)


def _changed(picture: Image.Image, config: PresenceConfig, use: str, index: int) -> Image.Image:
    stage = f"presence/{use}/changes"
    draws = uniforms(config.seed, stage, index, index + 1, DRAWS + 1)[0]
    if draws[DRAWS] < config.faces.grey:
        picture = ImageOps.grayscale(picture).convert("RGB")
    return augment(picture, draws[:DRAWS], config.faces.augmented, config.augmentation)


def _generator(seed: int, use: str, index: int) -> np.random.Generator:
    return np.random.default_rng(derive_seed(seed, f"presence/{use}/faceless", index))


def _crop_pixels(pictures: Sequence[Image.Image]) -> Float[Tensor, "B 3 64 64"]:
    return presence_pixels(_crops(pictures))


def _crops(pictures: Sequence[Image.Image]) -> list[Image.Image]:
    aligner = CenteredAligner(side=SIZE)
    return [cast(Image.Image, aligner.align(picture).crop) for picture in pictures]


class PresenceLearner(Learner):
    """Learns a `PresenceNetwork`; batches are `Pictures`."""

    def __init__(self, config: PresenceConfig, device: torch.device) -> None:
        with seeded(config.seed):
            network = PresenceNetwork()
        super().__init__(config, config.cycles, network, device)

    def losses(self, batch: Pictures) -> dict[str, Tensor]:
        """Return the cross-entropy of a batch and the share of pictures told rightly."""
        with self.autocast():
            logits = self.network(batch.pixels)
        loss = functional.binary_cross_entropy_with_logits(logits.float(), batch.faces)
        right = ((logits > 0) == (batch.faces > 0.5)).float().mean()
        return {"loss": loss, "right": right}


_AT_ONCE = 100
_LEAST_CERTAIN = 0.001
"""Share of the held-out faces that the threshold's margin is counted from."""


def choose_threshold(network: PresenceNetwork, config: PresenceConfig) -> float:
    """Return the logit that lies `margin` below all but a thousandth of held-out faces.

    They are others than those that the card's figures are of.
    """
    logits = _logits(network, lambda i: _face(config, "threshold", i), config.evaluation.faces)
    return round(float(np.quantile(logits, _LEAST_CERTAIN)) - config.margin, 2)


def evaluate_presence(presence: FacePresence, config: PresenceConfig) -> dict[str, Any]:
    """Count what is taken for a face among pictures that were not learned from.

    Returns:
        `faces_accepted`: share of the portraits that count as faces; `refused` and
        `refused_unseen`: kind of picture without a face → share that is refused, of kinds that are
        learned and of others.
    """
    asked, seed = config.evaluation, config.seed

    def refused(name: str, make: Callable[[np.random.Generator], Image.Image]) -> float:
        pictures = (make(_generator(seed, f"held-out/{name}", i)) for i in range(asked.faceless))
        return 1 - float(np.mean(presence.of(_crops(list(pictures)))))

    found: list[bool] = []
    for start in range(0, asked.faces, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, asked.faces))
        found += presence.of(_crops([_face(config, "held-out", number) for number in numbers]))
    return {
        "faces": asked.faces,
        "faces_accepted": float(np.mean(found)),
        "of_each_kind": asked.faceless,
        "refused": {name: refused(name, make) for name, (_, make) in KINDS.items()},
        "refused_unseen": {name: refused(name, make) for name, make in UNSEEN.items()},
    }


def _face(config: PresenceConfig, use: str, number: int) -> Image.Image:
    """Draw a held-out portrait; every other one is changed as in training."""
    first = FIRST_HELD_OUT + (config.evaluation.faces if use == "threshold" else 0)
    portrait = _portrait(config, use, first, number)
    return _changed(portrait, config, use, number) if number % 2 else portrait


def _logits(
    network: PresenceNetwork, make: Callable[[int], Image.Image], count: int
) -> Float[np.ndarray, " count"]:
    parts = []
    with torch.inference_mode():
        for start in range(0, count, _AT_ONCE):
            pictures = [make(number) for number in range(start, min(start + _AT_ONCE, count))]
            parts.append(network(_crop_pixels(pictures)).numpy())
    return np.concatenate(parts)


CARD = "presence.json"


class PresenceRecipe(Recipe[PresenceConfig]):
    """The training of the presence network, on pictures of its own."""

    name = "presence"
    settings = PresenceConfig
    makes = "presence.safetensors"
    what = "a small convolutional network; tells drawn and mini faces from pictures without one"
    free = ("evaluation", "margin")
    data = "procedural faces of identities that no other training sees, and drawn pictures without"

    def __init__(self, config: PresenceConfig, folder: Path) -> None:
        super().__init__(config, folder)
        self.learner = PresenceLearner(config, pick_training_device(config.device))
        self.facts = {"renderer": renderer_version(config.faces.edition)}

    def batches(self, first: int, last: int) -> Iterable[Pictures]:
        """Draw the pictures of each step."""
        config = self.config
        return load_steps(TrainingPictures(config), config.batch_size, first, last, config.workers)

    def export(self, about: dict[str, Any]) -> None:
        """Write the network with its threshold, and what it makes of held-out pictures."""
        weights, network = self.folder / self.makes, self.learner.average.to("cpu")
        threshold = choose_threshold(network, self.config)
        with write_whole(weights) as partial:
            save_presence(network, threshold, partial, {"licence": OUR_LICENCE})
        measured = evaluate_presence(FacePresence(*load_presence(weights)), self.config)
        file = {"file": weights.name, "sha256": file_sha256(weights), "threshold": threshold}
        write_card(self.folder / CARD, {**about, **file, "held_out": measured})


def train_presence(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train a presence network, measure and export it, as `run_recipe` says."""
    return run_recipe(PresenceRecipe, config_path, out, stop_at, overrides)
