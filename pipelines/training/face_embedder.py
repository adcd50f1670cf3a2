"""Training of the recogniser of procedural and mini faces.

CosFace: Wang et al., CVPR 2018, Eq. 4. ArcFace: Deng et al., CVPR 2019, Eq. 3.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL.Image import Image
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from pipelines.checkpoints import read_safetensors
from pipelines.faceid.drawn import LICENCE, MINI_FILE, DrawnFaceEmbedder
from pipelines.faceid.network import INPUT_SIDE, FaceNetwork, save_face_network
from pipelines.procedural import render, renderer_version
from pipelines.training.data.augmentation import augment
from pipelines.training.data.config import BatchAugmentation, LabelledFaces
from pipelines.training.data.drawing import (
    draw_aus,
    draw_person,
    in_another_picture,
    label_aus,
)
from pipelines.training.data.loader import load_steps
from pipelines.training.files import write_whole
from pipelines.training.initial import Start, start_from
from pipelines.training.learner import Learner, seeded
from pipelines.training.provenance import CARD, write_card
from pipelines.training.recipe import Recipe, run_recipe
from pipelines.training.settings import Cycle, TrainingSettings, pick_training_device
from pipelines.weight_files import check_weight_file, file_sha256
from samplers.identities.identity import FACEID_WIDTH
from samplers.randomness import uniforms
from synthgen.config.base import Section

_Channels = Annotated[int, Field(ge=1, le=1024)]
_Blocks = Annotated[int, Field(ge=1, le=16)]


class PeopleConfig(LabelledFaces):
    """Drawn people, each in many pictures of other light, pose, clothes and expression."""

    count: int = Field(
        default=4096, ge=2, le=1_000_000, description="People to be told apart while learning."
    )
    first: int = Field(
        default=2**46,
        ge=0,
        lt=2**62,
        description="Identity seed of the first person: others for a second, independent embedder.",
    )


class MarginConfig(Section):
    """Softmax over people by the angle to each, made harder for the right one."""

    kind: Literal["cosface", "arcface"] = Field(
        default="cosface",
        description="Where the margin is taken: from the cosine (CosFace), or added to the angle "
        "(ArcFace).",
    )
    margin: float = Field(
        default=0.3, ge=0, lt=1.5, description="The margin: a cosine, or an angle [radians]."
    )
    scale: float = Field(default=32.0, gt=0, le=256, description="What cosines are multiplied by.")
    rise: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of the steps over which the margin rises from 0 [0, 1].",
    )


class FaceNetworkConfig(Section):
    """Size of the network."""

    channels: tuple[_Channels, _Channels, _Channels, _Channels] = Field(
        default=(32, 64, 128, 192),
        description="Channels at a half, a quarter, an eighth and a sixteenth of the side.",
    )
    blocks: tuple[_Blocks, _Blocks, _Blocks, _Blocks] = Field(
        default=(1, 2, 2, 2), description="Residual blocks of each of these stages."
    )


class FaceEvaluation(Section):
    """Held-out people, in pictures as they are drawn."""

    people: int = Field(default=100, ge=2, le=100_000, description="People who are never learned.")
    pictures: int = Field(default=7, ge=2, le=1000, description="Pictures of each.")


class FaceEmbedderConfig(TrainingSettings):
    """A training run of the face embedder; the weights are a function of it."""

    cycles: tuple[Cycle, ...] = Field(
        min_length=1,
        description="The steps; a finished training goes on when a cycle is added at the end.",
    )
    people: PeopleConfig = Field(description="Whom to tell apart.")
    init: str | None = Field(
        default=None,
        exclude_if=lambda init: init is None,
        description="Embedder to begin from: file, or mini; null: begin from nothing.",
    )
    augmentation: BatchAugmentation = Field(
        default=BatchAugmentation(erase=0.3), description="What is done to a picture."
    )
    margin: MarginConfig = Field(default=MarginConfig(), description="The loss.")
    model: FaceNetworkConfig = Field(default=FaceNetworkConfig(), description="The network.")
    evaluation: FaceEvaluation = Field(
        default=FaceEvaluation(), description="What the result is measured on."
    )

    @model_validator(mode="after")
    def _at_least_two(self) -> "FaceEmbedderConfig":
        if self.batch_size // self.accumulate < 2:
            raise ValueError(
                f"batch_size {self.batch_size} over accumulate {self.accumulate} must leave at "
                "least 2 pictures in a part"
            )
        return self


SIDE = 128
"""Side of a picture [pixels]."""

FIRST_HELD_OUT = 2**62
"""Identity seed of the first person whom no training sees."""

_LARGEST_SEED = 2.0**53


class Pictures(NamedTuple):
    """Pictures to learn from; without the batch axis, one of them.

    Attributes:
        pixels: RGB [0–255].
        people: number of the person shown.
    """

    pixels: UInt8[Tensor, "*B 3 128 128"]
    people: Int[Tensor, "*B"]


class TrainingPictures(Dataset[Pictures]):
    """The pictures of a training, from index 0 on: each of a person drawn at random."""

    def __init__(self, config: FaceEmbedderConfig) -> None:
        self._config = config

    def __getitem__(self, index: int) -> Pictures:
        people, seed = self._config.people, self._config.seed
        draw = uniforms(seed, "face-embedder/person", index, index + 1, 1)[0, 0]
        person = int(draw * people.count)
        image = draw_picture(people, seed, "train", people.first + person, index)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
        return Pictures(pixels, torch.tensor(person))


def held_out_pictures(config: FaceEmbedderConfig) -> list[list[Image]]:
    """Draw the pictures of each person whom no training sees."""
    asked = config.evaluation
    return [
        [
            draw_picture(
                config.people,
                config.seed,
                "held-out",
                FIRST_HELD_OUT + person,
                person * asked.pictures + number,
            )
            for number in range(asked.pictures)
        ]
        for person in range(asked.people)
    ]


def draw_picture(people: PeopleConfig, seed: int, use: str, person: int, number: int) -> Image:
    """Draw one picture of a person.

    Args:
        people: how they are drawn, and with which expressions.
        seed: seed of the run.
        use: `train` or `held-out`: what the numbers of pictures count.
        person: identity seed of the person.
        number: number of the picture, of its own light, pose, clothes and expression.
    """
    stage = f"face-embedder/{use}"
    draw = uniforms(seed, f"{stage}/picture", number, number + 1, 1)[0, 0]
    drawn = draw_person(people, people.first, "face-embedder/people", person, person)
    identity = in_another_picture(drawn, int(draw * _LARGEST_SEED))
    aus = draw_aus(seed, stage, number, people.expressions, people.intensity, label_aus(people))
    return render(identity, aus.tolist(), size=SIDE)


_NEAR_ONE = 1 - 1e-6


class PeopleClassifier(nn.Module):
    """An embedder, and a direction for each person of the training.

    Args:
        embedder: the embedder.
        people: number of people.
    """

    def __init__(self, embedder: FaceNetwork, people: int) -> None:
        super().__init__()
        self.embedder = embedder
        self.people = nn.Parameter(torch.randn(people, FACEID_WIDTH) / FACEID_WIDTH**0.5)

    def forward(self, pixels: Float[Tensor, "B 3 112 112"]) -> Float[Tensor, "B people"]:
        """Return the cosine of each picture with each person's direction."""
        features = functional.normalize(self.embedder(pixels).float())
        with torch.autocast(pixels.device.type, enabled=False):
            return features @ functional.normalize(self.people).T


