"""Training of the second AU judge.

Identity seeds begin where neither the AU network nor a generator of faces, nor their held-out
faces, ever come.

Its weights are not shipped: whoever evaluates trains a judge that nothing else was chosen by.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from pipelines.evaluation.judge_network import (
    INPUT_SIDE,
    JUDGED_TRAITS,
    JudgeNetwork,
    load_judge,
    save_judge,
)
from pipelines.evaluation.statistics import agreement
from pipelines.procedural import Identity, render, renderer_version
from pipelines.training.data.augmentation import augment, middle
from pipelines.training.data.config import BatchAugmentation, ExpressionShare, LabelledFaces
from pipelines.training.data.drawing import (
    RoundCache,
    draw_aus,
    draw_person,
    face_number,
    label_aus,
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
from pipelines.training.learner import Learner, seeded
from pipelines.training.provenance import CARD, write_card
from pipelines.training.recipe import Recipe, run_recipe
from pipelines.training.settings import Cycle, TrainingSettings, pick_training_device
from pipelines.weight_files import file_sha256
from synthgen.config.base import Section
from synthgen.config.priors import IntensityRange

_Channels = Annotated[int, Field(ge=1, le=4096)]


class JudgeFacesConfig(LabelledFaces):
    """Portraits of 128 pixels, each of an identity that no other training sees."""

    views: int = Field(
        default=3,
        ge=1,
        le=100,
        description="How often a face is learned, each time with other changes; drawing takes "
        "about as long as learning.",
    )


class JudgeModel(Section):
    """Size of the network."""

    channels: tuple[_Channels, _Channels, _Channels, _Channels] = Field(
        default=(24, 48, 96, 160),
        description="Channels at a half, a quarter, an eighth and a sixteenth of the side.",
    )
    narrow: _Channels = Field(
        default=32, description="Channels of each place before all places are joined."
    )
    hidden: _Channels = Field(default=256, description="Width of what all heads read.")


class JudgeEvaluation(Section):
    """Held-out portraits, unchanged, of identities that are never learned."""

    faces: int = Field(default=1000, ge=8, le=1_000_000, description="Number of faces.")
    rate: float = Field(
        default=0.3, gt=0, lt=1, description="Chance of each AU to be active (0, 1)."
    )
    intensity: IntensityRange = Field(
        default=IntensityRange(low=0.5, high=5.0), description="Range of an active AU."
    )


class JudgeConfig(TrainingSettings):
    """A training run of the second judge; the weights are a function of it."""

    cycles: tuple[Cycle, ...] = Field(
        min_length=1,
        description="The steps; a finished training goes on when a cycle is added at the end.",
    )
    faces: JudgeFacesConfig = Field(description="Portraits to learn from.")
    augmentation: BatchAugmentation = Field(
        default=BatchAugmentation(), description="What is done to a portrait."
    )
    model: JudgeModel = Field(default=JudgeModel(), description="Size of the network.")
    trait_weight: float = Field(
        default=0.2, ge=0, description="Weight of the traits' cross-entropies in the loss."
    )
    evaluation: JudgeEvaluation = Field(
        default=JudgeEvaluation(), description="What the result is measured on."
    )

    @model_validator(mode="after")
    def _whole_parts(self) -> "JudgeConfig":
        if self.batch_size % self.accumulate or self.batch_size // self.accumulate < 2:
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of accumulate "
                f"{self.accumulate}, with at least 2 portraits in a part"
            )
        return self


FIRST_IDENTITY = 2**44
FIRST_HELD_OUT = 2**45
"""Identity seeds of the first portrait that is learned and of the first that is held out."""


class JudgePortraits(Dataset[Portraits]):
    """The portraits of a training, from index 0 on; each face is shown `views` times."""

    def __init__(self, config: JudgeConfig) -> None:
        self._config = config
        self._portraits = RoundCache(self._draw)

    def __len__(self) -> int:
        return self._config.batch_size * sum(cycle.steps for cycle in self._config.cycles)

    def __getitem__(self, index: int) -> Portraits:
        return self._portraits[face_number(index, self._config.faces.views)]

    def _draw(self, number: int) -> Portraits:
        faces, seed = self._config.faces, self._config.seed
        kinds, bounds, known = faces.expressions, faces.intensity, label_aus(faces)
        aus = draw_aus(seed, "judge/train", number, kinds, bounds, known)
        person = draw_person(faces, seed, "judge/train", number, FIRST_IDENTITY + number)
        return draw_portrait(person, aus)


class HeldOutPortraits(Dataset[Portraits]):
    """Portraits of identities that are never learned."""

    def __init__(self, config: JudgeConfig) -> None:
        self._config = config

    def __len__(self) -> int:
        return self._config.evaluation.faces

    def __getitem__(self, index: int) -> Portraits:
        asked, faces, seed = self._config.evaluation, self._config.faces, self._config.seed
        kinds = (ExpressionShare(share=1.0, rate=asked.rate),)
        stage, known = "judge/held-out", label_aus(faces)
        aus = draw_aus(seed, stage, index, kinds, asked.intensity, known)
        return draw_portrait(draw_person(faces, seed, stage, index, FIRST_HELD_OUT + index), aus)


def draw_portrait(identity: Identity, aus: Float[np.ndarray, " aus"]) -> Portraits:
    """Draw one portrait."""
    return portrait(render(identity, aus.tolist(), size=SIZE), identity, aus, JUDGED_TRAITS)


_QUADRATIC_BELOW = 1.0


class JudgeLearner(Learner):
    """Learns a `JudgeNetwork`; batches are `Portraits`."""

    def __init__(self, config: JudgeConfig, device: torch.device) -> None:
        model = config.model
        with seeded(config.seed):
            known = label_aus(config.faces)
            network = JudgeNetwork(model.channels, model.narrow, model.hidden, known)
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        super().__init__(config, config.cycles, network, device)
        self._config = config

    def losses(self, batch: Portraits) -> dict[str, Tensor]:
        """Return the losses of a batch: Huber's for AUs, cross-entropies for traits."""
        pixels = augment(batch.pixels.float() / 255, self._config.augmentation, INPUT_SIDE)
        with self.autocast():
            found = self.network(pixels.contiguous(memory_format=torch.channels_last))
        errors = {"aus": functional.smooth_l1_loss(found.aus, batch.aus, beta=_QUADRATIC_BELOW)}
        errors |= trait_losses(found.traits, batch.traits)
        traits = torch.stack([errors[trait] for trait in JUDGED_TRAITS]).sum()
        return {"loss": errors["aus"] + self._config.trait_weight * traits, **errors}


