"""Training of FineFace: AU adapter and LoRA, by the paper's recipe."""

import copy
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
from jaxtyping import Float, Int
from PIL.Image import Image
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from pipelines.checkpoints import SAFETENSORS_SUFFIX
from pipelines.diffusion.models import no_progress_bars
from pipelines.fineface import FineFacePipeline
from pipelines.fineface.adapter import AUAdapter, EncoderKind
from pipelines.fineface.branch import au_branch, unfused_lora
from pipelines.fineface.checkpoint import write_au_adapter
from pipelines.fineface.weights import PICKLE_SUFFIX
from pipelines.training.data.augmentation import sheet_of
from pipelines.training.data.config import DataConfig, DatasetData, ProceduralData
from pipelines.training.data.examples import examples_of
from pipelines.training.diffusion.adapter_start import AdapterFiles, begin_adapter
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
    AdapterCycle,
    AdapterExport,
    AdapterSheet,
    DiffusionSettings,
    ReaderConfig,
    ReadingConfig,
    SheetExpressions,
    check_painted,
)
from pipelines.training.diffusion.estimate import estimate
from pipelines.training.diffusion.latents import (
    LabelledLatents,
    LatentBatch,
    LatentStore,
    open_latents,
)
from pipelines.training.diffusion.loss import (
    Guess,
    Noise,
    Rollout,
    diffusion_loss,
    draw_noise,
    draw_rollout,
    generated_guess,
    guess_of,
    noised,
)
from pipelines.training.diffusion.reader import (
    LatentReader,
    ReaderLearner,
    au_error,
    read_guess,
    trained_reader,
)
from pipelines.training.learner import Learner, seeded
from pipelines.training.processes import Processes, check_shares, started
from pipelines.training.provenance import CARD, training_fingerprint, write_card
from pipelines.training.recipe import Recipe, run_recipe
from pipelines.training.settings import cycle_at, pick_training_device
from pipelines.weight_files import file_sha256, read_model_config
from synthgen.action_units import DEFAULT_AUS, MAX_INTENSITY, MIN_INTENSITY, ActionUnitSet
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
        description="Prompts, a column each.",
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
    rank: int = Field(default=32, ge=1, le=1024, description="Rank of the LoRA.")
    lora_alpha: float | None = Field(
        default=None,
        gt=0,
        le=65536,
        description="Alpha of the LoRA, which counts alpha / rank times; its file tells it. null: "
        "as much as the rank, and not told, as published.",
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Compute what the UNet's blocks hold once more on the way back instead of "
        "keeping it: less memory, a third more time, the same bits.",
    )
    smoothing: Smoothing = Field(default=Smoothing(), description="Disturbance of the labels.")
    drop_caption: float = Field(
        default=0.0, ge=0, le=1, description="Share of empty captions; the paper drops none."
    )
    init: str | None = Field(
        default=None,
        exclude_if=lambda init: init is None,
        description="Adapter to begin from: folder of `synthgen train fineface`, or mini. It may "
        "encode fewer AUs, and its base read text of another width. null: begin from the base.",
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
        drawn = isinstance(self.data, ProceduralData) and self.data.aus == "drawn"
        if drawn and self.export.also == "ckpt":
            raise ValueError(
                "export.also is 'ckpt', but data.aus is 'drawn': a .ckpt file cannot say which AUs "
                "it encodes; it must be null"
            )
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
    """Learns to read AUs."""

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
        AUReaderLearner(config, store.shape, device, len(store.action_units)),
        Path(store.folder),
        training_fingerprint(config, latents=store.made_of),
        lambda first, last: store.labelled(first, last, config.batch_size, config.seed),
    )


class DrawnBatch(NamedTuple):
    """Examples and all that a step draws for them, row by row.

    Attributes:
        latents: scaled, float32 [B, c, h, w].
        input_ids: tokens of the captions, int64 [B, L].
        aus: AU intensities of the images [0–5], float32 [B, aus].
        told: those that the adapter is told, disturbed, float32 [B, aus].
        noise: noise on the latents, float32 [B, c, h, w].
        timesteps: how much of it, int64 [B].
        painting: noise from which images are painted, float32 [B, c, h, w]; None: none are.
        stops: the step before which painting stops, int64 [B].
    """

    latents: Float[Tensor, "B c h w"]
    input_ids: Int[Tensor, "B L"]
    aus: Float[Tensor, "B aus"]
    told: Float[Tensor, "B aus"]
    noise: Float[Tensor, "B c h w"]
    timesteps: Int[Tensor, " B"]
    painting: Float[Tensor, "B c h w"] | None
    stops: Int[Tensor, " B"] | None


