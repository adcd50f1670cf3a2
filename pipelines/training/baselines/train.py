"""Trainings of the baselines, each by a recipe: LoRA-T, LoRA-AU, DreamBooth."""

import copy
import tempfile
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from PIL.Image import Image

from pipelines.baselines.pipeline import BaselinePipeline
from pipelines.baselines.weights import ABOUT_FILE, LORA_FILE, UNET, Method, Trained, au_file
from pipelines.diffusion.models import no_progress_bars
from pipelines.training.baselines.config import (
    BaselineSettings,
    DreamBoothConfig,
    LoraAUConfig,
    LoraTextConfig,
)
from pipelines.training.baselines.examples import ClassImages, ShownExamples, ToldExamples
from pipelines.training.baselines.learner import (
    TEXT_ADAPTER,
    BaselineLearner,
    DreamBoothBatch,
    DreamBoothLearner,
    LoraAULearner,
    LoraTextLearner,
)
from pipelines.training.baselines.lora import write_lora
from pipelines.training.data.augmentation import sheet_of
from pipelines.training.data.examples import Examples, examples_of
from pipelines.training.diffusion.base import (
    FrozenBase,
    encoder_sha256,
    find_base,
    load_base,
    load_vae,
    sheet_images,
    sheet_pipeline,
)
from pipelines.training.diffusion.estimate import MeasurableRecipe
from pipelines.training.diffusion.latents import LatentBatch, open_latents
from pipelines.training.files import write_text_whole
from pipelines.training.provenance import CARD, write_card
from pipelines.training.settings import pick_training_device
from pipelines.weight_files import file_sha256
from synthgen.action_units import ActionUnitSet

Settings = TypeVar("Settings", bound=BaselineSettings)

_FREE = ("base", "revision", "latents", "sheet", "export", "gradient_checkpointing")


class BaselineRecipe(MeasurableRecipe[Settings]):
    """The training of a baseline beside a base, whose files count, and not their place.

    What it makes is what `BaselinePipeline.load_trained` reads.

    Attributes:
        method: how it is told AUs.
    """

    name = "fineface"
    free = _FREE
    shared = True

    method: ClassVar[Method]

    def __init__(self, config: Settings, folder: Path) -> None:
        super().__init__(config, folder)
        self.data = config.data
        device, dtype = pick_training_device(config.device), getattr(torch, config.dtype)
        self._dtype = dtype if device.type == "cuda" else torch.float32
        place = find_base(config.base, config.revision)
        self._base = base = load_base(place, device, self.base_dtype(dtype), config.attention)
        examples = self.told(examples_of(config.data, config.seed))
        encoder = encoder_sha256(base.folder / "vae")
        self.facts = {
            "base_files": base.checksums(),
            "vae_encoder_sha256": encoder,
            **examples.fingerprint,
        }
        vae = load_vae(base.folder / "vae", device)
        self._store = open_latents(config, folder, examples, vae, base.tokenizer, encoder)
        self._aus = examples.action_units
        self.prepare(base, device)
        self.learner = self.trial(config, base, device, examples.action_units)

    @classmethod
    @abstractmethod
    def trial(
        cls, config: Settings, base: FrozenBase, device: torch.device, aus: ActionUnitSet
    ) -> BaselineLearner:
        """Make the learner, to train or to be measured."""

    def prepare(self, base: FrozenBase, device: torch.device) -> None:
        """Make what the method needs of the base before it learns: nothing."""

    def told(self, examples: Examples) -> Examples:
        """Return the examples with captions as the method has them."""
        return ToldExamples(examples)

    @abstractmethod
    def write_weights(self, folder: Path, dtype: torch.dtype) -> None:
        """Write the averaged weights.

        Args:
            folder: where they go.
            dtype: number format of the files.
        """

    def batches(self, first: int, last: int) -> Iterable[Any]:
        """Read the latents of each step."""
        return self._store.batches(first, last)

    def sheet(self) -> Image:
        """Generate each expression for each prompt, through the files that will be written."""
        sheet = self.config.sheet
        pipeline = sheet_pipeline(BaselinePipeline, self._base.folder, self._dtype)
        with no_progress_bars(), tempfile.TemporaryDirectory() as folder:
            self._write(Path(folder), torch.float32)
            pipeline.load_trained(folder)
        pipeline.to(self.learner.device)
        return sheet_of(
            [sheet_images(pipeline, sheet, sheet.prompts, one) for one in sheet.expressions]
        )

    def export(self, about: dict[str, Any]) -> None:
        """Write the weights, with a card."""
        folder = self.folder / self.makes
        self._write(folder, getattr(torch, self.config.export.dtype))
        files = sorted(path for path in folder.rglob("*") if path.suffix == ".safetensors")
        sums = {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}
        write_card(folder / CARD, {**about, "sha256": sums})

    def _write(self, folder: Path, dtype: torch.dtype) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.write_weights(folder, dtype)
        write_text_whole(folder / ABOUT_FILE, Trained(self.method, self._aus).text())


