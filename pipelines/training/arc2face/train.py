"""Training of Arc2Face: a base learns to read people in the place of a word."""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

import copy
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from PIL.Image import Image
from torch import Tensor, nn

from pipelines.arc2face.identity import check_text
from pipelines.arc2face.weights import CARD, EMBEDDER_KEY, ENCODER, SAFE, UNET, UNET_FILES
from pipelines.diffusion.models import no_progress_bars
from pipelines.training.arc2face.config import Arc2FaceTrainingConfig
from pipelines.training.arc2face.people import (
    KeptPeople,
    PeopleLearner,
    any_faces,
)
from pipelines.training.data.augmentation import sheet_of
from pipelines.training.data.examples import examples_of
from pipelines.training.diffusion.base import FrozenBase, find_base, load_base, sheet_images
from pipelines.training.diffusion.estimate import MeasurableRecipe
from pipelines.training.diffusion.latents import LatentBatch
from pipelines.training.diffusion.loss import diffusion_loss, generated_guess, guess_of, noised
from pipelines.training.diffusion.people import LabelledPeople, people_reader, read_error
from pipelines.training.diffusion.reader import LatentReader
from pipelines.training.provenance import write_card
from pipelines.training.recipe import run_recipe
from pipelines.training.settings import cycle_at, pick_training_device
from pipelines.weight_files import file_sha256
from synthgen.action_units import ActionUnitSet

_UNET, _TEXT = "unet", "text_encoder"
_LEARNS = {"both": (_UNET, _TEXT), "unet": (_UNET,), "encoder": (_TEXT,)}


class Arc2FaceLearner(PeopleLearner):
    """Learns the UNet and the text encoder of a base, or one of them.

    Args:
        config: the training run.
        base: the base, float32, on the device; it learns.
        device: torch device.
        reader: reads embeddings from guessed latents, on the device; needed where the
            configuration has the reading loss.
    """

    def __init__(
        self,
        config: Arc2FaceTrainingConfig,
        base: FrozenBase,
        device: torch.device,
        reader: LatentReader | None = None,
    ) -> None:
        network = nn.ModuleDict({_UNET: base.unet, _TEXT: base.text_encoder})
        for name, part in network.items():
            part.requires_grad_(name in _LEARNS[config.learns])
        super().__init__(config, base, network, device)
        self._config = config
        self._reader = None if reader is None else reader.requires_grad_(False)

    def losses(self, batch: LabelledPeople) -> dict[str, Tensor]:
        """Return the diffusion loss of a batch, and what a reader makes of it.

        Some of its people are told nowhere, for guidance.
        """
        scheduler, settings = self._base.scheduler, self._config.noise
        seen = noised(batch.latents, scheduler, settings)
        (hidden,) = self.drawn_apart(batch.faces, [self._config.drop_caption])
        predicted = self.predict(seen.latents, seen.timesteps, self.texts(batch.faces, ~hidden))
        loss = diffusion_loss(predicted, seen.target, seen.timesteps, scheduler, settings)
        reading, cycle = self._config.reading, cycle_at(self._config.cycles, self.step)
        if reading is None:
            return {"loss": loss}
        guess, told = guess_of(scheduler, seen, predicted), batch.faces * ~hidden[:, None]
        read = read_error(self._reader, guess, told, batch.aus, aus_weight=0.0)
        found = {"loss": loss + reading.weight * read.total, "diffusion": loss}
        found |= read.parts("read")
        if cycle.painted:
            text = self.texts(batch.faces, torch.ones_like(hidden))
            guess = generated_guess(
                lambda noisy, timesteps: self.predict(noisy, timesteps, text),
                scheduler,
                batch.latents,
                cycle.painting_steps,
            )
            read = read_error(self._reader, guess, batch.faces, batch.aus, aus_weight=0.0)
            found |= read.parts("painted")
            found["loss"] = found["loss"] + cycle.painted * read.total
        return found

    def predict(
        self,
        noisy: Float[Tensor, "B c h w"],
        timesteps: Int[Tensor, " B"],
        text: Float[Tensor, "B tokens width"],
    ) -> Float[Tensor, "B c h w"]:
        """Return the UNet's prediction.

        Args:
            noisy: noisy latents.
            timesteps: their timesteps.
            text: what the text encoder made of people.
        """
        with self.autocast():
            return self._base.unet(noisy, timesteps, text).sample.float()


