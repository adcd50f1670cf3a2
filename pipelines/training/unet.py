"""Training of the small UNet."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
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

from pipelines.training.data.augmentation import sheet_of
from pipelines.training.data.examples import examples_of
from pipelines.training.diffusion.base import checksums, load_text, load_vae
from pipelines.training.diffusion.config import (
    ENCODER_WEIGHTS,
    IMAGE,
    MODEL_WEIGHTS,
    PROCESSOR,
    TEXT,
    TOKENIZER,
    DiffusionSettings,
)
from pipelines.training.diffusion.latents import LatentBatch, open_latents
from pipelines.training.diffusion.loss import diffusion_loss, noised
from pipelines.training.learner import Learner
from pipelines.training.provenance import about_training, what_counts, write_card
from pipelines.training.session import Session, training_folder
from pipelines.training.settings import Cycle, pick_training_device
from pipelines.weight_files import file_sha256
from synthgen.config.base import Section
from synthgen.config.loading import load_section
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
    vae: str = Field(description="Folder of the VAE.")
    clip: str = Field(description="Folder with text_encoder, tokenizer and image_encoder.")
    prediction: Literal["epsilon", "v_prediction"] = Field(
        default="v_prediction", description="What the UNet predicts."
    )
    model: UNetModel = Field(default=UNetModel(), description="Size of the network.")


# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.


class UNetLearner(Learner):
    """Learns a `UNet2DConditionModel` beside a frozen text encoder.

    Args:
        config: the training run.
        shape: channels, height and width of a latent.
        text_encoder: what turns tokens into conditions.
        device: torch device.

    Raises:
        ConfigError: if the UNet cannot halve the latents as often as it has levels.
    """

    def __init__(
        self,
        config: UNetConfig,
        shape: tuple[int, int, int],
        text_encoder: CLIPTextModel,
        device: torch.device,
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            unet = make_unet(config, shape, text_encoder.config.hidden_size)
        if config.attention == "explicit":
            unet.set_attn_processor(AttnProcessor())
        super().__init__(config, config.cycles, unet, device)
        self._text_encoder = text_encoder.eval().requires_grad_(False).to(device)  # pyright: ignore
        self.scheduler = make_scheduler(config)
        self._config = config

    def losses(self, batch: LatentBatch) -> dict[str, Tensor]:
        """Return the diffusion loss of a batch."""
        scheduler, settings = self.scheduler, self._config.noise
        seen = noised(batch.latents, scheduler, settings)
        with self.autocast():
            with torch.no_grad():
                text = self._text_encoder(batch.input_ids).last_hidden_state
            predicted = self.network(seen.latents, seen.timesteps, text).sample
        loss = diffusion_loss(predicted, seen.target, seen.timesteps, scheduler, settings)
        return {"loss": loss}


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


# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.


BASE = "base"
CARD = "card.json"
_FILES = {
    "vae": MODEL_WEIGHTS,
    "unet": MODEL_WEIGHTS,
    TEXT: ENCODER_WEIGHTS,
    IMAGE: ENCODER_WEIGHTS,
}


def export_base(
    unet: UNet2DConditionModel,
    scheduler: Any,
    vae_folder: Path,
    clip_folder: Path,
    folder: Path,
    about: dict[str, Any],
) -> Path:
    """Write a folder that `StableDiffusionPipeline.from_pretrained` reads, in half precision.

    Args:
        unet: the trained UNet.
        scheduler: noise schedule that it was trained with.
        vae_folder: folder of the VAE.
        clip_folder: folder with both CLIP encoders.
        folder: folder of the training; the base goes to `base` in it.
        about: what the card of the UNet says.

    Returns:
        The folder of the base.
    """
    make: Any = StableDiffusionPipeline
    half: Any = copy.deepcopy(unet)
    pipeline = make(
        vae=_loaded(AutoencoderKL, vae_folder),
        text_encoder=_loaded(CLIPTextModel, clip_folder / TEXT),
        tokenizer=CLIPTokenizer.from_pretrained(clip_folder / TOKENIZER),
        unet=half.to("cpu", torch.float16),
        scheduler=DDIMScheduler.from_config(
            scheduler.config, clip_sample=False, set_alpha_to_one=False, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=CLIPImageProcessor.from_pretrained(clip_folder / PROCESSOR),
        image_encoder=_loaded(CLIPVisionModelWithProjection, clip_folder / IMAGE),
        requires_safety_checker=False,
    )
    base = folder / BASE
    pipeline.save_pretrained(base)
    own = {
        "vae": vae_folder,
        TEXT: clip_folder / TEXT,
        IMAGE: clip_folder / IMAGE,
    }
    for part, source in own.items():
        _hand_on(source / CARD, base / part)
    write_card(base / "unet" / CARD, {**about, **_file(base / "unet", "unet")})
    return base


def _loaded(kind: Any, folder: Path) -> nn.Module:
    return kind.from_pretrained(folder, dtype=torch.float16)


def _hand_on(card: Path, folder: Path) -> None:
    """Copy a part's card; its file was written anew, so that the checksum is taken anew."""
    content = json.loads(card.read_text(encoding="utf-8"))
    text = json.dumps({**content, **_file(folder, folder.name)}, indent=1, ensure_ascii=False)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")


