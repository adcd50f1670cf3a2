"""What image sources of Stable Diffusion have in common: loading, noise, sizes, arguments."""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
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
from torch import Tensor
from transformers import CLIPTextModel

from pipelines.fineface.checkpoint import stored_alpha
from pipelines.fineface.models import load_model
from pipelines.fineface.noise import first_noise, own_generator
from pipelines.fineface.parts import check_parts
from pipelines.fineface.pipeline import FineFacePipeline
from pipelines.fineface.prompt_pieces import common_length, encode_in_pieces
from pipelines.fineface.prompts import check_run_prompts, load_tokenizer, piece_count, refuse_long
from pipelines.fineface.quiet import no_progress_bars
from pipelines.fineface.weights import FineFaceFolders
from pipelines.weight_files import read_json, read_model_config
from samplers.spec import Attempt
from synthgen.config import FaceIdConfig, FineFaceConfig
from synthgen.config.identities.base import IdentitySection
from synthgen.errors import ConfigError, WeightsError
from synthgen.foreign import first_line

_PACKAGES = ("torch", "diffusers", "transformers", "peft")


class DiffusionSource(ABC):
    """An `ImageSource` of images of a `FineFacePipeline`.

    Stable Diffusion's safety checker is not loaded: it blackens some faces, and each image is
    checked by the verifier anyway. Mind the licence of the base before you publish images.

    Args:
        config: sampler and number format.
        pipeline: the pipeline, on its device.

    Raises:
        ConfigError: if the size is no multiple of a cell of the latents.
    """

    name: str

    def __init__(self, config: FineFaceConfig | FaceIdConfig, pipeline: FineFacePipeline) -> None:
        self._config = config
        self._pipeline = pipeline
        self._pieces = 1
        _check_size(config, pipeline.vae_scale_factor)
        if pipeline.device.type == "cuda":
            torch.backends.cudnn.deterministic = True
        if config.compile:
            # In the default mode: autotuning picks kernels by their time, and bits would follow.
            pipeline.unet.compile(dynamic=False)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images [pixels]: the configured ones, or the base's own."""
        pipeline, config = self._pipeline, self._config
        side = pipeline.unet.config.sample_size
        own = (side, side) if isinstance(side, int) else tuple(side)
        height, width = (length * pipeline.vae_scale_factor for length in own)
        return config.height or height, config.width or width

    def paint(self, attempts: Sequence[Attempt]) -> list[Image]:
        """Paint a batch; the noise of each image comes from its own generator on the CPU.

        An image with a number that is not finite becomes black as a whole, which no policy keeps.
        """
        output = self._pipeline(**self._arguments(attempts), output_type="np")
        assert isinstance(output, StableDiffusionPipelineOutput)  # noqa: S101 - narrows the type
        pixels = np.asarray(output.images)  # [batch, height, width, 3], in [0, 1]
        pixels[~np.isfinite(pixels).all(axis=(1, 2, 3))] = 0
        return self._pipeline.image_processor.numpy_to_pil(pixels)

    def check_prompts(self, identities: IdentitySection) -> None:
        """Check that no prompt of a run is cut, and learn the length of its embeddings.

        Raises:
            PromptError: if the text encoder would not see the end of one.
        """
        self._pieces = check_run_prompts(
            self._pipeline.tokenizer, identities, self._config.long_prompts
        )

    def fingerprint(self) -> dict[str, Any]:
        """Return checksums of the files in use, licences, and versions of what computes."""
        return {
            "weights": self._checksums(),
            "licences": dict(self._licences()),
            "versions": {package: version(package) for package in _PACKAGES},
        }

    @staticmethod
    def _stored_alpha(folders: FineFaceFolders) -> dict[str, str]:
        return stored_alpha(folders.fineface, folders.weight_prefix, folders.lora_scale)

    @abstractmethod
    def _checksums(self) -> dict[str, str]:
        """Return the SHA-256 of each file in use, and what a LoRA's file says of its alpha."""

    @abstractmethod
    def _licences(self) -> Mapping[str, str]:
        """Return what is used → its licence."""

    def _arguments(self, attempts: Sequence[Attempt]) -> dict[str, Any]:
        height, width = self.size
        generators = [own_generator(attempt) for attempt in attempts]
        config = self._config
        return {
            **self._texts(attempts),
            "aus": [attempt.spec.aus for attempt in attempts],
            "au_scale": config.au_scale,
            "height": height,
            "width": width,
            "num_inference_steps": config.num_inference_steps,
            "guidance_scale": config.guidance_scale,
            "latents": self._noise(attempts, generators, height, width),
            "generator": generators,
        }

    def _texts(self, attempts: Sequence[Attempt]) -> dict[str, Any]:
        """Return the prompts, or their embeddings where long ones are read in pieces."""
        prompts = [attempt.spec.prompt for attempt in attempts]
        negatives = [attempt.spec.negative_prompt for attempt in attempts]
        tokenizer, mode = self._pipeline.tokenizer, self._config.long_prompts
        refuse_long(tokenizer, prompts, "the prompt", mode)
        refuse_long(tokenizer, negatives, "the negative prompt", mode)
        if mode == "refuse":
            return {"prompt": prompts, "negative_prompt": negatives}
        # The run's length, not the batch's: bits follow the shape, and no row its neighbours.
        pieces = max(self._pieces, piece_count(tokenizer, [*prompts, *negatives]))
        length = common_length(pieces)
        return {
            "prompt_embeds": encode_in_pieces(self._pipeline, prompts, length),
            "negative_prompt_embeds": encode_in_pieces(self._pipeline, negatives, length),
        }

    def _noise(
        self,
        attempts: Sequence[Attempt],
        generators: Sequence[torch.Generator],
        height: int,
        width: int,
    ) -> Float[Tensor, "batch channels height width"]:
        pipeline = self._pipeline
        scale = pipeline.vae_scale_factor
        shape = (pipeline.unet.config.in_channels, height // scale, width // scale)
        noise = [first_noise(*pair, shape) for pair in zip(attempts, generators, strict=True)]
        return torch.stack(noise).to(pipeline.unet.dtype)


def _check_size(config: FineFaceConfig | FaceIdConfig, cell: int) -> None:
    """Refuse a size that would be rounded down to whole cells of the latents."""
    for name in ("height", "width"):
        length = getattr(config, name)
        if length is not None and length % cell:
            raise ConfigError(
                f"pipeline.{name} is {length}; with this base it must be a multiple of {cell}"
            )


def load_pipeline(
    kind: type[FineFacePipeline],
    folders: FineFaceFolders,
    config: FineFaceConfig | FaceIdConfig,
    device: str,
) -> Any:
    """Load a base with its AU adapter and sampler.

    Args:
        kind: class of the pipeline.
        folders: where the weights are.
        config: sampler and number format.
        device: torch device, such as `cpu` or `cuda:0`.

    Raises:
        WeightsError: if weights do not fit one another.
    """
    with no_progress_bars():
        pipeline = _load_base(kind, folders, getattr(torch, config.dtype))
        pipeline.load_au_adapter(
            folders.fineface, weight_prefix=folders.weight_prefix, lora_scale=folders.lora_scale
        )
    pipeline.scheduler = _scheduler(config.scheduler, pipeline.scheduler)
    pipeline.unet.to(memory_format=torch.channels_last)
    pipeline.vae.to(memory_format=torch.channels_last)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def _load_base(kind: Any, folders: FineFaceFolders, dtype: torch.dtype) -> Any:
    base = folders.base
    read_json(base / "model_index.json", "pipeline index")
    scheduler = read_model_config(base / "scheduler" / "scheduler_config.json")
    parts: dict[str, Any] = {
        "unet": load_model(UNet2DConditionModel, base / "unet", dtype),
        "vae": load_model(AutoencoderKL, folders.vae_model, dtype),
        "text_encoder": load_model(CLIPTextModel, base / "text_encoder", dtype),
        "tokenizer": load_tokenizer(base / "tokenizer"),
    }
    check_parts(parts, scheduler, folders)
    try:
        return kind.from_pretrained(
            base,
            **parts,
            safety_checker=None,
            feature_extractor=None,
            image_encoder=None,
            requires_safety_checker=False,
            dtype=dtype,
            local_files_only=True,
        )
    except Exception as error:  # of whatever diffusers does with a strange index or scheduler
        raise WeightsError(
            f"{base} cannot be loaded as Stable Diffusion: {first_line(error)}"
        ) from error


def _scheduler(name: str, base: Any) -> Any:
    if name == "dpmpp":
        return DPMSolverMultistepScheduler.from_config(base.config, algorithm_type="dpmsolver++")
    if name == "ddim":
        return DDIMScheduler.from_config(base.config, clip_sample=False)
    return base
