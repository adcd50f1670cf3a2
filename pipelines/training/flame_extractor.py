"""Training of the extractor of drawn faces, which reads what SMIRK reads from photographs.

Drawn faces of the second edition show what the fixed code of `samplers.flame.drawn` carries: each
side by itself. A share of them has passed through a VAE, as what a diffusion model paints has. The
network is learned in the very crop in which it reads, `crop_face`'s, and never from mirrored faces:
their sides would be those of nobody.

Shapes: B batch; movements, those of the code.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL.Image import Image
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from pipelines.procedural import render, renderer_version
from pipelines.smirk.drawn import DrawnEncoder
from pipelines.smirk.faces import centered_face, crop_face, crop_places
from pipelines.training.data.augmentation import augment
from pipelines.training.data.config import BatchAugmentation, ExpressionShare, SidedFaces
from pipelines.training.data.drawing import (
    RoundCache,
    draw_aus,
    draw_person,
    draw_sides,
    expression_of_sides,
    face_number,
    label_aus,
)
from pipelines.training.data.loader import load_steps
from pipelines.training.data.portraits import SIZE
from pipelines.training.diffusion.decoded import DecodedPictures, VAEPictures, decoding_facts
from pipelines.training.files import write_whole
from pipelines.training.learner import Learner, seeded
from pipelines.training.provenance import CARD, OUR_LICENCE, write_card
from pipelines.training.recipe import Recipe, run_recipe
from pipelines.training.settings import Cycle, TrainingSettings, pick_training_device
from pipelines.weight_files import file_sha256
from samplers.flame.drawn import CARRIED, CODE, MOVEMENTS, NAMES, drawn_movements, drawn_numbers
from synthgen.config.base import Section
from synthgen.config.priors import IntensityRange

_Channels = Annotated[int, Field(ge=1, le=4096)]


class ExtractorFaces(SidedFaces):
    """Portraits of 128 pixels by edition 2, each of an identity that no other training sees."""

    edition: Literal[2] = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default=2, description="Edition of the drawings: the second, which has sides."
    )
    aus: Literal["drawn"] = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default="drawn", description="AUs that are drawn: the 18 of the second edition."
    )
    one_sided: float = Field(
        default=0.4,
        ge=0,
        le=1,
        description="Share of the faces whose sides differ: of each active AU that a half face can "
        "show one side is weaker or at rest [0, 1].",
    )
    views: int = Field(
        default=4, ge=1, le=100, description="How often a portrait is learned, otherwise changed."
    )


class ExtractorModel(Section):
    """Size of the network."""

    channels: tuple[_Channels, _Channels, _Channels, _Channels] = Field(
        default=(24, 48, 96, 160),
        description="Channels at a half, a quarter, an eighth and a sixteenth of the side.",
    )
    narrow: _Channels = Field(
        default=32, description="Channels of each place before all places are joined."
    )
    hidden: _Channels = Field(default=256, description="Width of what the head reads.")


class ExtractorEvaluation(Section):
    """Held-out portraits, unchanged and decoded, of identities that are never learned."""

    faces: int = Field(default=1000, ge=8, le=1_000_000, description="Number of faces.")
    rate: float = Field(
        default=0.3, gt=0, lt=1, description="Chance of each AU to be active (0, 1)."
    )
    intensity: IntensityRange = Field(
        default=IntensityRange(low=0.5, high=5.0), description="Range of an active AU."
    )
    one_sided: float = Field(
        default=0.5, ge=0, le=1, description="Share of the faces whose sides differ [0, 1]."
    )


class FlameExtractorConfig(TrainingSettings):
    """A training run of the extractor of drawn faces; the weights are a function of it."""

    cycles: tuple[Cycle, ...] = Field(
        min_length=1,
        description="The steps; a finished training goes on when a cycle is added at the end.",
    )
    faces: ExtractorFaces = Field(description="Portraits to learn from.")
    decoded: DecodedPictures | None = Field(
        default=None,
        description="Share of the portraits that is learned as a VAE makes them; null: none.",
    )
    augmentation: BatchAugmentation = Field(
        default=BatchAugmentation(erase=0.12),
        description="What is done to a portrait; none is mirrored.",
    )
    model: ExtractorModel = Field(default=ExtractorModel(), description="Size of the network.")
    sides_weight: float = Field(
        default=0.5,
        ge=0,
        description="Weight in the loss of the error of left minus right, where an AU has sides.",
    )
    evaluation: ExtractorEvaluation = Field(
        default=ExtractorEvaluation(), description="What the result is measured on."
    )

    @model_validator(mode="after")
    def _at_least_two(self) -> "FlameExtractorConfig":
        if self.batch_size // self.accumulate < 2:
            raise ValueError(
                f"batch_size {self.batch_size} over accumulate {self.accumulate} must leave at "
                "least 2 portraits in a part"
            )
        return self


FIRST_IDENTITY = 2**54
FIRST_HELD_OUT = 2**55
"""Identity seeds of the first portrait that is learned and of the first that is held out."""


class ExtractorPortraits(NamedTuple):
    """Portraits to learn from; without the batch axis, one of them.

    Attributes:
        pixels: RGB [0–255].
        movements: intensity of each movement [0–5].
    """

    pixels: UInt8[Tensor, "*B 3 128 128"]
    movements: Float[Tensor, "*B movements"]


class DrawnPortrait(NamedTuple):
    """A portrait as it is drawn, and what each side of it shows [0–5]."""

    picture: Image
    sides: Float[np.ndarray, "2 aus"]


class LearnedPortraits(Dataset[ExtractorPortraits]):
    """The portraits of a training, from index 0 on; each face is shown `views` times."""

    def __init__(self, config: FlameExtractorConfig) -> None:
        self._config = config
        self._decoding = _decoding(config, "train")
        self._portraits = RoundCache(self._draw)

    def __getitem__(self, index: int) -> ExtractorPortraits:
        return self._portraits[face_number(index, self._config.faces.views)]

    def _draw(self, number: int) -> ExtractorPortraits:
        faces = self._config.faces
        drawn = draw_portrait(
            self._config, "train", number, faces.expressions, faces.intensity, faces.one_sided
        )
        picture = drawn.picture
        if self._decoding is not None:
            picture = self._decoding.shared(picture, number)
        return ExtractorPortraits(
            torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous(),
            torch.from_numpy(drawn_movements(drawn.sides[None])[0]).float(),
        )


def draw_portrait(
    config: FlameExtractorConfig,
    use: Literal["train", "held-out"],
    number: int,
    kinds: Sequence[ExpressionShare],
    intensity: IntensityRange,
    one_sided: float,
) -> DrawnPortrait:
    """Draw one portrait, a function of the configuration and its number.

    Args:
        config: the training.
        use: what the numbers count.
        number: number of the portrait.
        kinds: kinds of expressions; one is chosen by its share.
        intensity: range of an active AU.
        one_sided: chance that its sides differ [0, 1].
    """
    faces, seed, stage = config.faces, config.seed, f"flame-extractor/{use}"
    first = FIRST_IDENTITY if use == "train" else FIRST_HELD_OUT
    aus = draw_aus(seed, stage, number, kinds, intensity, label_aus(faces))
    sides = draw_sides(seed, stage, number, aus, one_sided)
    person = draw_person(faces, seed, stage, number, first + number)
    return DrawnPortrait(render(person, expression_of_sides(sides), size=SIZE), sides)


def _decoding(config: FlameExtractorConfig, use: str) -> VAEPictures | None:
    if config.decoded is None:
        return None
    return VAEPictures(config.decoded, config.seed, f"flame-extractor/{use}", config.dtype)


_HALF = (SIZE - 1) / 2
_QUADRATIC_BELOW = 1.0


class FlameExtractorLearner(Learner):
    """Learns a `DrawnEncoder`; batches are `ExtractorPortraits`."""

    def __init__(self, config: FlameExtractorConfig, device: torch.device) -> None:
        model = config.model
        with seeded(config.seed):
            network = DrawnEncoder(model.channels, model.narrow, model.hidden)
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._encoder = network
        super().__init__(config, config.cycles, network, device)
        self._config = config
        self._grid = crop_grid().to(device)
        sided = [place for place, movement in enumerate(MOVEMENTS) if movement.side]
        self._left, self._right = (torch.tensor(sided[side::2], device=device) for side in (0, 1))

    def compiled(self) -> Sequence[nn.Module]:
        """Return the convolutions: the network's own call is not used."""
        return [self._encoder.encoder]

    def losses(self, batch: ExtractorPortraits) -> dict[str, Tensor]:
        """Return Huber's losses of the intensities and of left minus right."""
        bounds = self._config.augmentation
        pixels = augment(batch.pixels.float() / 255, bounds, SIZE, mirrored=False)
        grid = self._grid.expand(len(pixels), -1, -1, -1)
        crops = functional.grid_sample(pixels, grid, align_corners=True).clamp(0, 1)
        with self.autocast():
            found = self._encoder.intensities(crops.contiguous(memory_format=torch.channels_last))
        movements = functional.smooth_l1_loss(found, batch.movements, beta=_QUADRATIC_BELOW)
        sides = functional.smooth_l1_loss(
            self._left_more(found), self._left_more(batch.movements), beta=_QUADRATIC_BELOW
        )
        loss = movements + self._config.sides_weight * sides
        return {"loss": loss, "movements": movements, "sides": sides}

    def _left_more(self, movements: Float[Tensor, "B movements"]) -> Float[Tensor, "B sided"]:
        return movements[:, self._left] - movements[:, self._right]


