"""Training of the small UNet: the text-to-image base that FineFace steers."""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

import copy
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.models.attention_processor import AttnProcessor
from PIL.Image import Image
from pydantic import Field, model_validator
from torch import Tensor, nn
from transformers import (
    CLIPImageProcessor,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionModelWithProjection,
)

from pipelines.checkpoints import read_safetensors
from pipelines.training.data.augmentation import sheet_of
from pipelines.training.data.config import ProceduralData
from pipelines.training.data.examples import ProceduralExamples, examples_of, first_rows
from pipelines.training.diffusion.base import (
    encoder_sha256,
    find_part,
    load_text,
    load_vae,
    sheet_images,
    with_sheet_sampler,
)
from pipelines.training.diffusion.config import (
    ENCODER_WEIGHTS,
    IMAGE,
    MODEL_WEIGHTS,
    PROCESSOR,
    TEXT,
    TOKENIZER,
    AdapterSheet,
    DiffusionSettings,
    ReadingConfig,
)
from pipelines.training.diffusion.latents import LatentBatch, open_latents
from pipelines.training.diffusion.loss import diffusion_loss, guess_of, noised
from pipelines.training.diffusion.reader import LatentReader
from pipelines.training.diffusion.traits import ToldBatch, told_batches, told_error, trait_reader
from pipelines.training.files import write_text_whole
from pipelines.training.initial import Start, start_from
from pipelines.training.learner import Learner, seeded
from pipelines.training.provenance import CARD, write_card
from pipelines.training.recipe import Recipe, run_recipe
from pipelines.training.settings import Cycle, pick_training_device
from pipelines.weight_files import check_weight_file, file_sha256
from synthgen.config.base import Section
from synthgen.errors import ConfigError