COMPONENT = "au_adapter"
"""Folder of the component of diffusers, beside what is published."""


class FineFaceLearner(Learner):
    """Learns an `AUAdapter`: AU encoder, AU values, and LoRA; AU keys have no effect and stay.

    Args:
        config: the training run.
        base: the base, on the device.
        device: torch device.
        reader: reads AUs from guessed latents, on the device; needed where the configuration has
            the reading loss.
        aus: the AUs that the adapter encodes.

    Attributes:
        start: what the adapter took from another; None: nothing.
    """

    def __init__(
        self,
        config: FineFaceTrainingConfig,
        base: FrozenBase,
        device: torch.device,
        reader: LatentReader | None = None,
        aus: ActionUnitSet = DEFAULT_AUS,
    ) -> None:
        adapter = untrained_adapter(base.unet, config.encoder, config.rank, config.seed, aus)
        files = None if config.init is None else AdapterFiles.find(config.init)
        self.start = None if files is None else begin_adapter(adapter, files)
        if self.start is not None and config.lora_alpha is not None:  # what was taken counts once
            scale_lora(adapter, config.rank / config.lora_alpha)
        super().__init__(config, config.cycles, adapter, device)
        self._config = config
        self._base = base
        self._adapter = adapter  # the network, by its class
        self._reader = None if reader is None else reader.requires_grad_(False)
        alpha = config.lora_alpha
        self._scale = 1.0 if alpha is None else alpha / config.rank
        self._vectors: dict[str, Tensor] = {}
        if config.gradient_checkpointing:
            base.unet.enable_gradient_checkpointing(self._recomputed)

    def drawn(self, part: LatentBatch) -> DrawnBatch:
        """Draw noise, timesteps, the labels' disturbance, and what painting begins with."""
        scheduler, cycle = self._base.scheduler, cycle_at(self._config.cycles, self.step)
        noise = draw_noise(part.latents, scheduler, self._config.noise)
        told = perturb(part.aus, self._config.smoothing)
        painting = stops = None
        if cycle.painted:
            painting, stops = draw_rollout(part.latents, cycle.painting_steps)
        return DrawnBatch(*part, told, *noise, painting, stops)

    def losses(self, batch: LatentBatch | DrawnBatch) -> dict[str, Tensor]:
        """Return the diffusion loss of a batch, and what a reader makes of it."""
        scheduler, settings = self._base.scheduler, self._config.noise
        drawn = batch if isinstance(batch, DrawnBatch) else self.drawn(batch)
        noise = Noise(drawn.noise, drawn.timesteps)
        seen = noised(drawn.latents, scheduler, settings, noise)
        predicted = self.predict(seen.latents, seen.timesteps, batch.input_ids, drawn.told)
        loss = diffusion_loss(predicted, seen.target, seen.timesteps, scheduler, settings)
        found = {"loss": loss}
        reading, cycle = self._config.reading, cycle_at(self._config.cycles, self.step)
        if reading is not None:
            read = self._read(guess_of(scheduler, seen, predicted), batch.aus)
            found = {"loss": loss + reading.weight * read, "diffusion": loss, "read": read}
        if drawn.painting is not None and drawn.stops is not None:
            text = self._text(batch.input_ids)
            guess = generated_guess(
                lambda noisy, timesteps: self._predict(noisy, timesteps, text, batch.aus),
                scheduler,
                batch.latents,
                cycle.painting_steps,
                Rollout(drawn.painting, drawn.stops),
            )
            found["painted"] = self._read(guess, batch.aus)
            found["loss"] = found["loss"] + cycle.painted * found["painted"]
        return found

    def _read(self, guess: Guess, aus: Float[Tensor, "B aus"]) -> Tensor:
        if self._reader is None:
            raise ValueError("the configuration has the reading loss, but there is no reader")
        return au_error(read_guess(self._reader, guess), aus, guess.signal)

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
        self._vectors = vectors = adapter(aus)  # in float32: bfloat16 would round intensities
        with self.autocast(), self._additions(vectors):
            return unet(noisy.to(unet.dtype), timesteps, text).sample.float()

    @contextmanager
    def _additions(self, vectors: Mapping[str, Tensor]) -> Iterator[None]:
        unet = self._base.unet
        with unfused_lora(unet, self._adapter, self._scale), au_branch(unet, vectors):
            yield

    def _recomputed(self, module: nn.Module, *inputs: Any) -> Any:
        """Call a block that keeps only its inputs; the way back adds to it what this call did."""
        vectors = self._vectors
        return checkpoint(
            module.__call__,
            *inputs,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), self._additions(vectors)),
        )