def crop_grid() -> Float[Tensor, "1 224 224 2"]:
    """Return where the crop of a drawn portrait's face lies, as `grid_sample` takes it.

    It is `crop_face` of `centered_face` but for the rounding to bytes, for a whole batch at once.
    """
    across, down = torch.from_numpy(crop_places(centered_face((SIZE, SIZE)))).float() / _HALF - 1
    lines, columns = torch.meshgrid(down, across, indexing="ij")
    return torch.stack([columns, lines], dim=-1)[None]


_AT_ONCE = 50
_TOLD_FROM = 1.0
"""Difference of the sides from which they count as told apart or confused [intensity]."""


def evaluate_extractor(network: DrawnEncoder, config: FlameExtractorConfig) -> dict[str, Any]:
    """Compare what a network reads with what was drawn.

    Returns:
        `faces`, their number; `drawn`: name of a number → `r` and `mae`, its mean absolute error in
        the number's own unit; `sides`: movement → share of the faces whose sides differ by 1 or
        more in which the stronger one is told rightly; where the training decodes pictures,
        `decoded` and `decoded_sides` of these.
    """
    found: dict[str, Any] = {"faces": config.evaluation.faces}
    found["drawn"], found["sides"] = _measured(network, config, None)
    if decoding := _decoding(config, "held-out"):
        found["decoded"], found["decoded_sides"] = _measured(network, config, decoding)
    return found


