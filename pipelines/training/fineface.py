"""Training of FineFace: AU adapter and LoRA, by the paper's recipe."""

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from diffusers import DPMSolverMultistepScheduler
from jaxtyping import Float, Int
from PIL.Image import Image
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn
from torch.nn import functional

from pipelines.checkpoints import SAFETENSORS_SUFFIX
from pipelines.fineface import FineFacePipeline
from pipelines.fineface.adapter import AUAdapter, EncoderKind
from pipelines.fineface.branch import au_branch, unfused_lora
from pipelines.fineface.checkpoint import write_au_adapter
from pipelines.fineface.models import no_progress_bars
from pipelines.fineface.weights import PICKLE_SUFFIX
from pipelines.training.data.augmentation import sheet_of
from pipelines.training.data.config import DataConfig, DatasetData
from pipelines.training.data.examples import examples_of
from pipelines.training.diffusion.base import (
    FrozenBase,
    encoder_sha256,
    find_base,
    load_base,
    load_vae,
)
from pipelines.training.diffusion.config import (
    AdapterCycle,
    AdapterExport,
    AdapterSheet,
    DiffusionSettings,
    ReaderConfig,
    ReadingConfig,
    SheetExpressions,
    check_painted,
)
from pipelines.training.diffusion.latents import (
    LabelledLatents,
    LatentBatch,
    LatentStore,
    open_latents,
)
from pipelines.training.diffusion.loss import Guess, diffusion_loss, guess_of, noised, painted_guess
from pipelines.training.diffusion.reader import (
    LatentReader,
    ReaderLearner,
    au_error,
    read_guess,
    trained_reader,
)
from pipelines.training.learner import Learner
from pipelines.training.provenance import about_training, what_counts, write_card
from pipelines.training.session import Session, training_folder
from pipelines.training.settings import cycle_at, pick_training_device
from pipelines.weight_files import file_sha256
from synthgen.action_units import AU_COUNT, MAX_INTENSITY, MIN_INTENSITY
from synthgen.config.base import Section
from synthgen.config.loading import load_section


class Smoothing(Section):
    """Disturbance of labels, so that the adapter learns intensities between those it sees."""

    variance: float = Field(
        default=0.2,
        ge=0,
        le=25,
        description="Variance of the gaussian that is added to each AU [intensity²], before all "
        "are clipped to [0, 5]; 0: none.",
    )
    rounding: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="Chance of a sample that all its AUs are rounded to whole numbers.",
    )


class FineFaceSheet(AdapterSheet):
    """Sample sheets: a column for each prompt, a row for each expression."""

    prompts: tuple[str, ...] = Field(
        default=(
            "a portrait of a young woman with brown hair and light skin",
            "a portrait of an old man with gray hair and pale skin",
            "a closeup of a middle-aged man with black hair and dark skin",
            "a photo of a middle-aged woman with red hair wearing glasses",
        ),
        min_length=1,
        max_length=16,
        description="What is painted.",
    )
    expressions: SheetExpressions = Field(
        default=(
            {},
            {"AU1": 4, "AU2": 4},
            {"AU4": 4},
            {"AU9": 4},
            {"AU6": 4, "AU12": 4},
            {"AU15": 4, "AU17": 4},
            {"AU20": 4, "AU25": 3},
            {"AU5": 4, "AU25": 4, "AU26": 4},
        ),
        description="AU intensities that are asked for.",
    )