@torch.no_grad()
def scale_lora(adapter: AUAdapter, factor: float) -> None:
    """Multiply what an adapter's LoRA adds by a factor, in place."""
    for path in adapter.config["lora_layers"] or {}:
        adapter.get_parameter(f"unet.{path}.lora_B.weight").mul_(factor)


def untrained_adapter(
    unet: nn.Module, encoder: str, rank: int, seed: int, aus: ActionUnitSet = DEFAULT_AUS
) -> AUAdapter:
    """Make the adapter that training begins with.

    The AU projections are copies of the layer's text projections; the LoRA does nothing yet: A is
    gaussian of standard deviation 1 / rank, as peft's "gaussian" is, and B is zero. Keys do not
    learn: over one token they have no effect.

    Args:
        unet: the frozen UNet.
        encoder: kind of the AU encoder.
        rank: rank of the LoRA.
        seed: seed of the weights.
        aus: the AUs that it encodes.
    """
    with seeded(seed):
        adapter = AUAdapter.for_unet(unet, lora_rank=rank, encoder=encoder, action_units=aus.names)
        for path in adapter.config["lora_layers"]:
            nn.init.normal_(adapter.get_parameter(f"unet.{path}.lora_A.weight"), std=1 / rank)
            nn.init.zeros_(adapter.get_parameter(f"unet.{path}.lora_B.weight"))
    for path in adapter.config["layers"]:
        for name in ("k", "v"):
            own = adapter.get_parameter(f"{path}.processor.au_to_{name}.weight")
            own.data.copy_(unet.get_parameter(f"{path}.to_{name}.weight"))
            own.requires_grad_(name == "v")
    return adapter


class FineFaceRecipe(Recipe[FineFaceTrainingConfig]):
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
        reader = None if reading is None else au_reader(reading.reader, self._store, device)
        learner = FineFaceLearner(config, base, device, reader, examples.action_units)
        self.learner, self._start = learner, learner.start

    def batches(self, first: int, last: int) -> Iterable[LatentBatch]:
        """Read the latents of each step."""
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
        begun = {} if self._start is None else {"init": self._start.summary()}
        about = {**about, **begun}
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


def estimate_fineface(config_path: str | Path, overrides: Sequence[str] = ()) -> list[str]:
    """Estimate what a training takes, from some steps on made latents; nothing is written.

    Of several processes that torchrun started the first alone estimates.

    Args:
        config_path: YAML file of the training.
        overrides: `key=value`, as for `load_section`.

    Returns:
        Lines to print; each figure says whether it is measured or reckoned.

    Raises:
        SynthgenError: if the configuration, the data or the base do not serve, or the base is not
            on this machine.
    """
    number, count = started()
    if number:
        return []
    config = load_section(config_path, FineFaceTrainingConfig, overrides)
    check_shares(config, count)
    torch.set_num_threads(config.threads)
    device, dtype = pick_training_device(config.device), getattr(torch, config.dtype)
    folder = find_base(config.base, config.revision, fetch=False)
    base = load_base(folder, device, dtype, config.attention)
    examples = examples_of(config.data, config.seed)
    levels = read_model_config(folder / "vae" / "config.json")["block_out_channels"]
    side = config.data.size // 2 ** (len(levels) - 1)
    shape = (int(base.unet.config["in_channels"]), side, side)
    pieces = Processes(count=count).pieces(config.accumulate)
    rows = config.batch_size // pieces
    plain = config.cycles[0].model_copy(update={"painted": 0.0})
    part = {"batch_size": rows, "accumulate": 1, "reading": None, "cycles": (plain,)}
    learner = FineFaceLearner(
        config.model_copy(update=part), base, device, aus=examples.action_units
    )
    tokens = base.tokenizer([""] * rows, padding="max_length", return_tensors="pt").input_ids
    batch = LatentBatch(
        torch.zeros(rows, *shape), tokens, torch.zeros(rows, len(examples.action_units))
    )
    found = estimate(learner, (base.unet, base.text_encoder), batch, rows)
    lines = found.lines(config, config.cycles, count, pieces // count, device)
    wanted = examples.count if config.examples is None else config.examples
    if wanted is not None:
        size = 2 * math.prod(shape)
        lines.append(
            f"latents: {wanted:,} × {size / 1e3:.0f} kB = {wanted * size / 1e9:.2f} GB on the disk "
            "(reckoned)"
        )
    if config.reading is not None:
        lines.append("the reader's loss and painted steps are not counted")
    return lines


def train_fineface(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train an AU adapter beside a frozen base and export it, as `run_recipe` says."""
    return run_recipe(FineFaceRecipe, config_path, out, stop_at, overrides)