class UNetModel(Section):
    """Size of a `UNet2DConditionModel`."""

    block_out_channels: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(96, 128, 128), min_length=1, description="Channels of each level, finest first."
    )
    cross_attention: tuple[bool, ...] = Field(
        default=(True, True, False), description="Levels that attend to the text."
    )
    layers_per_block: int = Field(default=1, ge=1, le=4, description="Residual layers a level.")
    heads: int = Field(default=2, ge=1, le=32, description="Attention heads.")
    norm_num_groups: int = Field(
        default=8,
        ge=1,
        description="Groups of the group norms; with one channel a group, colours fade.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "UNetModel":
        levels = len(self.block_out_channels)
        if len(self.cross_attention) != levels:
            raise ValueError(
                f"cross_attention has {len(self.cross_attention)} levels; block_out_channels has "
                f"{levels}"
            )
        for channels in self.block_out_channels:
            for key in ("norm_num_groups", "heads"):
                if channels % (asked := getattr(self, key)):
                    raise ValueError(f"{channels} channels are no multiple of {key} {asked}")
        return self


class UNetConfig(DiffusionSettings):
    """A training run of the base: text to image; the weights are a function of it."""

    cycles: tuple[Cycle, ...] = Field(
        min_length=1,
        description="The steps; a finished training goes on when a cycle is added at the end.",
    )
    vae: str = Field(description="VAE: folder, or mini.")
    clip: str = Field(
        description="Folder with text_encoder, tokenizer and image_encoder, or mini.",
    )
    prediction: Literal["epsilon", "v_prediction"] = Field(
        default="v_prediction", description="What the UNet predicts."
    )
    model: UNetModel = Field(default=UNetModel(), description="Size of the network.")
    init: str | None = Field(
        default=None,
        exclude_if=lambda init: init is None,
        description="Base whose UNet this one begins from: folder, or mini. It may have fewer "
        "latent channels, and text of another width: those layers begin fresh. null: begin from "
        "nothing.",
    )
    reading: ReadingConfig | None = Field(
        default=None,
        exclude_if=lambda reading: reading is None,
        description="A second loss, of the traits that captions tell and a small network reads "
        "from guessed latents; drawn portraits alone; null: the diffusion loss alone.",
    )

    @model_validator(mode="after")
    def _read_where_drawn(self) -> "UNetConfig":
        if self.reading is not None and not isinstance(self.data, ProceduralData):
            raise ValueError("reading needs data.source procedural, whose traits are known")
        return self


_ON_A_SHEET, _IN_A_ROW = 16, 8
_SAMPLING = AdapterSheet(num_inference_steps=20, guidance_scale=3.0)


class UNetLearner(Learner):
    """Learns a `UNet2DConditionModel` beside a frozen text encoder.

    Args:
        config: the training run.
        shape: channels, height and width of a latent.
        text_encoder: what turns tokens into conditions.
        device: torch device.
        reader: reads traits from guessed latents; needed where the configuration has the reading
            loss.

    Attributes:
        start: what the UNet took from another; None: nothing.

    Raises:
        WeightsError: if the UNet of `init` does not fit.
        ConfigError: if the UNet cannot halve the latents as often as it has levels.
    """

    def __init__(
        self,
        config: UNetConfig,
        shape: tuple[int, int, int],
        text_encoder: CLIPTextModel,
        device: torch.device,
        reader: LatentReader | None = None,
    ) -> None:
        with seeded(config.seed):
            unet = make_unet(config, shape, text_encoder.config.hidden_size)
        self.start = None if config.init is None else begin_unet(unet, find_part(config.init))
        if config.attention == "explicit":
            unet.set_attn_processor(AttnProcessor())
        super().__init__(config, config.cycles, unet, device)
        self._text_encoder = text_encoder.eval().requires_grad_(False).to(device)  # pyright: ignore
        self.scheduler = make_scheduler(config)
        self._config = config
        self._reader = None if reader is None else reader.requires_grad_(False)

    def losses(self, batch: LatentBatch | ToldBatch) -> dict[str, Tensor]:
        """Return the diffusion loss of a batch, and what a reader makes of it."""
        scheduler, settings = self.scheduler, self._config.noise
        seen = noised(batch.latents, scheduler, settings)
        with self.autocast():
            with torch.no_grad():
                text = self._text_encoder(batch.input_ids).last_hidden_state
            predicted = self.network(seen.latents, seen.timesteps, text).sample
        loss = diffusion_loss(predicted, seen.target, seen.timesteps, scheduler, settings)
        if self._reader is None or not isinstance(batch, ToldBatch):
            return {"loss": loss}
        guess = guess_of(scheduler, seen, predicted.float())
        read = told_error(self._reader, guess, batch.told)
        weight = 0.0 if self._config.reading is None else self._config.reading.weight
        return {"loss": loss + weight * read, "diffusion": loss, "read": read}


def begin_unet(unet: UNet2DConditionModel, base: Path) -> Start:
    """Give a UNet what the UNet of a base has of it.

    Latent channels that the other lacks are read by weights of zero and predicted by fresh ones.

    Args:
        unet: the UNet, freshly drawn.
        base: folder of the base.

    Raises:
        WeightsError: if the file is missing, or holds less than half of the UNet.
    """
    file = base / "unet" / MODEL_WEIGHTS
    check_weight_file(file, "UNet")
    tensors = dict(read_safetensors(file)[0])
    first, last = "conv_in.weight", "conv_out.weight"
    rows = {}
    if first in tensors and last in tensors:
        own = unet.conv_in.weight
        if (few := tensors[first].shape[1]) < own.shape[1]:
            wide = own.new_zeros(own.shape)
            wide[:, :few] = tensors[first].to(own.dtype)
            tensors[first] = wide
        kept = [(i, i) for i in range(min(len(tensors[last]), unet.config["out_channels"]))]
        rows = {last: kept, "conv_out.bias": kept}
    return start_from(unet, tensors, file, rows)


def make_unet(
    config: UNetConfig, shape: tuple[int, int, int], text_width: int
) -> UNet2DConditionModel:
    """Make an untrained UNet.

    Args:
        config: the training run.
        shape: channels, height and width of a latent.
        text_width: width of a token.

    Raises:
        ConfigError: if it cannot halve the latents as often as it has levels.
    """
    model, (channels, side, _) = config.model, shape
    if side % (halved := 2 ** (len(model.block_out_channels) - 1)):
        raise ConfigError(
            f"data.size {config.data.size} gives latents of {side}×{side}; a UNet of "
            f"{len(model.block_out_channels)} levels needs a multiple of {halved}"
        )
    down = ["CrossAttnDownBlock2D" if text else "DownBlock2D" for text in model.cross_attention]
    up = ["CrossAttnUpBlock2D" if text else "UpBlock2D" for text in model.cross_attention[::-1]]
    return UNet2DConditionModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        block_out_channels=model.block_out_channels,
        layers_per_block=model.layers_per_block,
        cross_attention_dim=text_width,
        attention_head_dim=model.heads,  # diffusers' old name: the number of heads
        norm_num_groups=model.norm_num_groups,
        use_linear_projection=True,
    )


def make_scheduler(config: UNetConfig) -> DDPMScheduler:
    """Make Stable Diffusion's noise schedule."""
    return DDPMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=config.prediction,
        clip_sample=False,
        steps_offset=1,
    )