class FineFaceTrainingConfig(DiffusionSettings):
    """A training run of the AU adapter (FineFace, arXiv 2407.20175); defaults are the paper's.

    No AUs are dropped: AUs of 0 ask for a neutral face, and an expressive face under them would
    teach that they may mean anything. The neutral faces of the data serve guidance.
    """

    cycles: tuple[AdapterCycle, ...] = Field(
        min_length=1,
        description="The steps; a finished training goes on when a cycle is added at the end.",
    )
    base: str = Field(description="Stable Diffusion base: folder, Hub id, or mini.")
    revision: str | None = Field(default=None, description="Revision of the base on the Hub.")
    encoder: EncoderKind = Field(
        default="res_mlp64", description="AU encoder (Table 2); res_mlp64 is the published one."
    )
    rank: int = Field(
        default=32, ge=1, le=1024, description="Rank of the LoRA, and its alpha: the scale is 1."
    )
    smoothing: Smoothing = Field(default=Smoothing(), description="Disturbance of the labels.")
    drop_caption: float = Field(
        default=0.0, ge=0, le=1, description="Share of empty captions; the paper drops none."
    )
    reading: ReadingConfig | None = Field(
        default=None,
        description="A second loss, of AUs that a small network reads from guessed latents: AUs "
        "are learned from fewer examples; null: the diffusion loss alone, as in the paper.",
    )
    compile: Annotated[bool, Field(description="Not offered by this training: false.")] = False
    sheet: FineFaceSheet = Field(default=FineFaceSheet(), description="Sample sheets.")
    export: AdapterExport = Field(default=AdapterExport(), description="What is written.")

    @field_validator("compile")
    @classmethod
    def _uncompiled(cls, value: bool) -> bool:
        if value:
            raise ValueError(
                "the FineFace training does not compile, since each step brings AU vectors of its "
                "own into the UNet; it must be false"
            )
        return value

    @model_validator(mode="after")
    def _read_where_painted(self) -> "FineFaceTrainingConfig":
        check_painted(self.cycles, self.reading)
        return self

    @field_validator("data")
    @classmethod
    def _labelled(cls, value: DataConfig) -> DataConfig:
        if isinstance(value, DatasetData) and value.aus is None:
            raise ValueError("aus is null; this training learns from AUs: name their column")
        return value


def perturb(aus: Float[Tensor, "B aus"], smoothing: Smoothing) -> Float[Tensor, "B aus"]:
    """Disturb AU intensities: noise, a clip to [0, 5], and whole numbers for some samples.

    Whether a sample is rounded is drawn for each by itself. What is drawn comes from torch's
    generator on the CPU, and as much for any settings.

    Args:
        aus: AU intensities [0–5].
        smoothing: how strongly; at 0 and 0 they stay what they are.
    """
    noise = torch.randn(aus.shape).to(aus.device)
    rounded = (torch.rand(len(aus), 1) < smoothing.rounding).to(aus.device)
    if smoothing.variance:
        aus = (aus + smoothing.variance**0.5 * noise).clamp(MIN_INTENSITY, MAX_INTENSITY)
    return torch.where(rounded, aus.round(), aus)


class AUReaderLearner(ReaderLearner):
    """Learns to read AUs.

    Args:
        config: how.
        shape: channels, height and width of a latent.
        device: torch device.
    """

    def __init__(
        self, config: ReaderConfig, shape: tuple[int, int, int], device: torch.device
    ) -> None:
        super().__init__(config, shape, AU_COUNT, device)

    def errors(self, read: Float[Tensor, "B aus"], batch: LabelledLatents) -> dict[str, Tensor]:
        """Return Huber's loss of what was read."""
        return {"loss": functional.smooth_l1_loss(read, batch.aus)}


def au_reader(config: ReaderConfig, store: LatentStore, device: torch.device) -> LatentReader:
    """Return a reader of the AUs in a store's latents; goes on by itself, and is kept there.

    Args:
        config: how it is learned.
        store: the latents and their AUs.
        device: torch device.

    Raises:
        OutputError: if the store holds a reader of another configuration.
        TrainingError: if the loss is not finite.
    """
    return trained_reader(
        AUReaderLearner(config, store.shape, device),
        Path(store.folder),
        what_counts(config, latents=store.made_of),
        lambda first, last: store.labelled(first, last, config.batch_size, config.seed),
    )


