"""Stable Diffusion of a person whom an ArcFace embedding tells."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    SchedulerMixin,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from diffusers.pipelines.stable_diffusion import (
    StableDiffusionPipelineOutput,
    StableDiffusionSafetyChecker,
)
from jaxtyping import Float
from torch import Tensor
from transformers import (
    CLIPImageProcessor,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionModelWithProjection,
)

from pipelines.arc2face.checkpoint import load_parts
from pipelines.arc2face.identity import IdEmbeddings, check_text, encode_people, id_batch
from pipelines.arc2face.weights import ENCODER, UNET, locate_base, locate_published
from pipelines.diffusion.models import no_progress_bars
from pipelines.fineface.prompts import refuse_long
from synthgen.errors import FaceEmbeddingError, WeightsError
from synthgen.foreign import first_line

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

NUM_INFERENCE_STEPS = 25
GUIDANCE_SCALE = 3.0


class Arc2FacePipeline(StableDiffusionPipeline):
    """Images of people by their ArcFace embeddings (Arc2Face, arXiv 2403.11641).

    The embeddings must come from Arc2Face's own `arcface.onnx`: another recogniser's give a wrong
    face without any error. The arguments are those of `StableDiffusionPipeline`; a safety checker
    is not loaded unless it is given.
    """

    def __init__(
        self,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        unet: UNet2DConditionModel,
        scheduler: SchedulerMixin,
        safety_checker: StableDiffusionSafetyChecker | None,
        feature_extractor: CLIPImageProcessor | None,
        image_encoder: CLIPVisionModelWithProjection | None = None,
        requires_safety_checker: bool = True,
    ) -> None:
        components: dict[str, Any] = {
            "vae": vae,
            "text_encoder": text_encoder,
            "tokenizer": tokenizer,
            "unet": unet,
            "scheduler": scheduler,
            "safety_checker": safety_checker,
            "feature_extractor": feature_extractor,
            "image_encoder": image_encoder,
        }
        if text_encoder is not None and tokenizer is not None:
            check_text(tokenizer, text_encoder)
        super().__init__(**components, requires_safety_checker=requires_safety_checker)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | PathLike[str], **kwargs: Any
    ) -> Any:
        """Load Arc2Face from its published layout, or from a folder that diffusers saved.

        Args:
            pretrained_model_name_or_path: without `base` a folder or Hub id of the layout of
                diffusers, Arc2Face's UNet and text encoder in it. With `base` the published layout:
                `FoivosPar/Arc2Face`, or a folder of `arc2face/` and `encoder/`.
            kwargs: `base`: folder or Hub id of the Stable Diffusion 1.5 that gives VAE, tokenizer
                and sampler. `revision` and `base_revision` on the Hub. `dtype`: number format,
                float32 by default. `scheduler`: a sampler; without it DPM-Solver++ is made from the
                configuration of the one that was saved. Other components and arguments of
                `StableDiffusionPipeline` by their names.

        Raises:
            WeightsError: if a file is missing or holds code, if weights are missing, superfluous
                or not finite, if the text width is below 512, or the tokenizer splits "id".
        """
        base = kwargs.pop("base", None)
        revision, base_revision = kwargs.pop("revision", None), kwargs.pop("base_revision", None)
        older = kwargs.pop("torch_dtype", torch.float32)
        dtype = kwargs.pop("dtype", older)
        name = pretrained_model_name_or_path
        if base is None:
            folder = locate_base(str(name), revision=revision, whole=True)
            unet, encoder = folder / "unet", folder / "text_encoder"
        else:
            folder = locate_base(base, revision=base_revision)
            published = locate_published(str(name), revision=revision)
            unet, encoder = published / UNET, published / ENCODER
        own = {
            "safety_checker": None,
            "feature_extractor": None,
            "image_encoder": None,
            "requires_safety_checker": False,
        }
        with no_progress_bars():
            parts = load_parts(folder, unet, encoder, dtype, kwargs)
            try:
                pipeline = super().from_pretrained(
                    folder, **{**own, **kwargs, **parts}, dtype=dtype, local_files_only=True
                )
            except Exception as error:  # of whatever diffusers does with a strange index
                raise WeightsError(
                    f"{folder} cannot be loaded as Stable Diffusion: {first_line(error)}"
                ) from error
        if "scheduler" not in kwargs:
            pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
                pipeline.scheduler.config, algorithm_type="dpmsolver++"
            )
        return pipeline

    def encode_identity(self, id_embeds: IdEmbeddings) -> Float[Tensor, "people tokens width"]:
        """Return people as the UNet attends to them: the `prompt_embeds` of a call.

        Args:
            id_embeds: ArcFace embeddings [batch, 512] or [512] in any array type; they are
                L2-normalised here.

        Raises:
            FaceEmbeddingError: if they are not finite, zero, or not 512 wide.
            WeightsError: if the text encoder cannot take them.
        """
        return encode_people(
            id_batch(id_embeds), self.tokenizer, self.text_encoder, self._execution_device
        )

    @torch.no_grad()
    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride] - people come first
        self,
        id_embeds: IdEmbeddings = None,
        *,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = NUM_INFERENCE_STEPS,
        timesteps: list[int] | None = None,
        sigmas: list[float] | None = None,
        guidance_scale: int | float = GUIDANCE_SCALE,
        negative_prompt: str | list[str] | None = None,
        num_images_per_prompt: int = 1,
        eta: int | float = 0.0,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        cross_attention_kwargs: dict[str, Any] | None = None,
        guidance_rescale: int | float = 0.0,
        callback_on_step_end: Callable[..., Any]
        | PipelineCallback
        | MultiPipelineCallbacks
        | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> StableDiffusionPipelineOutput | tuple[Any, ...]:
        """Paint people.

        Args:
            id_embeds: ArcFace embeddings [batch, 512] or [512] in any array type, made by
                Arc2Face's own `arcface.onnx`; they are L2-normalised here.
            height: height [pixels]; None: the base's own.
            width: width [pixels]; None: the base's own.
            num_inference_steps: denoising steps.
            timesteps: timesteps of one's own instead, descending.
            sigmas: noise levels of one's own instead.
            guidance_scale: guidance of the person; at most 1: none.
            negative_prompt: what the images must not show; a list has one for each person.
            num_images_per_prompt: images of each person, next to one another in the output.
            eta: η of DDIM [0, 1]; other samplers ignore it.
            generator: source of the noise; a list has one for each image.
            latents: noise to start from [images, channels, height / 8, width / 8].
            prompt_embeds: what `encode_identity` returns [batch, tokens, width], or a mix of
                people, instead of `id_embeds`.
            negative_prompt_embeds: likewise instead of `negative_prompt`.
            output_type: `pil`, `np`, `pt` or `latent`.
            return_dict: False: return a tuple.
            cross_attention_kwargs: arguments for the attention processors.
            guidance_rescale: φ against overexposure (arXiv 2305.08891, §3.4).
            callback_on_step_end: called after each step.
            callback_on_step_end_tensor_inputs: names of the tensors that it is given.

        Returns:
            `StableDiffusionPipelineOutput`, or a tuple of its fields if `return_dict` is False.

        Raises:
            FaceEmbeddingError: if the embeddings are missing, not finite, zero, or not 512 wide.
            WeightsError: if the text encoder cannot take them.
            PromptError: if the text encoder would not see the end of a negative prompt.
            ValueError: if Stable Diffusion refuses another argument.
        """
        people = self._people(id_embeds, prompt_embeds)
        return super().__call__(
            height=height,
            width=width,
            num_inference_steps=num_inference_steps,
            timesteps=timesteps,  # pyright: ignore[reportArgumentType]
            sigmas=sigmas,  # pyright: ignore[reportArgumentType]
            guidance_scale=guidance_scale,
            negative_prompt=self._negatives(negative_prompt, len(people)),
            num_images_per_prompt=num_images_per_prompt,
            eta=eta,
            generator=generator,
            latents=latents,
            prompt_embeds=people,
            negative_prompt_embeds=negative_prompt_embeds,
            output_type=output_type,
            return_dict=return_dict,
            cross_attention_kwargs=cross_attention_kwargs,
            guidance_rescale=guidance_rescale,
            callback_on_step_end=callback_on_step_end,
            callback_on_step_end_tensor_inputs=list(callback_on_step_end_tensor_inputs),
        )

    def _people(self, id_embeds: IdEmbeddings, prompt_embeds: Tensor | None) -> Tensor:
        if (id_embeds is None) == (prompt_embeds is None):
            raise FaceEmbeddingError(
                "give people as id_embeds or, encoded already, as prompt_embeds; exactly one of "
                "the two"
            )
        return self.encode_identity(id_embeds) if prompt_embeds is None else prompt_embeds

    def _negatives(self, given: str | list[str] | None, people: int) -> str | list[str] | None:
        """Refuse negative prompts that would be cut, and return one for each person."""
        texts = [given] * people if isinstance(given, str) else given
        known = [text for text in texts or [] if isinstance(text, str)]
        converted = self.maybe_convert_prompt(known, self.tokenizer)
        mend = ", or encode it yourself and give negative_prompt_embeds"
        refuse_long(self.tokenizer, converted, "the negative prompt", "refuse", mend)
        return texts