_AT_ONCE = 50


def evaluate_judge(network: JudgeNetwork, portraits: HeldOutPortraits) -> dict[str, object]:
    """Compare what a judge reads with what was drawn.

    Returns:
        `aus`: AU → its agreement; `traits`: trait → share of portraits read rightly.
    """
    drawn, read, right = [], [], []
    with torch.inference_mode():
        for batch in DataLoader(portraits, _AT_ONCE):
            found = network(middle(batch.pixels.float() / 255, INPUT_SIDE))
            drawn.append(batch.aus)
            read.append(found.aus)
            right.append(read_rightly(found.traits, batch.traits))
    aus = agreement(torch.cat(drawn).numpy(), torch.cat(read).numpy(), network.action_units)
    return {
        "aus": {name: dataclasses.asdict(value) for name, value in aus.items()},
        "traits": rates(torch.cat(right), JUDGED_TRAITS),
    }


class JudgeRecipe(Recipe[JudgeConfig]):
    """The training of the second judge, on portraits of its own."""

    name = "judge"
    settings = JudgeConfig
    makes = "judge.safetensors"
    what = "a plain convolutional network; reads AUs and traits of drawn and mini faces"
    free = ("evaluation",)
    data = "procedural faces of identities that no other training sees"

    def __init__(self, config: JudgeConfig, folder: Path) -> None:
        super().__init__(config, folder)
        self.learner = JudgeLearner(config, pick_training_device(config.device))
        self.facts = {"renderer": renderer_version(config.faces.edition)}

    def batches(self, first: int, last: int) -> Iterable[Portraits]:
        """Draw the portraits of each step."""
        config = self.config
        return load_steps(JudgePortraits(config), config.batch_size, first, last, config.workers)

    def export(self, about: dict[str, Any]) -> None:
        """Write the network, and how well it reads held-out portraits."""
        weights = self.folder / self.makes
        save_judge(self.learner.average, weights)
        measured = evaluate_judge(load_judge(weights), HeldOutPortraits(self.config))
        file = {"file": weights.name, "sha256": file_sha256(weights), "held_out": measured}
        write_card(self.folder / CARD, {**about, **file})


def train_judge(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train a judge, measure it on held-out portraits, and export it, as `run_recipe` says."""
    return run_recipe(JudgeRecipe, config_path, out, stop_at, overrides)