class FineFaceLearner(Learner):
    """Learns an `AUAdapter`: AU encoder, AU values, and LoRA; AU keys have no effect and stay.

    Args:
        config: the training run.
        base: the base, on the device.
        device: torch device.
        reader: reads AUs from guessed latents, on the device; needed where the configuration has
            the reading loss.
    """

    def __init__(
        self,
        config: FineFaceTrainingConfig,
        base: FrozenBase,
        device: torch.device,
        reader: LatentReader | None = None,
    ) -> None:
        adapter = untrained_adapter(base.unet, config.encoder, config.rank, config.seed)
        super().__init__(config, config.cycles, adapter, device)
        self._config = config
        self._base = base
        self._adapter = adapter  # the network, by its class
        self._reader = None if reader is None else reader.requires_grad_(False)

    def losses(self, batch: LatentBatch) -> dict[str, Tensor]:
        """Return the diffusion loss of a batch, and what a reader makes of it."""
        scheduler, settings = self._base.scheduler, self._config.noise
        seen = noised(batch.latents, scheduler, settings)
        aus = perturb(batch.aus, self._config.smoothing)
        predicted = self.predict(seen.latents, seen.timesteps, batch.input_ids, aus)
        loss = diffusion_loss(predicted, seen.target, seen.timesteps, scheduler, settings)
        found = {"loss": loss}
        reading, cycle = self._config.reading, cycle_at(self._config.cycles, self.step)
        if reading is not None:
            read = self._read(guess_of(scheduler, seen, predicted), batch.aus)
            found = {"loss": loss + reading.weight * read, "diffusion": loss, "read": read}
        if cycle.painted:
            found["painted"] = self._painted(batch, cycle.painting_steps)
            found["loss"] = found["loss"] + cycle.painted * found["painted"]
        return found

    def _read(self, guess: Guess, aus: Float[Tensor, "B aus"]) -> Tensor:
        if self._reader is None:
            raise ValueError("the configuration has the reading loss, but there is no reader")
        return au_error(read_guess(self._reader, guess), aus, guess.signal)

    def _painted(self, batch: LatentBatch, steps: int) -> Tensor:
        text = self._text(batch.input_ids)

        def predict(noisy: Tensor, timesteps: Tensor) -> Tensor:
            return self._predict(noisy, timesteps, text, batch.aus)

        guess = painted_guess(predict, self._base.scheduler, batch.latents, steps)
        return self._read(guess, batch.aus)

    def predict(
        self,
        noisy: Float[Tensor, "B c h w"],
        timesteps: Int[Tensor, " B"],
        input_ids: Int[Tensor, "B L"],
        aus: Float[Tensor, "B aus"],
    ) -> Float[Tensor, "B c h w"]:
        """Return the prediction of the base with the adapter that learns.

        Args:
            noisy: noisy latents.
            timesteps: their timesteps.
            input_ids: tokens of the captions.
            aus: AU intensities [0–5].
        """
        return self._predict(noisy, timesteps, self._text(input_ids), aus)

    def _text(self, input_ids: Int[Tensor, "B L"]) -> Tensor:
        with self.autocast(), torch.no_grad():
            return self._base.text_encoder(input_ids).last_hidden_state

    def _predict(self, noisy: Tensor, timesteps: Tensor, text: Tensor, aus: Tensor) -> Tensor:
        unet, adapter = self._base.unet, self._adapter
        vectors = adapter(aus)  # in float32: bfloat16 would round intensities
        with self.autocast(), unfused_lora(unet, adapter), au_branch(unet, vectors):
            return unet(noisy.to(unet.dtype), timesteps, text).sample.float()