class Arc2FaceRecipe(MeasurableRecipe[Arc2FaceTrainingConfig]):
    """The training of Arc2Face from a base; files count, not their place.

    What it makes is laid out as Arc2Face is published: `arc2face/` and `encoder/`.
    """

    name = "arc2face"
    settings = Arc2FaceTrainingConfig
    makes = "arc2face"
    what = "Arc2Face: a UNet and a text encoder that reads a face embedding in the place of 'id'"
    free = ("base", "revision", "embedder", "latents", "sheet", "export")

    def __init__(self, config: Arc2FaceTrainingConfig, folder: Path) -> None:
        super().__init__(config, folder)
        self.data = config.data
        device = pick_training_device(config.device)
        self._base = base = load_base(
            find_base(config.base, config.revision), device, torch.float32, config.attention
        )
        check_text(base.tokenizer, base.text_encoder)
        examples = examples_of(config.data, config.seed)
        self._people = people = KeptPeople.open(config, folder, base, examples, device)
        self.facts = people.facts
        reader = None
        if config.reading is not None:
            reader = people_reader(
                config.reading.reader,
                folder,
                people.store,
                people.embeddings,
                people.embedder.fingerprint,
                device,
            )
        self.learner = Arc2FaceLearner(config, base, device, reader)

    @classmethod
    def base_dtype(cls, dtype: torch.dtype) -> torch.dtype:
        """Return float32: the base learns."""
        return torch.float32

    @classmethod
    def trial(
        cls,
        config: Arc2FaceTrainingConfig,
        base: FrozenBase,
        device: torch.device,
        aus: ActionUnitSet,
    ) -> Arc2FaceLearner:
        """Make a learner without a reader."""
        return Arc2FaceLearner(config, base, device)

    @classmethod
    def trial_batch(cls, batch: LatentBatch) -> LabelledPeople:
        """Return the batch with people of no embedding in particular."""
        return LabelledPeople(batch.latents, batch.aus, any_faces(len(batch.latents)))

    def batches(self, first: int, last: int) -> Iterable[LabelledPeople]:
        """Read the latents and the embeddings of each step."""
        return self._people.batches(self.config, first, last)

    def sheet(self) -> Image | None:
        """Paint held-out people below the portraits that are embedded; None: no face is found."""
        portraits, faces = self._people.held_out(self.config)
        if not faces:
            return None
        average = self.learner.average
        pipeline = self._people.pipeline(self._base, average[_UNET], average[_TEXT])
        return sheet_of([portraits, sheet_images(pipeline, self.config.sheet, faces)])

    def export(self, about: dict[str, Any]) -> None:
        """Write both models, also one that did not learn, and a card that names the embedder."""
        made, dtype = self.folder / self.makes, getattr(torch, self.config.export.dtype)
        for name, folder in ((_UNET, UNET), (_TEXT, ENCODER)):
            model: Any = copy.deepcopy(self.learner.average[name]).to("cpu", dtype)
            if name == _UNET:
                model.register_to_config(_name_or_path="")  # a place on one machine
            with no_progress_bars():
                model.save_pretrained(made / folder)
        card = {
            **about,
            EMBEDDER_KEY: self._people.embedder.fingerprint,
            "embedder_licence": self._people.embedder.licence,
            "sha256": {
                name: file_sha256(made / name)
                for name in (f"{UNET}/{UNET_FILES[1]}", f"{ENCODER}/{SAFE}")
            },
        }
        write_card(made / CARD, card)


def train_arc2face(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train Arc2Face from a base and export it, as `run_recipe` says."""
    return run_recipe(Arc2FaceRecipe, config_path, out, stop_at, overrides)
