"""The frozen base of a diffusion training, its parts, and what it generates for sample sheets."""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    UNet2DConditionModel,
)
from diffusers.models.attention_processor import AttnProcessor
from jaxtyping import Float
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from pipelines.checkpoints import read_safetensors
from pipelines.diffusion.models import check_text_parts, load_model, no_progress_bars
from pipelines.diffusion.prompts import load_tokenizer
from pipelines.fineface.weights import MINI, MINI_FOLDER
from pipelines.hub import names_folder, resolve
from pipelines.training.diffusion.config import (
    ENCODER_WEIGHTS,
    MODEL_WEIGHTS,
    TEXT,
    TOKENIZER,
    AdapterSheet,
)
from pipelines.weight_files import file_sha256, read_model_config
from synthgen.errors import WeightsError
from synthgen.foreign import first_line

_ENCODER = ("encoder.", "quant_conv.")
_SCHEDULER_FILE = "scheduler/scheduler_config.json"
_WEIGHT_FILES = (
    "text_encoder/model.safetensors",
    "unet/diffusion_pytorch_model.safetensors",
)
_FILES = (
    "model_index.json",
    _SCHEDULER_FILE,
    "text_encoder/config.json",
    "unet/config.json",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    *_WEIGHT_FILES,
)

_PREDICTIONS = ("epsilon", "v_prediction")


def find_part(named: str, part: str = "") -> Path:
    """Return the folder of a part of a base: what is named, or that of the embedded base.

    Args:
        named: folder, or `mini`.
        part: where the part lies in a base; empty: at its top.
    """
    return MINI_FOLDER / "base" / part if named == MINI else Path(named)


def load_vae(folder: Path, device: torch.device) -> AutoencoderKL:
    """Load a VAE, float32, that does not learn.

    Args:
        folder: its folder, as `synthgen train vae` and diffusers write it.
        device: torch device.

    Raises:
        WeightsError: if files are missing or do not fit.
    """
    _check_files(folder, ("config.json", MODEL_WEIGHTS), "vae", "the VAE")
    return _frozen(_loaded(AutoencoderKL, folder), device)


def load_text(folder: Path, device: torch.device) -> tuple[CLIPTextModel, CLIPTokenizer]:
    """Load a text encoder, float32, that does not learn, and its tokenizer.

    Args:
        folder: folder with `text_encoder` and `tokenizer`, as `synthgen train clip` writes it.
        device: torch device.

    Raises:
        WeightsError: if files are missing, or the two do not fit each other.
    """
    files = (
        f"{TEXT}/config.json",
        f"{TEXT}/{ENCODER_WEIGHTS}",
        f"{TOKENIZER}/tokenizer_config.json",
    )
    _check_files(folder, files, "clip", "the text encoder")
    text = _frozen(_loaded(CLIPTextModel, folder / TEXT), device)
    tokenizer = load_tokenizer(folder / TOKENIZER)
    check_text_parts(tokenizer, text, f"clip: {folder}")
    return text, tokenizer


