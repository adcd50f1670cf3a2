"""Training of the Expression Adapter: an IP-Adapter of 55 numbers beside Arc2Face."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int
from PIL.Image import Image
from torch import Tensor
from torch.nn import functional

from pipelines.arc2face.weights import CARD, EXPRESSION_FILE
from pipelines.checkpoints import SAFETENSORS_SUFFIX
from pipelines.diffusion.ip_adapter import write_parts
from pipelines.training.arc2face.config import ExpressionTrainingConfig
from pipelines.training.arc2face.frozen import (
    flame_numbers,
    load_arc2face,
    sheet_numbers,
)
from pipelines.training.arc2face.people import (
    KeptPeople,
    PeopleLearner,
    any_faces,
)
from pipelines.training.data.augmentation import sheet_of
from pipelines.training.data.examples import ProceduralExamples
from pipelines.training.diffusion.base import FrozenBase, sheet_images
from pipelines.training.diffusion.config import ReaderConfig
from pipelines.training.diffusion.estimate import MeasurableRecipe
from pipelines.training.diffusion.ip_adapter import VectorAdapter
from pipelines.training.diffusion.latents import LatentBatch, LatentStore
from pipelines.training.diffusion.loss import (
    Guess,
    diffusion_loss,
    generated_guess,
    guess_of,
    noised,
)
from pipelines.training.diffusion.reader import (
    LatentReader,
    ReaderLearner,
    read_guess,
    trained_reader,
)
from pipelines.training.files import write_whole
from pipelines.training.provenance import training_fingerprint, write_card
from pipelines.training.recipe import run_recipe
from pipelines.training.settings import cycle_at, pick_training_device
from pipelines.weight_files import file_sha256
from samplers.flame.drawn import EXTRACTOR
from samplers.flame.expression import FLAME_WIDTH
from synthgen.action_units import ActionUnitSet

FILE = str(Path(EXPRESSION_FILE).with_suffix(SAFETENSORS_SUFFIX))
"""Name of the file that is made: the published one's, but for its end."""


class ExpressionBatch(NamedTuple):
    """Examples as Arc2Face with an expression adapter sees them.

    Attributes:
        latents: scaled, float32 [B, c, h, w].
        faces: L2-normalised embeddings, float32 [B, 512]; zeros where no face was found.
        numbers: FLAME numbers of the expressions, float32 [B, 55].
    """

    latents: Float[Tensor, "B c h w"]
    faces: Float[Tensor, "B 512"]
    numbers: Float[Tensor, "B 55"]


class LabelledExpressions(NamedTuple):
    """Examples as what reads expressions from latents sees them.

    Attributes:
        latents: scaled, float32 [B, c, h, w].
        numbers: FLAME numbers of the expressions, float32 [B, 55].
    """

    latents: Float[Tensor, "B c h w"]
    numbers: Float[Tensor, "B 55"]


class ExpressionReaderLearner(ReaderLearner):
    """Learns to read the 55 numbers of an expression."""

    def errors(self, read: Float[Tensor, "B 55"], batch: LabelledExpressions) -> dict[str, Tensor]:
        """Return Huber's loss of what was read."""
        return {"loss": functional.smooth_l1_loss(read, batch.numbers)}


def expression_reader(
    config: ReaderConfig,
    store: LatentStore,
    numbers: Float32[np.ndarray, "examples 55"],
    device: torch.device,
) -> LatentReader:
    """Return a reader of expressions in a store's latents; goes on by itself, and is kept there.

    Args:
        config: how it is learned.
        store: the latents.
        numbers: the expressions that they show.
        device: torch device.

    Raises:
        OutputError: if the store holds a reader of another configuration.
        TrainingError: if the loss is not finite.
    """

    def batches(first: int, last: int) -> Iterator[LabelledExpressions]:
        for latents, _, rows in store.labelled(first, last, config.batch_size, config.seed):
            yield LabelledExpressions(latents, torch.from_numpy(numbers[rows.numpy()]))

    return trained_reader(
        ExpressionReaderLearner(config, store.shape, device, FLAME_WIDTH),
        Path(store.folder) / "expressions",
        training_fingerprint(config, latents=store.made_of),
        batches,
    )