def _file(folder: Path, part: str) -> dict[str, str]:
    return {"file": _FILES[part], "sha256": file_sha256(folder / _FILES[part])}


# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.


_STEPS, _GUIDANCE, _IN_A_ROW = 20, 3.0, 8


def paint_prompts(
    unet: Any,
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    noise_schedule: Any,
    prompts: Sequence[str],
) -> Image:
    """Paint a sheet, one picture a prompt; picture i always begins from noise i.

    Args:
        unet: the UNet, on the device of the others.
        vae: the VAE.
        text_encoder: the text encoder.
        tokenizer: its tokenizer.
        noise_schedule: the schedule that the UNet learns with.
        prompts: what is painted.
    """
    scheduler: Any = DPMSolverMultistepScheduler.from_config(
        noise_schedule.config, algorithm_type="dpmsolver++"
    )
    absent: Any = None
    pipeline = StableDiffusionPipeline(
        vae, text_encoder, tokenizer, unet, scheduler, absent, absent, absent, False
    )
    pipeline.set_progress_bar_config(disable=True)
    output: Any = pipeline(
        list(prompts),
        num_inference_steps=_STEPS,
        guidance_scale=_GUIDANCE,
        output_type="pt",
        generator=[torch.Generator().manual_seed(i) for i in range(len(prompts))],
    )
    made = 2 * output.images.float() - 1
    return sheet_of([list(row) for row in made.split(_IN_A_ROW)])


_WHAT = "text-to-image base: a UNet beside the VAE and the text encoder that it was trained with"
_ON_A_SHEET = 16


def train_unet(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train a base UNet and export it as a Stable Diffusion folder; goes on by itself.

    Args:
        config_path: YAML file, as `UNetConfig` describes it.
        out: folder for the latents, the checkpoint, the curves, the sheets and the base.
        stop_at: end after this step with a checkpoint and without an export; None: to the end.
        overrides: `key=value`, as for `load_section`.

    Returns:
        The folder of the base (which exists only when the training reached its end).

    Raises:
        SynthgenError: if the configuration, the data, the VAE, the text encoder or the folder do
            not serve, or the loss is not finite.
    """
    config = load_section(config_path, UNetConfig, overrides)
    folder = training_folder(out)
    torch.set_num_threads(config.threads)
    device = pick_training_device(config.device)
    vae = load_vae(Path(config.vae), device)
    text, tokenizer = load_text(Path(config.clip), device)
    facts = checksums(Path(config.vae), Path(config.clip))
    examples = examples_of(config.data, config.seed)
    store = open_latents(config, folder, examples, vae, tokenizer, facts["vae_encoder_sha256"])
    learner = UNetLearner(config, store.shape, text, device)
    facts |= examples.fingerprint
    prompts = _prompts(config)

    def sheet() -> Image:
        return paint_prompts(learner.average, vae, text, tokenizer, learner.scheduler, prompts)

    counts = what_counts(config, "vae", "clip", "latents", **facts)
    session = Session("unet", learner, folder, counts, store.batches, sheet)
    session.resume()
    if session.train(stop_at):
        about = about_training(
            "unet", _WHAT, config, config.data, folder, config_path, learner.step, facts
        )
        export_base(
            learner.average, learner.scheduler, Path(config.vae), Path(config.clip), folder, about
        )
    return folder / BASE


def _prompts(config: UNetConfig) -> list[str]:
    held_out = examples_of(config.data, config.seed, held_out=True)
    there = held_out.count
    return [
        held_out.caption(i)
        for i in range(_ON_A_SHEET if there is None else min(_ON_A_SHEET, there))
    ]
