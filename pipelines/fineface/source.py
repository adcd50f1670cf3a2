"""Image sources of Stable Diffusion: loading, noise, sizes; FineFace with and without people."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from math import sqrt
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
from jaxtyping import Float, Float32
from PIL.Image import Image
from torch import Tensor
from transformers import CLIPTextModel

from pipelines.fineface.adapter import text_width
from pipelines.fineface.checkpoint import stored_alpha
from pipelines.fineface.face_adapter import embedder_of, load_face_adapter
from pipelines.fineface.ip_adapter_pipeline import FineFaceIPAdapterPipeline
from pipelines.fineface.models import check_text_parts, load_model, no_progress_bars
from pipelines.fineface.pipeline import FineFacePipeline
from pipelines.fineface.prompts import (
    check_run_prompts,
    common_length,
    encode_in_pieces,
    load_tokenizer,
    piece_count,
    refuse_long,
)
from pipelines.fineface.section import DiffusionSection, FaceIdConfig, FineFaceConfig
from pipelines.fineface.weights import (
    FineFaceFolders,
    agreed_embedder,
    checksums,
    faceid_checksums,
    locate,
    locate_faceid,
)
from pipelines.interfaces import ImageSource
from pipelines.weight_files import read_json, read_model_config
from samplers.identities.identity import FaceIdentity
from samplers.spec import Attempt, SampleSpec
from synthgen.action_units import DEFAULT_AUS
from synthgen.config import RunConfig
from synthgen.errors import ConfigError, FaceEmbeddingError, WeightsError
from synthgen.foreign import first_line

PREDICTIONS = ("epsilon", "v_prediction", "sample")
"""Predictions that a UNet of Stable Diffusion may make; each sampler that is offered knows them."""

_USUAL_LATENT_SCALE = 0.18215
"""Latent scale of Stable Diffusion 1.x and 2.x, where a base has no VAE that says it."""


def check_parts(
    parts: Mapping[str, Any], scheduler: Mapping[str, Any], folders: FineFaceFolders
) -> None:
    """Refuse models that load and do not belong together.

    Args:
        parts: `unet`, `vae`, `text_encoder`, `tokenizer`.
        scheduler: configuration of the base's sampler.
        folders: where they lie, for errors.

    Raises:
        WeightsError: if tokens, text widths, latent channels or latent scales differ, or the base
            predicts what no sampler here knows.
    """
    base, unet, vae = folders.base, parts["unet"].config, parts["vae"].config
    check_text_parts(parts["tokenizer"], parts["text_encoder"], str(base))
    attended = text_width(parts["unet"])
    if (width := parts["text_encoder"].config.hidden_size) != attended:
        raise WeightsError(
            f"the text encoder in {base} gives embeddings {width} wide; its UNet attends to "
            f"{attended}"
        )
    channels = (unet.in_channels, unet.out_channels, vae.latent_channels)
    if len(set(channels)) > 1:
        raise WeightsError(
            f"the UNet in {base} takes {channels[0]} channels and gives {channels[1]}, and the "
            f"latents of the VAE {folders.vae_model} have {channels[2]}; for text to image they "
            "must be equal (a base for inpainting or depth has more)"
        )
    _check_latent_scale(folders, vae.scaling_factor)
    kind = scheduler.get("prediction_type", "epsilon")
    if "FlowMatch" in str(scheduler.get("_class_name")):
        kind = "flow"  # which its configuration does not say: its class alone does
    if kind not in PREDICTIONS:
        raise WeightsError(
            f"{base}/scheduler/scheduler_config.json: prediction_type is {str(kind)[:60]!r}; "
            f"samplers here know {', '.join(PREDICTIONS)}"
        )


def _check_latent_scale(folders: FineFaceFolders, scale: float) -> None:
    """Refuse a VAE of another kind of Stable Diffusion: its images would be washed out."""
    own = folders.base / "vae" / "config.json"
    if folders.vae is None:
        return
    expected = _USUAL_LATENT_SCALE
    if own.exists():
        expected = read_model_config(own).get("scaling_factor", expected)
    if scale != expected:
        raise WeightsError(
            f"the VAE {folders.vae} has the latent scale {scale:g}; the base {folders.base} was "
            f"trained with {expected:g} (a VAE of SDXL serves no Stable Diffusion 1.x or 2.x)"
        )


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


# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.


_PACKAGES = ("torch", "diffusers", "transformers", "peft")


class DiffusionSource(ImageSource):
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

    def __init__(self, config: DiffusionSection, pipeline: FineFacePipeline) -> None:
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

    def generate(self, attempts: Sequence[Attempt]) -> list[Image]:
        """Paint a batch; the noise of each image comes from its own generator on the CPU.

        An image with a number that is not finite becomes black as a whole, which no policy keeps.
        """
        output = self._pipeline(**self._arguments(attempts), output_type="np")
        assert isinstance(output, StableDiffusionPipelineOutput)  # noqa: S101 - narrows the type
        pixels = np.asarray(output.images)  # [batch, height, width, 3], in [0, 1]
        pixels[~np.isfinite(pixels).all(axis=(1, 2, 3))] = 0
        return self._pipeline.image_processor.numpy_to_pil(pixels)

    def prepare(self, run: RunConfig) -> None:
        """Check that no prompt of a run is cut, and learn the length of its embeddings.

        Raises:
            PromptError: if the text encoder would not see the end of one.
        """
        self._pieces = check_run_prompts(
            self._pipeline.tokenizer, run.identities, self._config.long_prompts
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
            "aus": [attempt.spec.aus_of(DEFAULT_AUS) for attempt in attempts],
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


def _check_size(config: DiffusionSection, cell: int) -> None:
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
    config: DiffusionSection,
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


class FineFaceSource(DiffusionSource):
    """An `ImageSource` of FineFace images.

    Args:
        config: weights, sampler and number format.
        device: torch device, such as `cpu` or `cuda:0`.

    Raises:
        WeightsError: if weights are missing, cannot be fetched, or do not fit one another.
    """

    name = "fineface"

    def __init__(self, config: FineFaceConfig, device: str) -> None:
        self._folders = locate(config.weights)
        super().__init__(config, load_pipeline(FineFacePipeline, self._folders, config, device))

    def _checksums(self) -> dict[str, str]:
        return {**checksums(self._folders), **self._stored_alpha(self._folders)}

    def _licences(self) -> Mapping[str, str]:
        return self._folders.licences


class FaceIdSource(DiffusionSource):
    """An `ImageSource` of FineFace images that show the person of each spec.

    Args:
        config: weights, sampler and number format.
        device: torch device, such as `cpu` or `cuda:0`.

    Attributes:
        embedder: fingerprint of the recogniser whose embeddings the weights understand.

    Raises:
        WeightsError: if weights are missing, cannot be fetched, or do not fit one another, or
            nothing says which recogniser they expect.
    """

    name = "fineface-faceid"

    def __init__(self, config: FaceIdConfig, device: str) -> None:
        self._files = locate_faceid(config.weights)
        adapter = self._files.face_adapter
        self.embedder = agreed_embedder(self._files.embedder, embedder_of(adapter), adapter)
        pipeline = load_pipeline(FineFaceIPAdapterPipeline, self._files.folders, config, device)
        load_face_adapter(pipeline, adapter)
        self._faces, self._ip_scale = config.faces, config.ip_scale
        super().__init__(config, pipeline)

    def _checksums(self) -> dict[str, str]:
        return {**faceid_checksums(self._files), **self._stored_alpha(self._files.folders)}

    def _licences(self) -> Mapping[str, str]:
        return self._files.licences

    def check(self, spec: SampleSpec) -> None:
        """Check that a spec shows a person whose embeddings these weights understand.

        Raises:
            FaceEmbeddingError: if it has no embeddings, or those of another recogniser.
        """
        self._person(spec)

    def _arguments(self, attempts: Sequence[Attempt]) -> dict[str, Any]:
        people = [self._person(attempt.spec) for attempt in attempts]
        return {
            **super()._arguments(attempts),
            "faceid_embeds": np.stack([shown_faces(person, self._faces) for person in people]),
            "ip_scale": self._ip_scale,
        }

    def _person(self, spec: SampleSpec) -> FaceIdentity:
        person = spec.faceid
        if person is None:
            raise FaceEmbeddingError(
                f"{spec.sample_id} has no face embedding; the pipeline {self.name} shows people of "
                "the identity source faceid"
            )
        if person.embedder != self.embedder:
            raise FaceEmbeddingError(
                f"the embeddings of {person.identity_id} were made by {person.embedder!r}; the "
                f"IP-Adapter {self._files.face_adapter.name} was trained with {self.embedder!r}"
            )
        return person


def shown_faces(person: FaceIdentity, faces: int) -> Float32[np.ndarray, "faces 512"]:
    """Return a number of a person's faces: the first ones, in turn where there are fewer."""
    return person.embeddings[np.arange(faces) % len(person.embeddings)]