def expression_error(
    reader: LatentReader | None,
    guess: Guess,
    numbers: Float[Tensor, "B 55"],
    shown: Bool[Tensor, " B"],
) -> Tensor:
    """Return the squared error of numbers read from a guess, their sum, as a mean over the batch.

    Args:
        reader: the trained reader.
        guess: clean latents as the model guesses them; each counts by the signal that was seen.
        numbers: those asked for.
        shown: rows that were asked for one; the others have no error.
    """
    errors = (read_guess(reader, guess) - numbers).square().sum(1)
    return (errors * guess.signal * shown).mean()


class ExpressionLearner(PeopleLearner):
    """Learns a `VectorAdapter` of expressions; Arc2Face stays what it is.

    Args:
        config: the training run.
        base: Arc2Face, on the device; its cross-attention then computes with the adapter.
        device: torch device.
        reader: reads expressions from guessed latents, on the device; needed where the
            configuration has the reading loss.
    """

    def __init__(
        self,
        config: ExpressionTrainingConfig,
        base: FrozenBase,
        device: torch.device,
        reader: LatentReader | None = None,
    ) -> None:
        network = VectorAdapter(
            base.unet, FLAME_WIDTH, config.inner, config.tokens, config.attention, config.seed
        )
        network.install(base.unet)
        super().__init__(config, base, network, device)
        self._config = config
        self._reader = None if reader is None else reader.requires_grad_(False)

    def losses(self, batch: ExpressionBatch) -> dict[str, Tensor]:
        """Return the diffusion loss of a batch, and what a reader makes of it.

        Some expressions are zeros, and some people told nowhere, for guidance.
        """
        config, scheduler = self._config, self._base.scheduler
        seen = noised(batch.latents, scheduler, config.noise)
        shares = [config.drop_expression, config.drop_caption, config.drop_both]
        still, nobody, neither = self.drawn_apart(batch.faces, shares)
        shown = ~(still | neither)
        text = self.frozen_texts(batch.faces, ~(nobody | neither))
        numbers = batch.numbers * shown[:, None]
        predicted = self.predict(seen.latents, seen.timesteps, text, numbers)
        loss = diffusion_loss(predicted, seen.target, seen.timesteps, scheduler, config.noise)
        reading, cycle = config.reading, cycle_at(config.cycles, self.step)
        if reading is None:
            return {"loss": loss}
        guess = guess_of(scheduler, seen, predicted)
        read = expression_error(self._reader, guess, batch.numbers, shown)
        found = {"loss": loss + reading.weight * read, "diffusion": loss, "read": read}
        if cycle.painted:
            everybody = torch.ones_like(shown)
            text = self.frozen_texts(batch.faces, everybody)
            guess = generated_guess(
                lambda noisy, timesteps: self.predict(noisy, timesteps, text, batch.numbers),
                scheduler,
                batch.latents,
                cycle.painting_steps,
            )
            painted = expression_error(self._reader, guess, batch.numbers, everybody)
            found |= {"painted": painted, "loss": found["loss"] + cycle.painted * painted}
        return found

    def predict(
        self,
        noisy: Float[Tensor, "B c h w"],
        timesteps: Int[Tensor, " B"],
        text: Float[Tensor, "B tokens width"],
        numbers: Float[Tensor, "B 55"],
    ) -> Float[Tensor, "B c h w"]:
        """Return the prediction of Arc2Face with the adapter that learns.

        Args:
            noisy: noisy latents.
            timesteps: their timesteps.
            text: what the text encoder made of people.
            numbers: FLAME numbers; zeros for no expression.
        """
        unet = self._base.unet
        first = unet.conv_in.weight.dtype  # the UNet's own: the adapter in it has another
        with self.autocast():
            told = (text, [self.network(numbers)])
            return unet(noisy.to(first), timesteps, told).sample.float()