class LoraTextRecipe(BaselineRecipe[LoraTextConfig]):
    """The training of LoRA-T."""

    settings = LoraTextConfig
    makes = method = "lora-t"
    what = "LoRA-T: a LoRA beside Stable Diffusion that is told AUs in words"

    @classmethod
    def trial(
        cls, config: LoraTextConfig, base: FrozenBase, device: torch.device, aus: ActionUnitSet
    ) -> LoraTextLearner:
        """Make the learner of the LoRA."""
        return LoraTextLearner(config, base, device)

    def write_weights(self, folder: Path, dtype: torch.dtype) -> None:
        """Write the LoRA."""
        path = folder / LORA_FILE
        write_lora(self.learner.average, TEXT_ADAPTER, path, self.config, dtype)


class LoraAURecipe(BaselineRecipe[LoraAUConfig]):
    """The training of LoRA-AU; captions tell nothing of the expression."""

    settings = LoraAUConfig
    makes = method = "lora-au"
    what = "LoRA-AU: a LoRA for each AU, whose weight is the AU's intensity as a share of 5"

    def __init__(self, config: LoraAUConfig, folder: Path) -> None:
        super().__init__(config, folder)
        self._shown = ShownExamples(self._store, config.shown_from, config.batch_size, config.seed)

    def told(self, examples: Examples) -> Examples:
        """Return the examples as they are."""
        return examples

    def batches(self, first: int, last: int) -> Iterator[LatentBatch]:
        """Read the latents of each step, of faces that show the AU whose turn it is."""
        return self._shown.batches(first, last)

    @classmethod
    def trial(
        cls, config: LoraAUConfig, base: FrozenBase, device: torch.device, aus: ActionUnitSet
    ) -> LoraAULearner:
        """Make the learner of all LoRAs."""
        return LoraAULearner(config, base, device, aus)

    def write_weights(self, folder: Path, dtype: torch.dtype) -> None:
        """Write a LoRA for each AU."""
        for name in self._aus.names:
            path = folder / au_file(name)
            write_lora(self.learner.average, name, path, self.config, dtype)


class DreamBoothRecipe(BaselineRecipe[DreamBoothConfig]):
    """The training of DreamBooth; the images of the unedited base come first."""

    settings = DreamBoothConfig
    makes = method = "dreambooth"
    what = "DreamBooth: the UNet of Stable Diffusion that is told AUs in words"

    @classmethod
    def base_dtype(cls, dtype: torch.dtype) -> torch.dtype:
        """Return float32: the UNet learns."""
        return torch.float32

    @classmethod
    def trial(
        cls, config: DreamBoothConfig, base: FrozenBase, device: torch.device, aus: ActionUnitSet
    ) -> DreamBoothLearner:
        """Make the learner of the base's UNet."""
        return DreamBoothLearner(config, base, device)

    @classmethod
    def trial_batch(cls, batch: LatentBatch) -> DreamBoothBatch:
        """Return the batch, and itself once more in the place of the base's images."""
        return DreamBoothBatch(*batch, batch.latents, batch.input_ids)

    @classmethod
    def uncounted(cls, config: DreamBoothConfig) -> list[str]:
        """Return a line about the images of the base."""
        prior = config.prior
        return [
            f"the base's {prior.images:,} images of {prior.num_inference_steps} steps, which are "
            "painted first, are not counted"
        ]

    def prepare(self, base: FrozenBase, device: torch.device) -> None:
        """Let the base paint the images that the model is held to."""
        config = self.config
        prior = self.folder / "prior"
        self._class = ClassImages(prior, config.prior, base, config.seed, config.batch_size, device)

    def batches(self, first: int, last: int) -> Iterator[DreamBoothBatch]:
        """Read the latents of each step, and as many of the base's images."""
        own, prior = self._store.batches(first, last), self._class.batches(first, last)
        for batch, painted in zip(own, prior, strict=True):
            yield DreamBoothBatch(*batch, *painted)

    def write_weights(self, folder: Path, dtype: torch.dtype) -> None:
        """Write the UNet."""
        unet: Any = copy.deepcopy(self.learner.average).to("cpu", dtype)
        unet.register_to_config(_name_or_path="")  # a place on one machine
        with no_progress_bars():
            unet.save_pretrained(folder / UNET)
