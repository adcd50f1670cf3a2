"""Training of the attribute network, which reads the traits of drawn and mini faces.

In drawn people traits go together: the old are often gray, men alone have beards. A network that
learned from these alone would read the age from the hair, and could not tell whether an image shows
the old person with red hair that was asked for. So a share of its people has traits drawn evenly
and each by itself.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.data import Dataset, default_collate

from pipelines.attributes.network import SIDE, AttributeNetwork
from pipelines.procedural import Identity, random_identity, render, renderer_version
from pipelines.procedural.vocabulary import TRAITS
from pipelines.training.data.augmentation import augment
from pipelines.training.data.config import BatchAugmentation, ExpressionShare, LabelledFaces
from pipelines.training.data.drawing import (
    RoundCache,
    draw_aus,
    face_number,
    label_aus,
    pinned_evenly,
)
from pipelines.training.data.loader import load_steps
from pipelines.training.data.portraits import (
    SIZE,
    Portraits,
    portrait,
    rates,
    read_rightly,
    trait_losses,
)
from pipelines.training.diffusion.decoded import DecodedPictures, VAEPictures, decoding_facts
from pipelines.training.files import write_whole
from pipelines.training.learner import Learner, seeded
from pipelines.training.provenance import CARD, OUR_LICENCE, write_card
from pipelines.training.recipe import Recipe, run_recipe
from pipelines.training.settings import Cycle, TrainingSettings, pick_training_device
from pipelines.weight_files import file_sha256
from synthgen.config.base import Section
from synthgen.config.priors import IntensityRange

_Channels = Annotated[int, Field(ge=1, le=4096)]


class AttributeFacesConfig(LabelledFaces):
    """Portraits of 128 pixels, each of an identity that no other training sees."""

    views: int = Field(
        default=3, ge=1, le=100, description="How often a portrait is learned, otherwise changed."
    )
    even: float = Field(
        default=0.6,
        ge=0,
        le=1,
        description="Share of the people whose traits are drawn evenly, each by itself, beards "
        "too [0, 1]; the others' go together as drawn people's do.",
    )


class AttributeModel(Section):
    """Size of the network."""

    channels: tuple[_Channels, _Channels, _Channels, _Channels] = Field(
        default=(24, 48, 96, 160),
        description="Channels at a half, a quarter, an eighth and a sixteenth of the side.",
    )
    narrow: _Channels = Field(
        default=32, description="Channels of each place before all places are joined."
    )
    hidden: _Channels = Field(default=256, description="Width of what all heads read.")


class AttributeEvaluation(Section):
    """Held-out portraits, unchanged and decoded, of identities that are never learned."""

    faces: int = Field(default=1000, ge=8, le=1_000_000, description="Number of faces.")
    rate: float = Field(
        default=0.3, gt=0, lt=1, description="Chance of each AU to be active (0, 1)."
    )
    intensity: IntensityRange = Field(
        default=IntensityRange(low=0.5, high=5.0), description="Range of an active AU."
    )


class AttributesConfig(TrainingSettings):
    """A training run of the attribute network; the weights are a function of it."""

    cycles: tuple[Cycle, ...] = Field(
        min_length=1,
        description="The steps; a finished training goes on when a cycle is added at the end.",
    )
    faces: AttributeFacesConfig = Field(description="Portraits to learn from.")
    decoded: DecodedPictures | None = Field(
        default=None,
        description="Share of the portraits that is learned as a VAE makes them; null: none.",
    )
    augmentation: BatchAugmentation = Field(
        default=BatchAugmentation(), description="What is done to a portrait."
    )
    model: AttributeModel = Field(default=AttributeModel(), description="Size of the network.")
    evaluation: AttributeEvaluation = Field(
        default=AttributeEvaluation(), description="What the result is measured on."
    )

    @model_validator(mode="after")
    def _at_least_two(self) -> "AttributesConfig":
        if self.batch_size // self.accumulate < 2:
            raise ValueError(
                f"batch_size {self.batch_size} over accumulate {self.accumulate} must leave at "
                "least 2 portraits in a part"
            )
        return self


FIRST_IDENTITY = 2**50
FIRST_HELD_OUT = 2**51
"""Identity seeds of the first portrait that is learned and of the first that is held out."""


class AttributePortraits(Dataset[Portraits]):
    """The portraits of a training, from index 0 on; each face is shown `views` times."""

    def __init__(self, config: AttributesConfig) -> None:
        self._config = config
        self._decoding = _decoding(config, "train")
        self._portraits = RoundCache(self._draw)

    def __getitem__(self, index: int) -> Portraits:
        return self._portraits[face_number(index, self._config.faces.views)]

    def _draw(self, number: int) -> Portraits:
        faces, seed = self._config.faces, self._config.seed
        kinds, bounds, known = faces.expressions, faces.intensity, label_aus(faces)
        aus = draw_aus(seed, "attributes/train", number, kinds, bounds, known)
        person = draw_person(seed, "train", number, faces.even, faces.edition)
        picture = render(person, aus.tolist(), size=SIZE)
        if self._decoding is not None:
            picture = self._decoding.shared(picture, number)
        return portrait(picture, person, aus, TRAITS)


def draw_person(
    seed: int, use: str, number: int, even: float, edition: Literal[1, 2] = 1
) -> Identity:
    """Draw a person.

    Args:
        seed: seed of the run.
        use: `train` or `held-out`: what the numbers count.
        number: number of the person.
        even: chance that each trait is drawn evenly and by itself [0, 1].
        edition: edition of the drawings.
    """
    first = FIRST_IDENTITY if use == "train" else FIRST_HELD_OUT
    pinned = pinned_evenly(seed, f"attributes/{use}", number, even, bearded_women=True)
    return random_identity(first + number, edition=edition, even=False, **pinned)


def _decoding(config: AttributesConfig, use: str) -> VAEPictures | None:
    if config.decoded is None:
        return None
    return VAEPictures(config.decoded, config.seed, f"attributes/{use}", config.dtype)


class AttributesLearner(Learner):
    """Learns an `AttributeNetwork`; batches are `Portraits`."""

    def __init__(self, config: AttributesConfig, device: torch.device) -> None:
        model = config.model
        with seeded(config.seed):
            network = AttributeNetwork(model.channels, model.narrow, model.hidden)
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._reader = network
        super().__init__(config, config.cycles, network, device)
        self._config = config

    def compiled(self) -> Sequence[nn.Module]:
        """Return the convolutions: the network's own call is not used."""
        return [self._reader.encoder]

    def losses(self, batch: Portraits) -> dict[str, Tensor]:
        """Return the cross-entropy of each trait, and their mean."""
        pixels = augment(batch.pixels.float() / 255, self._config.augmentation, SIDE)
        with self.autocast():
            found = self._reader.logits(pixels.contiguous(memory_format=torch.channels_last))
        losses = trait_losses(found, batch.traits)
        return {"loss": torch.stack(list(losses.values())).mean(), **losses}