def _measured(
    network: DrawnEncoder, config: FlameExtractorConfig, decoding: VAEPictures | None
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    asked = config.evaluation
    kinds = (ExpressionShare(share=1.0, rate=asked.rate),)
    shown, read = [], []
    for start in range(0, asked.faces, _AT_ONCE):
        crops = []
        for number in range(start, min(start + _AT_ONCE, asked.faces)):
            picture, sides = draw_portrait(
                config, "held-out", number, kinds, asked.intensity, asked.one_sided
            )
            picture = decoding.decoded(picture, number) if decoding else picture
            crops.append(crop_face(np.asarray(picture), centered_face(picture.size)))
            shown.append(drawn_numbers(sides[None])[0])
        with torch.inference_mode():
            pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2) / 255
            read.append(network(pixels).numpy())
    return _agreement(np.stack(shown), np.concatenate(read))


def _agreement(
    shown: Float[np.ndarray, "faces 55"], read: Float[np.ndarray, "faces 55"]
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    numbers = {}
    for place in CARRIED:
        one, other = shown[:, place].astype(np.float64), read[:, place].astype(np.float64)
        varies = one.std() > 0 and other.std() > 0
        numbers[NAMES[place]] = {
            "r": float(np.corrcoef(one, other)[0, 1]) if varies else float("nan"),
            "mae": float(np.abs(one - other).mean()),
        }
    sides = {}
    for place, movement in enumerate(MOVEMENTS):
        if movement.side != "left":
            continue
        unit = CODE[place, place]  # of the number, for one of intensity
        one, other = ((found[:, place] - found[:, place + 1]) / unit for found in (shown, read))
        told = np.abs(one) >= _TOLD_FROM
        right = np.sign(one[told]) == np.sign(other[told])
        sides[movement.name] = float(right.mean()) if right.size else float("nan")
    return numbers, sides


class FlameExtractorRecipe(Recipe[FlameExtractorConfig]):
    """The training of the extractor of drawn faces, on portraits of its own."""

    name = "flame-extractor"
    settings = FlameExtractorConfig
    makes = "flame_extractor.safetensors"
    what = "a plain convolutional network; reads the 55 numbers of drawn and mini faces"
    free = ("evaluation",)
    data = "procedural faces of identities that no other training sees"

    def __init__(self, config: FlameExtractorConfig, folder: Path) -> None:
        super().__init__(config, folder)
        self.facts = {
            "renderer": renderer_version(config.faces.edition),
            **decoding_facts(config.decoded),
        }
        self.learner = FlameExtractorLearner(config, pick_training_device(config.device))

    def batches(self, first: int, last: int) -> Iterable[ExtractorPortraits]:
        """Draw the portraits of each step."""
        config = self.config
        return load_steps(LearnedPortraits(config), config.batch_size, first, last, config.workers)

    def export(self, about: dict[str, Any]) -> None:
        """Write the network, and how well it reads held-out portraits."""
        weights = self.folder / self.makes
        with write_whole(weights) as partial:
            self.learner.average.save(partial, {"licence": OUR_LICENCE})
        measured = evaluate_extractor(DrawnEncoder.from_file(weights), self.config)
        file = {"file": weights.name, "sha256": file_sha256(weights), "held_out": measured}
        write_card(self.folder / CARD, {**about, **file})


def train_flame_extractor(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train an extractor of drawn faces, measure and export it, as `run_recipe` says."""
    return run_recipe(FlameExtractorRecipe, config_path, out, stop_at, overrides)
