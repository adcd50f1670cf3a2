"""Training of FineFace: AU adapter and LoRA, by the paper's recipe."""

import copy
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import nn

from pipelines.checkpoints import SAFETENSORS_SUFFIX
from pipelines.diffusion.models import no_progress_bars
from pipelines.fineface import FineFacePipeline
from pipelines.fineface.adapter import AUAdapter
from pipelines.fineface.checkpoint import write_au_adapter
from pipelines.fineface.weights import PICKLE_SUFFIX
from pipelines.training.data.augmentation import sheet_of
from pipelines.training.data.examples import ProceduralExamples, examples_of
from pipelines.training.diffusion.adapter_start import AdapterFiles
from pipelines.training.diffusion.base import (
    FrozenBase,
    encoder_sha256,
    find_base,
    load_base,
    load_vae,
    sheet_images,
    sheet_pipeline,
)
from pipelines.training.diffusion.config import (
    AdapterExport,
)
from pipelines.training.diffusion.estimate import MeasurableRecipe
from pipelines.training.diffusion.latents import (
    LatentBatch,
    open_latents,
)
from pipelines.training.diffusion.traits import ToldBatch, told_batches, trait_reader
from pipelines.training.fineface.config import FineFaceTrainingConfig
from pipelines.training.fineface.learner import (
    FineFaceLearner,
    au_readers,
    scale_lora,
)
from pipelines.training.provenance import CARD, write_card
from pipelines.training.settings import pick_training_device
from pipelines.weight_files import file_sha256
from synthgen.action_units import ActionUnitSet

COMPONENT = "au_adapter"
"""Folder of the component of diffusers, beside what is published."""


class FineFaceRecipe(MeasurableRecipe[FineFaceTrainingConfig]):
    """The training of an AU adapter beside a frozen base; the base's files count, not their place.

    What it makes is what `FineFacePipeline.load_au_adapter` reads.
    """

    name = "fineface"
    settings = FineFaceTrainingConfig
    makes = "fineface"
    what = "FineFace's AU adapter: AU encoder, AU projections, and a LoRA that is fused at scale 1"
    free = ("base", "revision", "latents", "sheet", "export", "init", "gradient_checkpointing")
    shared = True

    def __init__(self, config: FineFaceTrainingConfig, folder: Path) -> None:
        super().__init__(config, folder)
        self.data = config.data
        device, dtype = pick_training_device(config.device), getattr(torch, config.dtype)
        self._dtype = dtype if device.type == "cuda" else torch.float32
        self._base = base = load_base(
            find_base(config.base, config.revision), device, dtype, config.attention
        )
        examples = examples_of(config.data, config.seed)
        encoder = encoder_sha256(base.folder / "vae")
        self.facts = {
            "base_files": base.checksums(),
            "vae_encoder_sha256": encoder,
            **({} if config.init is None else AdapterFiles.find(config.init).facts()),
            **examples.fingerprint,
        }
        vae = load_vae(base.folder / "vae", device)
        self._store = open_latents(config, folder, examples, vae, base.tokenizer, encoder)
        reading = config.reading
        readers, traits = [], None
        if reading is not None:
            readers = au_readers(reading.reader, reading.readers, self._store, device)
            if reading.traits and isinstance(examples, ProceduralExamples):
                traits = trait_reader(reading.reader, self._store, examples, device)
        learner = FineFaceLearner(config, base, device, readers, examples.action_units, traits)
        self.learner, self.start = learner, learner.start

    @classmethod
    def trial(
        cls,
        config: FineFaceTrainingConfig,
        base: FrozenBase,
        device: torch.device,
        aus: ActionUnitSet,
    ) -> FineFaceLearner:
        """Make a learner without a reader."""
        return FineFaceLearner(config, base, device, aus=aus)

    def batches(self, first: int, last: int) -> Iterable[LatentBatch | ToldBatch]:
        """Read the latents of each step."""
        reading = self.config.reading
        if reading is not None and reading.traits:
            return told_batches(self._store, first, last, untold=True)
        return self._store.batches(first, last)

    def sheet(self) -> Image:
        """Generate each expression for each prompt, through the files that the adapter will be."""
        sheet = self.config.sheet
        pipeline = sheet_pipeline(FineFacePipeline, self._base.folder, self._dtype)
        with no_progress_bars(), tempfile.TemporaryDirectory() as folder:
            alpha = self.config.lora_alpha
            write_au_adapter(self.learner.average, Path(folder), "", SAFETENSORS_SUFFIX, alpha)
            pipeline.load_au_adapter(folder)
        pipeline.to(self.learner.device)
        return sheet_of(
            [sheet_images(pipeline, sheet, sheet.prompts, one) for one in sheet.expressions]
        )

    def export(self, about: dict[str, Any]) -> None:
        """Write the adapter as published, with a card, and as a component of diffusers."""
        config = self.config
        export_adapter(self.learner.average, self.folder, config.export, about, config.lora_alpha)


def export_adapter(
    adapter: AUAdapter,
    folder: Path,
    export: AdapterExport,
    about: dict[str, Any],
    lora_alpha: float | None = None,
) -> Path:
    """Write an adapter as published, as a component of diffusers, and a card beside the first.

    Args:
        adapter: the trained adapter.
        folder: folder of the training; gets `fineface` and `au_adapter`.
        export: number format, and whether pickles are written too.
        about: what the card says besides the checksums.
        lora_alpha: alpha of the LoRA; the component, which has no place for it, has it taken in.

    Returns:
        The folder that `load_au_adapter` reads.
    """
    written = copy.deepcopy(adapter)
    nn.Module.to(written, device="cpu", dtype=getattr(torch, export.dtype))
    published = folder / FineFaceRecipe.makes
    write_au_adapter(written, published, "", SAFETENSORS_SUFFIX, lora_alpha)
    if export.also == "ckpt":
        write_au_adapter(written, published, "", PICKLE_SUFFIX, lora_alpha)
    if lora_alpha is not None:
        scale_lora(written, lora_alpha / written.config["lora_rank"])
    written.save_pretrained(folder / COMPONENT)
    files = sorted(published.glob(f"*{SAFETENSORS_SUFFIX}"))
    sums = {path.name: file_sha256(path) for path in files}
    write_card(published / CARD, {**about, "sha256": sums})
    return published