_AT_ONCE = 50


def evaluate_attributes(network: AttributeNetwork, config: AttributesConfig) -> dict[str, Any]:
    """Compare what a network reads with what was drawn, traits drawn evenly.

    Returns:
        `faces`, their number; `drawn`: trait → share read rightly, and `values`: trait → value →
        the same; where the training decodes pictures, `decoded` and `decoded_values` of these.
    """
    found: dict[str, Any] = {"faces": config.evaluation.faces}
    found["drawn"], found["values"] = _measured(network, config, None)
    if decoding := _decoding(config, "held-out"):
        found["decoded"], found["decoded_values"] = _measured(network, config, decoding)
    return found


def _measured(
    network: AttributeNetwork, config: AttributesConfig, decoding: VAEPictures | None
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    asked, seed, faces = config.evaluation, config.seed, config.faces
    kinds = (ExpressionShare(share=1.0, rate=asked.rate),)

    def drawn(number: int) -> Portraits:
        known = label_aus(faces)
        aus = draw_aus(seed, "attributes/held-out", number, kinds, asked.intensity, known)
        person = draw_person(seed, "held-out", number, 1.0, faces.edition)
        picture = render(person, aus.tolist(), size=SIZE)
        picture = decoding.decoded(picture, number) if decoding else picture
        return portrait(picture, person, aus, TRAITS)

    right, classes = [], []
    with torch.inference_mode():
        for start in range(0, asked.faces, _AT_ONCE):
            numbers = range(start, min(start + _AT_ONCE, asked.faces))
            batch = Portraits(*default_collate([drawn(number) for number in numbers]))
            right.append(read_rightly(network(batch.pixels.float() / 255), batch.traits))
            classes.append(batch.traits)
    hits, shown = torch.cat(right), torch.cat(classes)
    values = {
        trait: {
            value: float(hits[shown[:, column] == place, column].mean())
            for place, value in enumerate(TRAITS[trait])
        }
        for column, trait in enumerate(TRAITS)
    }
    return rates(hits, list(TRAITS)), values


class AttributesRecipe(Recipe[AttributesConfig]):
    """The training of the attribute network, on portraits of its own."""

    name = "attributes"
    settings = AttributesConfig
    makes = "attributes.safetensors"
    what = "a plain convolutional network; reads the traits of drawn and mini faces"
    free = ("evaluation",)
    data = "procedural faces of identities that no other training sees"

    def __init__(self, config: AttributesConfig, folder: Path) -> None:
        super().__init__(config, folder)
        self.facts = {
            "renderer": renderer_version(config.faces.edition),
            **decoding_facts(config.decoded),
        }
        self.learner = AttributesLearner(config, pick_training_device(config.device))

    def batches(self, first: int, last: int) -> Iterable[Portraits]:
        """Draw the portraits of each step."""
        config = self.config
        return load_steps(
            AttributePortraits(config), config.batch_size, first, last, config.workers
        )

    def export(self, about: dict[str, Any]) -> None:
        """Write the network, and how well it reads held-out portraits."""
        weights = self.folder / self.makes
        with write_whole(weights) as partial:
            self.learner.average.save(partial, {"licence": OUR_LICENCE})
        measured = evaluate_attributes(AttributeNetwork.from_file(weights), self.config)
        file = {"file": weights.name, "sha256": file_sha256(weights), "held_out": measured}
        write_card(self.folder / CARD, {**about, **file})


def train_attributes(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train an attribute network, measure and export it, as `run_recipe` says."""
    return run_recipe(AttributesRecipe, config_path, out, stop_at, overrides)