class FaceEmbedderLearner(Learner):
    """Learns a `PeopleClassifier`; batches are `Pictures`."""

    def __init__(self, config: FaceEmbedderConfig, device: torch.device) -> None:
        with seeded(config.seed):
            embedder = FaceNetwork(config.model.channels, config.model.blocks)
            self.start = None if config.init is None else begin_embedder(embedder, config.init)
            network = PeopleClassifier(embedder, config.people.count)
        super().__init__(config, config.cycles, network, device)
        self._config = config
        self._rising = config.margin.rise * sum(cycle.steps for cycle in config.cycles)

    def losses(self, batch: Pictures) -> dict[str, Tensor]:
        """Return the loss of a batch and the share of pictures whose person is nearest."""
        pixels = augment(batch.pixels.float() / 255, self._config.augmentation, INPUT_SIDE)
        with self.autocast():
            cosines = self.network(pixels)
        loss = margin_loss(cosines, batch.people, self._config.margin, self.margin_share())
        right = (cosines.argmax(1) == batch.people).float().mean()
        return {"loss": loss, "right": right}

    def margin_share(self) -> float:
        """Return the share of the margin that counts in this step [0, 1]."""
        return min(1.0, (self.step + 1) / self._rising) if self._rising else 1.0


def begin_embedder(embedder: FaceNetwork, named: str) -> Start:
    """Give an embedder the weights of another.

    Args:
        embedder: the network, freshly drawn.
        named: file of `synthgen train face-embedder`, or `mini`.

    Raises:
        WeightsError: if there is no such file, or it holds less than half of the network.
    """
    file = MINI_FILE if named == "mini" else Path(named)
    check_weight_file(file, "face embedder")
    return start_from(embedder, read_safetensors(file)[0], file)


