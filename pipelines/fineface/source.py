"""Paints the samples of a run with FineFace."""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion import StableDiffusionPipelineOutput
from jaxtyping import Float
from PIL.Image import Image
from safetensors import SafetensorError
from torch import Tensor
from transformers import CLIPTextModel

from pipelines.fineface.pipeline import FineFacePipeline
from pipelines.fineface.quiet import no_progress_bars
from pipelines.fineface.weights import checksums, locate
from samplers.spec import Attempt
from synthgen.config import FineFaceConfig
from synthgen.errors import WeightsError

_PACKAGES = ("torch", "diffusers", "transformers", "peft")


class FineFaceSource:
    """An `ImageSource` of FineFace images.

    Stable Diffusion's safety checker is not loaded: it blackens some faces, and each image is
    checked by the verifier anyway. Mind the licence of the base before you publish images.

    Args:
        config: weights, sampler and number format.
        device: torch device, such as `cpu` or `cuda:0`.

    Raises:
        WeightsError: if weights are missing, cannot be fetched, or do not fit one another.
    """

    name = "fineface"

    def __init__(self, config: FineFaceConfig, device: str) -> None:
        self._config = config
        self._folders = locate(config.weights)
        with no_progress_bars():
            self._pipeline = self._load(getattr(torch, config.dtype), device)
        if device.startswith("cuda"):
            torch.backends.cudnn.deterministic = True

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images [pixels]: the configured ones, or the base's own."""
        pipeline = self._pipeline
        side = pipeline.unet.config.sample_size
        own = (side, side) if isinstance(side, int) else tuple(side)
        height, width = (length * pipeline.vae_scale_factor for length in own)
        return self._config.height or height, self._config.width or width

    def paint(self, attempts: Sequence[Attempt]) -> list[Image]:
        """Paint a batch; the noise of each image comes from its own generator on the CPU."""
        height, width = self.size
        generators = [torch.Generator("cpu").manual_seed(attempt.seed) for attempt in attempts]
        config = self._config
        output = self._pipeline(
            prompt=[attempt.spec.prompt for attempt in attempts],
            aus=[attempt.spec.aus for attempt in attempts],
            au_scale=config.au_scale,
            negative_prompt=[attempt.spec.negative_prompt for attempt in attempts],
            height=height,
            width=width,
            num_inference_steps=config.num_inference_steps,
            guidance_scale=config.guidance_scale,
            latents=self._noise(generators, height, width),
            generator=generators,
        )
        assert isinstance(output, StableDiffusionPipelineOutput)  # noqa: S101 - narrows the type
        return list(output.images)

    def fingerprint(self) -> dict[str, Any]:
        """Return checksums of the files in use, licences, and versions of what computes."""
        return {
            "weights": checksums(self._folders),
            "licences": dict(self._folders.licences),
            "versions": {package: version(package) for package in _PACKAGES},
        }

    def _noise(
        self, generators: Sequence[torch.Generator], height: int, width: int
    ) -> Float[Tensor, "batch channels height width"]:
        pipeline = self._pipeline
        scale = pipeline.vae_scale_factor
        shape = (pipeline.unet.config.in_channels, height // scale, width // scale)
        noise = [torch.randn(shape, generator=generator) for generator in generators]
        return torch.stack(noise).to(pipeline.unet.dtype)

    def _load(self, dtype: torch.dtype, device: str) -> FineFacePipeline:
        folders = self._folders
        try:
            pipeline = FineFacePipeline.from_pretrained(
                folders.base,
                unet=_model(UNet2DConditionModel, folders.base / "unet", dtype),
                vae=_model(AutoencoderKL, folders.vae_model, dtype),
                text_encoder=_model(CLIPTextModel, folders.base / "text_encoder", dtype),
                safety_checker=None,
                feature_extractor=None,
                image_encoder=None,
                requires_safety_checker=False,
                dtype=dtype,
                local_files_only=True,
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise WeightsError(
                f"{folders.base} cannot be loaded as Stable Diffusion: {_line(error)}"
            ) from error
        pipeline.load_au_adapter(folders.fineface, lora_scale=folders.lora_scale)
        pipeline.scheduler = _scheduler(self._config.scheduler, pipeline.scheduler)
        pipeline.unet.to(memory_format=torch.channels_last)
        pipeline.vae.to(memory_format=torch.channels_last)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline.to(device)


def _model(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """Load one model, and refuse one that would be left partly random."""
    model, info = kind.from_pretrained(
        folder, dtype=dtype, output_loading_info=True, use_safetensors=True
    )
    for what in ("missing_keys", "mismatched_keys"):
        if info[what]:
            names = ", ".join(map(str, sorted(info[what])[:5]))
            raise WeightsError(
                f"{folder} does not fit its config.json; {what.replace('_', ' ')}: {names}"
            )
    return model


def _scheduler(name: str, base: Any) -> Any:
    if name == "dpmpp":
        return DPMSolverMultistepScheduler.from_config(base.config, algorithm_type="dpmsolver++")
    if name == "ddim":
        return DDIMScheduler.from_config(base.config, clip_sample=False)
    return base


def _line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