def encoder_sha256(vae: Path) -> str:
    """Return the SHA-256 of what latents are a function of: a VAE's encoder and latent scale.

    The decoder does not count: it may be trained on while a UNet learns.

    Args:
        vae: folder of the VAE.
    """
    tensors, _ = read_safetensors(vae / MODEL_WEIGHTS)
    config = read_model_config(vae / "config.json")
    digest = hashlib.sha256(str(config.get("scaling_factor")).encode())
    for name in sorted(tensors):
        if name.startswith(_ENCODER):
            digest.update(name.encode())
            digest.update(tensors[name].contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def sheet_pipeline(kind: Any, base: Path, dtype: torch.dtype) -> Any:
    """Load a pipeline that generates sample sheets, as `with_sheet_sampler` makes it.

    Args:
        kind: class of the pipeline.
        base: folder of the base.
        dtype: number format of the computation.
    """
    with no_progress_bars():
        pipeline = kind.from_pretrained(
            base,
            safety_checker=None,
            feature_extractor=None,
            image_encoder=None,
            requires_safety_checker=False,
            use_safetensors=True,
            dtype=dtype,
        )
    return with_sheet_sampler(pipeline)


def with_sheet_sampler(pipeline: Any) -> Any:
    """Let a pipeline sample by DPM-Solver++ and show no progress, and return it."""
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
        pipeline.scheduler.config, algorithm_type="dpmsolver++"
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def sheet_images(
    pipeline: Any, sheet: AdapterSheet, prompts: Sequence[Any], *conditions: Any
) -> list[Float[Tensor, "3 h w"]]:
    """Generate the images of a sheet in [-1, 1]; image i always begins from noise i.

    Args:
        pipeline: as `sheet_pipeline` loads it.
        sheet: denoising steps and guidance.
        prompts: a prompt for each image, or what else the pipeline takes first.
        conditions: what the pipeline takes after the prompts.
    """
    output = pipeline(
        list(prompts),
        *conditions,
        num_inference_steps=sheet.num_inference_steps,
        guidance_scale=sheet.guidance_scale,
        generator=[torch.Generator().manual_seed(i) for i in range(len(prompts))],
        output_type="pt",
    )
    return [2 * image.float().cpu() - 1 for image in output.images]


def _check_files(folder: Path, names: tuple[str, ...], key: str, what: str) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise WeightsError(
            f"{key}: {folder} is no folder of {what}; it lacks {', '.join(missing)}; "
            f"synthgen train {key} makes one"
        )


def _loaded(kind: Any, folder: Path) -> Any:
    with no_progress_bars():
        return load_model(kind, folder, torch.float32)


def _frozen(model: Any, device: torch.device) -> Any:
    return model.to(device).eval().requires_grad_(False)


@dataclass(frozen=True, slots=True)
class FrozenBase:
    """A base whose weights stay what they are.

    Attributes:
        folder: its folder.
        unet: predicts what the scheduler asks for.
        text_encoder: turns tokens into conditions.
        tokenizer: turns captions into tokens.
        scheduler: the noise schedule that the UNet was trained with.
    """

    folder: Path
    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    scheduler: DDPMScheduler

    def checksums(self) -> dict[str, str]:
        """Return the SHA-256 of the files that a training depends on, besides the VAE's."""
        tokenizer = sorted(p for p in (self.folder / "tokenizer").iterdir() if p.is_file())
        files = [*(self.folder / name for name in (*_WEIGHT_FILES, _SCHEDULER_FILE)), *tokenizer]
        return {path.relative_to(self.folder).as_posix(): file_sha256(path) for path in files}


def find_base(base: str, revision: str | None, fetch: bool = True) -> Path:
    """Return the folder of a base, fetched from the Hub if it is no folder here.

    Args:
        base: folder, Hub id, or `mini`.
        revision: revision on the Hub.
        fetch: whether to fetch what is not on this machine.

    Raises:
        WeightsError: if files are missing and cannot be fetched.
    """
    named = find_part(base) if base == MINI else base
    check_folder("base", named, "unet")
    return resolve(
        named,
        revision=revision,
        files=_FILES,
        patterns=["tokenizer/*"],
        setting="base",
        fetch=fetch,
    )


def check_folder(setting: str, named: str | Path, training: str) -> None:
    """Refuse a folder that is not there, and name the training that makes one.

    Args:
        setting: key of the configuration.
        named: folder or Hub id.
        training: command below `synthgen train`.

    Raises:
        WeightsError: if it can only be a folder, and there is none.
    """
    if names_folder(str(named)) and not Path(named).expanduser().is_dir():
        raise WeightsError(
            f"{setting}: folder {named} does not exist; `synthgen train {training} CONFIG --to "
            f"FOLDER` makes one, and {setting}: mini is the embedded one"
        )


def load_base(folder: Path, device: torch.device, dtype: torch.dtype, attention: str) -> FrozenBase:
    """Load what a training needs at each step.

    Args:
        folder: folder of the base.
        device: torch device.
        dtype: number format of the UNet and the text encoder.
        attention: `sdpa` or `explicit`.

    Raises:
        WeightsError: if weights do not fit their configuration, or the UNet predicts something that
            no loss is known for.
    """
    with no_progress_bars():
        unet = load_model(UNet2DConditionModel, folder / "unet", dtype)
        text_encoder = load_model(CLIPTextModel, folder / "text_encoder", dtype)
        tokenizer = load_tokenizer(folder / "tokenizer")
    check_text_parts(tokenizer, text_encoder, str(folder))
    if attention == "explicit":
        unet.set_attn_processor(AttnProcessor())
    if device.type == "cuda":
        unet.to(memory_format=torch.channels_last)
    return FrozenBase(
        folder=folder,
        unet=_frozen(unet, device),
        text_encoder=_frozen(text_encoder, device),
        tokenizer=tokenizer,
        scheduler=load_scheduler(folder / _SCHEDULER_FILE),
    )


def load_scheduler(path: Path) -> DDPMScheduler:
    """Load the noise schedule that a base was trained with.

    Args:
        path: `scheduler_config.json`.

    Raises:
        WeightsError: if the base predicts something that no loss is known for.
    """
    config = read_model_config(path)
    kind = config.get("prediction_type", "epsilon")
    if kind not in _PREDICTIONS:
        raise WeightsError(
            f"{path}: prediction_type is {kind!r}; training knows {', '.join(_PREDICTIONS)}"
        )
    try:
        known = DDPMScheduler.from_config(config)
    except Exception as error:  # of whatever a class does with the values of a strange config
        raise WeightsError(f"{path} cannot be loaded: {first_line(error)}") from error
    assert isinstance(known, DDPMScheduler)  # noqa: S101 - narrows the type
    return known