def margin_loss(
    cosines: Float[Tensor, "B people"],
    people: Int[Tensor, " B"],
    margin: MarginConfig,
    share: float = 1.0,
) -> Float[Tensor, ""]:
    """Return the cross-entropy in which the right person's cosine is made smaller.

    Args:
        cosines: cosine of each picture with each person.
        people: the right person of each picture.
        margin: kind, size and scale.
        share: share of the margin that counts already [0, 1].
    """
    size = share * margin.margin
    right = cosines.gather(1, people[:, None])
    if margin.kind == "cosface":
        hard = right - size
    else:
        angle = torch.acos(right.clamp(-_NEAR_ONE, _NEAR_ONE))
        hard = torch.cos((angle + size).clamp(max=math.pi))
    logits = margin.scale * cosines.scatter(1, people[:, None], hard)
    return functional.cross_entropy(logits, people)


def evaluate_embedder(
    embedder: DrawnFaceEmbedder, config: FaceEmbedderConfig
) -> dict[str, float | int]:
    """Measure an embedder on people it never saw, each in some pictures.

    Returns:
        `people`, `pictures`; mean cosine of two pictures of one person (`same`) and of two people
        (`others`); `others_most`, the 99.9th percentile of the latter; share of pictures whose
        nearest other shows the same person (`rank1`); share of pairs of one person that lie above
        `others_most` (`told_apart`).
    """
    pictures = held_out_pictures(config)
    found = embedder.embed([image for person in pictures for image in person])
    people = np.repeat(np.arange(len(pictures)), len(pictures[0]))
    cosines = found.embeddings.astype(np.float64) @ found.embeddings.astype(np.float64).T
    alike = people[:, None] == people
    same = cosines[alike & ~np.eye(len(people), dtype=bool)]
    most = float(np.quantile(cosines[~alike], 0.999))
    np.fill_diagonal(cosines, -np.inf)
    return {
        "people": len(pictures),
        "pictures": len(people),
        "same": float(same.mean()),
        "others": float(cosines[~alike].mean()),
        "others_most": most,
        "rank1": float((people[cosines.argmax(1)] == people).mean()),
        "told_apart": float((same > most).mean()),
    }


class FaceEmbedderRecipe(Recipe[FaceEmbedderConfig]):
    """The training of the face embedder, on people of its own."""

    name = "face-embedder"
    settings = FaceEmbedderConfig
    makes = "face_embedder.safetensors"
    what = "a residual network; turns drawn and mini faces into 512-d embeddings"
    free = ("evaluation", "init")
    data = "drawn people, each in many pictures"

    def __init__(self, config: FaceEmbedderConfig, folder: Path) -> None:
        super().__init__(config, folder)
        learner = FaceEmbedderLearner(config, pick_training_device(config.device))
        self.learner, self.start = learner, learner.start
        self.facts = {"renderer": renderer_version(config.people.edition)}

    def batches(self, first: int, last: int) -> Iterable[Pictures]:
        """Draw the pictures of each step."""
        config = self.config
        return load_steps(TrainingPictures(config), config.batch_size, first, last, config.workers)

    def export(self, about: dict[str, Any]) -> None:
        """Write the embedder, and how well it tells people apart whom it never saw."""
        weights = self.folder / self.makes
        with write_whole(weights) as partial:
            embedder = self.learner.average.embedder.to("cpu")
            save_face_network(embedder, partial, {"licence": LICENCE})
        measured = evaluate_embedder(DrawnFaceEmbedder.from_pretrained(weights), self.config)
        file = {"file": weights.name, "sha256": file_sha256(weights), "held_out": measured}
        write_card(self.folder / CARD, {**about, **file})


def train_face_embedder(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train a face embedder, measure and export it, as `run_recipe` says."""
    return run_recipe(FaceEmbedderRecipe, config_path, out, stop_at, overrides)