class ExpressionRecipe(MeasurableRecipe[ExpressionTrainingConfig]):
    """The training of an expression adapter beside Arc2Face; files count, not their place.

    What it makes is what `Arc2FacePipeline.load_expression_adapter` reads.
    """

    name = "expression"
    settings = ExpressionTrainingConfig
    makes = "expression"
    what = "Arc2Face's Expression Adapter: tokens of 55 numbers of an expression, K_img and V_img"
    free = (
        "base", "revision", "arc2face", "arc2face_revision", "embedder", "latents", "sheet",
        "export",
    )  # fmt: skip

    def __init__(self, config: ExpressionTrainingConfig, folder: Path) -> None:
        super().__init__(config, folder)
        self.data = config.data
        device, dtype = pick_training_device(config.device), getattr(torch, config.dtype)
        self._base = base = load_arc2face(config, device, dtype)
        examples = ProceduralExamples(config.data, config.seed)
        self._people = people = KeptPeople.open(config, folder, base, examples, device)
        self.facts = {**people.facts, "numbers": EXTRACTOR}
        self._numbers = flame_numbers(examples, people.store.count)
        reader = None
        if config.reading is not None:
            reader = expression_reader(config.reading.reader, people.store, self._numbers, device)
        self.learner = ExpressionLearner(config, base, device, reader)

    @classmethod
    def trial(
        cls,
        config: ExpressionTrainingConfig,
        base: FrozenBase,
        device: torch.device,
        aus: ActionUnitSet,
    ) -> ExpressionLearner:
        """Make a learner without a reader beside the base, which is as large as Arc2Face."""
        return ExpressionLearner(config, base, device)

    @classmethod
    def trial_batch(cls, batch: LatentBatch) -> ExpressionBatch:
        """Return the batch with people and expressions of no kind in particular."""
        rows = len(batch.latents)
        return ExpressionBatch(batch.latents, any_faces(rows), torch.ones(rows, FLAME_WIDTH))

    def batches(self, first: int, last: int) -> Iterable[ExpressionBatch]:
        """Read the latents, the embeddings and the expressions of each step."""
        people, config = self._people, self.config
        for latents, _, rows in people.store.labelled(first, last, config.batch_size, config.seed):
            places = rows.numpy()
            yield ExpressionBatch(
                latents,
                torch.from_numpy(people.embeddings[places]),
                torch.from_numpy(self._numbers[places]),
            )

    def sheet(self) -> Image:
        """Paint each expression of held-out people, through the file that the adapter will be."""
        portraits, faces = self._people.held_out(self.config)
        pipeline = self._base.pipeline()
        with tempfile.TemporaryDirectory() as folder:
            write_parts(Path(folder) / FILE, self.learner.average.tensors(torch.float32))
            pipeline.load_expression_adapter(folder)
        pipeline.to(self.learner.device)
        sheet = self.config.sheet
        painted = [sheet_images(pipeline, sheet, faces, one) for one in sheet_numbers(sheet)]
        return sheet_of([portraits, *painted])

    def export(self, about: dict[str, Any]) -> None:
        """Write the adapter as IP-Adapters are, and a card."""
        made = self.folder / self.makes
        made.mkdir(exist_ok=True)
        with write_whole(made / FILE) as partial:
            tensors = self.learner.average.tensors(getattr(torch, self.config.export.dtype))
            write_parts(partial, tensors)
        write_card(made / CARD, {**about, "sha256": {FILE: file_sha256(made / FILE)}})


def train_expression(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train an expression adapter beside Arc2Face and export it, as `run_recipe` says."""
    return run_recipe(ExpressionRecipe, config_path, out, stop_at, overrides)