class UNetRecipe(Recipe[UNetConfig]):
    """The training of the base UNet, in the latents of a VAE and beside a text encoder."""

    name = "unet"
    settings = UNetConfig
    makes = "base"
    what = "text-to-image base: a UNet beside the VAE and the text encoder that it was trained with"
    free = ("vae", "clip", "latents", "init")

    def __init__(self, config: UNetConfig, folder: Path) -> None:
        super().__init__(config, folder)
        self.data = config.data
        device = pick_training_device(config.device)
        self._vae_folder, self._clip_folder = find_part(config.vae, "vae"), find_part(config.clip)
        vae = load_vae(self._vae_folder, device)
        text, tokenizer = load_text(self._clip_folder, device)
        encoder = encoder_sha256(self._vae_folder)
        examples = examples_of(config.data, config.seed)
        self._store = open_latents(config, folder, examples, vae, tokenizer, encoder)
        reader = None
        if config.reading is not None and isinstance(examples, ProceduralExamples):
            reader = trait_reader(config.reading.reader, self._store, examples, device)
        learner = UNetLearner(config, self._store.shape, text, device, reader)
        self.learner, self._schedule, self.start = learner, learner.scheduler, learner.start
        self.facts = {
            "vae_encoder_sha256": encoder,
            "text_sha256": file_sha256(self._clip_folder / TEXT / ENCODER_WEIGHTS),
            **examples.fingerprint,
        }
        held_out = examples_of(config.data, config.seed, held_out=True)
        self._prompts = [held_out.caption(row) for row in first_rows(held_out, _ON_A_SHEET)]
        self._parts = vae, text, tokenizer

    def batches(self, first: int, last: int) -> Iterable[LatentBatch | ToldBatch]:
        """Read the latents of each step, and what their captions tell where that is read."""
        if self.config.reading is None:
            return self._store.batches(first, last)
        return told_batches(self._store, first, last)

    def sheet(self) -> Image:
        """Generate an image for each of some held-out captions."""
        absent, schedule = (cast("Any", part) for part in (None, self._schedule))
        pipeline = with_sheet_sampler(
            StableDiffusionPipeline(
                *self._parts, self.learner.average, schedule, absent, absent, absent, False
            )
        )
        made = sheet_images(pipeline, _SAMPLING, self._prompts)
        return sheet_of([made[i : i + _IN_A_ROW] for i in range(0, len(made), _IN_A_ROW)])

    def export(self, about: dict[str, Any]) -> None:
        """Write a folder that `StableDiffusionPipeline` reads, in half precision, with cards."""
        make: Any = StableDiffusionPipeline
        half: Any = copy.deepcopy(self.learner.average)
        clip = self._clip_folder
        pipeline = make(
            vae=_half(AutoencoderKL, self._vae_folder),
            text_encoder=_half(CLIPTextModel, clip / TEXT),
            tokenizer=CLIPTokenizer.from_pretrained(clip / TOKENIZER),
            unet=half.to("cpu", torch.float16),
            scheduler=DDIMScheduler.from_config(
                self._schedule.config, clip_sample=False, set_alpha_to_one=False, steps_offset=1
            ),
            safety_checker=None,
            feature_extractor=CLIPImageProcessor.from_pretrained(clip / PROCESSOR),
            image_encoder=_half(CLIPVisionModelWithProjection, clip / IMAGE),
            requires_safety_checker=False,
        )
        base = self.folder / self.makes
        pipeline.save_pretrained(base)
        for folder in (self._vae_folder, clip / TEXT, clip / IMAGE):
            part = "vae" if folder == self._vae_folder else folder.name
            card = json.loads((folder / CARD).read_text(encoding="utf-8"))
            text = json.dumps({**card, **_file(base / part)}, indent=1, ensure_ascii=False)
            write_text_whole(base / part / CARD, text + "\n")
        write_card(base / "unet" / CARD, {**about, **_file(base / "unet")})


def _half(kind: Any, folder: Path) -> nn.Module:
    return kind.from_pretrained(folder, dtype=torch.float16)


def _file(part: Path) -> dict[str, str]:
    """Return name and checksum of a part's weights, which are written anew in half precision."""
    name = MODEL_WEIGHTS if (part / MODEL_WEIGHTS).is_file() else ENCODER_WEIGHTS
    return {"file": name, "sha256": file_sha256(part / name)}


def train_unet(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train a base UNet and export it as a Stable Diffusion folder, as `run_recipe` says."""
    return run_recipe(UNetRecipe, config_path, out, stop_at, overrides)
