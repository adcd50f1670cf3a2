"""Shared by the image sources of Stable Diffusion: noise, people, sizes, samplers, images."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from math import sqrt
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, LCMScheduler
from diffusers.pipelines.stable_diffusion import StableDiffusionPipelineOutput
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor

from pipelines.diffusion.section import DiffusionSection
from pipelines.interfaces import ImageSource
from samplers.identities.identity import FaceIdentity
from samplers.spec import Attempt, SampleSpec
from synthgen.errors import ConfigError, FaceEmbeddingError

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.


def own_generator(attempt: Attempt) -> torch.Generator:
    """Return the generator of an attempt's noise, on the CPU.

    An attempt without noise of its own gets its identity's, so that a sampler that draws on the way
    draws the same for all samples of the identity.
    """
    return torch.Generator("cpu").manual_seed(attempt.noise_seed)


def first_noise(
    attempt: Attempt, generator: torch.Generator, shape: Sequence[int]
) -> Float[Tensor, "..."]:
    """Draw standard normal noise of an attempt.

    A blend √(1−s)·shared + √s·own of independent normals is standard normal again.

    Args:
        attempt: whose noise.
        generator: its `own_generator`, which goes on from here.
        shape: of one image's latents.
    """
    own = torch.randn(shape, generator=generator)
    if attempt.shared_seed is None or attempt.own_share == 0:
        return own
    shared = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(attempt.shared_seed))
    return sqrt(1 - attempt.own_share) * shared + sqrt(attempt.own_share) * own


def person_of(spec: SampleSpec, pipeline: str) -> FaceIdentity:
    """Return the person of a spec, for a pipeline that shows people by their embeddings.

    Args:
        spec: the spec.
        pipeline: name of the pipeline, for the error.

    Raises:
        FaceEmbeddingError: if the spec has no embeddings.
    """
    if spec.faceid is None:
        raise FaceEmbeddingError(
            f"{spec.sample_id} has no face embedding; the pipeline {pipeline} shows people of the "
            "identity source faceid"
        )
    return spec.faceid


class DiffusionSource(ImageSource):
    """An `ImageSource` of images of a Stable Diffusion pipeline.

    Stable Diffusion's safety checker is not loaded: it blackens some faces, and each image is
    checked by the verifier anyway. Mind the licence of the base before you publish images.

    Args:
        config: size and number format.
        pipeline: the pipeline, on its device; it is called with names.

    Raises:
        ConfigError: if the size is no multiple of a cell of the latents.
    """

    name: str
    packages: ClassVar[tuple[str, ...]] = ("torch", "diffusers", "transformers", "peft")

    def __init__(self, config: DiffusionSection, pipeline: Any) -> None:
        self._config: Any = config
        self._pipeline = pipeline
        _check_size(config, pipeline.vae_scale_factor)
        if pipeline.device.type == "cuda":
            torch.backends.cudnn.deterministic = True

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images [pixels]: the configured ones, or the base's own."""
        pipeline, config = self._pipeline, self._config
        side = pipeline.unet.config.sample_size
        own = (side, side) if isinstance(side, int) else tuple(side)
        height, width = (length * pipeline.vae_scale_factor for length in own)
        return config.height or height, config.width or width

    def generate(self, attempts: Sequence[Attempt]) -> list[Image]:
        """Paint a batch; the noise of each image comes from its own generator on the CPU.

        An image with a number that is not finite becomes black as a whole, which no policy keeps.
        """
        output = self._pipeline(**self._arguments(attempts), output_type="np")
        assert isinstance(output, StableDiffusionPipelineOutput)  # noqa: S101 - narrows the type
        pixels = np.asarray(output.images)  # [batch, height, width, 3], in [0, 1]
        pixels[~np.isfinite(pixels).all(axis=(1, 2, 3))] = 0
        return self._pipeline.image_processor.numpy_to_pil(pixels)

    def fingerprint(self) -> dict[str, Any]:
        """Return checksums of the files in use, licences, and versions of what computes."""
        return {
            "weights": self._checksums(),
            "licences": dict(self._licences()),
            "versions": {package: version(package) for package in self.packages},
        }

    @abstractmethod
    def _checksums(self) -> dict[str, str]:
        """Return the SHA-256 of each file in use, and what a LoRA's file says of its alpha."""

    @abstractmethod
    def _licences(self) -> Mapping[str, str]:
        """Return what is used → its licence."""

    def _arguments(self, attempts: Sequence[Attempt]) -> dict[str, Any]:
        """Return what the pipeline is called with: size, steps, guidance and noise, and more."""
        height, width = self.size
        generators = [own_generator(attempt) for attempt in attempts]
        return {
            "height": height,
            "width": width,
            "num_inference_steps": self._config.num_inference_steps,
            "guidance_scale": self._config.guidance_scale,
            "latents": self._noise(attempts, generators, height, width),
            "generator": generators,
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


def _check_size(config: DiffusionSection, cell: int) -> None:
    """Refuse a size that would be rounded down to whole cells of the latents."""
    for name in ("height", "width"):
        length = getattr(config, name)
        if length is not None and length % cell:
            raise ConfigError(
                f"pipeline.{name} is {length}; with this base it must be a multiple of {cell}"
            )


def make_scheduler(name: str, base: Any) -> Any:
    """Return a sampler of the noise levels of another one.

    Args:
        name: `dpmpp`, `ddim`, `lcm`, or `base`.
        base: the sampler that a base comes with.
    """
    if name == "dpmpp":
        return DPMSolverMultistepScheduler.from_config(base.config, algorithm_type="dpmsolver++")
    if name == "ddim":
        return DDIMScheduler.from_config(base.config, clip_sample=False)
    return LCMScheduler.from_config(base.config) if name == "lcm" else base


def ready(pipeline: Any, device: str) -> Any:
    """Return a pipeline on its device, laid out for its convolutions and without progress bars."""
    pipeline.unet.to(memory_format=torch.channels_last)
    pipeline.vae.to(memory_format=torch.channels_last)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)