def untrained_adapter(unet: nn.Module, encoder: str, rank: int, seed: int) -> AUAdapter:
    """Make the adapter that training begins with.

    The AU projections are copies of the layer's text projections; the LoRA does nothing yet: A is
    gaussian of standard deviation 1 / rank, as peft's "gaussian" is, and B is zero. Keys do not
    learn: over one token they have no effect.

    Args:
        unet: the frozen UNet.
        encoder: kind of the AU encoder.
        rank: rank of the LoRA.
        seed: seed of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapter = AUAdapter.for_unet(unet, lora_rank=rank, encoder=encoder)
        for path in adapter.config["lora_layers"]:
            nn.init.normal_(adapter.get_parameter(f"unet.{path}.lora_A.weight"), std=1 / rank)
            nn.init.zeros_(adapter.get_parameter(f"unet.{path}.lora_B.weight"))
    for path in adapter.config["layers"]:
        for name in ("k", "v"):
            own = adapter.get_parameter(f"{path}.processor.au_to_{name}.weight")
            own.data.copy_(unet.get_parameter(f"{path}.to_{name}.weight"))
            own.requires_grad_(name == "v")
    return adapter


PUBLISHED = "fineface"
COMPONENT = "au_adapter"
CARD = "card.json"


def export_adapter(
    adapter: AUAdapter, folder: Path, export: AdapterExport, about: dict[str, Any]
) -> Path:
    """Write the adapter as published, as a component of diffusers, and a card beside the first.

    Args:
        adapter: the trained adapter.
        folder: folder of the training; gets `fineface` and `au_adapter`.
        export: number format, and whether pickles are written too.
        about: what the card says besides the checksums.

    Returns:
        The folder that `load_au_adapter` reads.
    """
    written = copy.deepcopy(adapter)
    nn.Module.to(written, device="cpu", dtype=getattr(torch, export.dtype))
    published = folder / PUBLISHED
    write_au_adapter(written, published, "", SAFETENSORS_SUFFIX)
    if export.also == "ckpt":
        write_au_adapter(written, published, "", PICKLE_SUFFIX)
    written.save_pretrained(folder / COMPONENT)
    files = sorted(published.glob(f"*{SAFETENSORS_SUFFIX}"))
    sums = {path.name: file_sha256(path) for path in files}
    write_card(published / CARD, {**about, "sha256": sums})
    return published


# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.


def paint_sheet(
    base: Path,
    adapter: AUAdapter,
    sheet: FineFaceSheet,
    device: torch.device,
    dtype: torch.dtype,
) -> Image:
    """Paint each expression for each prompt; a column has one noise.

    Args:
        base: folder of the base.
        adapter: the adapter.
        sheet: what is painted.
        device: torch device.
        dtype: number format of the computation.
    """
    pipeline = _pipeline(base, adapter, dtype).to(device)
    rows = []
    for expression in sheet.expressions:
        generators = [torch.Generator().manual_seed(i) for i in range(len(sheet.prompts))]
        output = pipeline(
            list(sheet.prompts),
            expression,
            num_inference_steps=sheet.num_inference_steps,
            guidance_scale=sheet.guidance_scale,
            generator=generators,
            output_type="pt",
        )
        rows.append([2 * image.float().cpu() - 1 for image in output.images])  # pyright: ignore
    return sheet_of(rows)


def _pipeline(base: Path, adapter: AUAdapter, dtype: torch.dtype) -> FineFacePipeline:
    with no_progress_bars(), tempfile.TemporaryDirectory() as folder:
        pipeline = FineFacePipeline.from_pretrained(
            base,
            safety_checker=None,
            feature_extractor=None,
            image_encoder=None,
            requires_safety_checker=False,
            use_safetensors=True,
            dtype=dtype,
        )
        write_au_adapter(adapter, Path(folder), "", SAFETENSORS_SUFFIX)
        pipeline.load_au_adapter(folder)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
        pipeline.scheduler.config, algorithm_type="dpmsolver++"
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


_WHAT = "FineFace's AU adapter: AU encoder, AU projections, and a LoRA that is fused at scale 1"
_FREE = ("base", "revision", "latents", "sheet", "export")
"""Keys that the weights are not a function of; the base's files count, not their place."""


def train_fineface(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train an AU adapter beside a frozen base and export it; goes on by itself.

    Args:
        config_path: YAML file, as `FineFaceTrainingConfig` describes it.
        out: folder for the latents, the checkpoint, the curves, the sheets and the adapter.
        stop_at: end after this step with a checkpoint and without an export; None: to the end.
        overrides: `key=value`, as for `load_section`.

    Returns:
        The folder that `FineFacePipeline.load_au_adapter` reads (which exists only when the
        training reached its end).

    Raises:
        SynthgenError: if the configuration, the base, the data or the folder do not serve, or the
            loss is not finite.
    """
    config = load_section(config_path, FineFaceTrainingConfig, overrides)
    folder = training_folder(out)
    torch.set_num_threads(config.threads)
    device = pick_training_device(config.device)
    base = load_base(
        find_base(config.base, config.revision),
        device,
        getattr(torch, config.dtype),
        config.attention,
    )
    examples = examples_of(config.data, config.seed)
    facts = {
        "base_files": base.checksums(),
        "vae_encoder_sha256": encoder_sha256(base.folder / "vae"),
        **examples.fingerprint,
    }
    vae = load_vae(base.folder / "vae", device)
    store = open_latents(config, folder, examples, vae, base.tokenizer, facts["vae_encoder_sha256"])
    reading = config.reading
    reader = None if reading is None else au_reader(reading.reader, store, device)
    learner = FineFaceLearner(config, base, device, reader)
    session = Session(
        "fineface",
        learner,
        folder,
        what_counts(config, *_FREE, **facts),
        store.batches,
        lambda: _sheet(config, base, learner),
    )
    session.resume()
    if session.train(stop_at):
        about = about_training(
            "fineface", _WHAT, config, config.data, folder, config_path, learner.step, facts
        )
        export_adapter(learner.average, folder, config.export, about)
    return folder / PUBLISHED


def _sheet(config: FineFaceTrainingConfig, base: FrozenBase, learner: FineFaceLearner) -> Image:
    on_gpu = learner.device.type == "cuda"
    dtype = getattr(torch, config.dtype) if on_gpu else torch.float32
    return paint_sheet(base.folder, learner.average, config.sheet, learner.device, dtype)
