"""Stable Diffusion of a person whom an ArcFace embedding tells."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
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
from pipelines.arc2face.expression import read_expression_adapter, takes_expressions
from pipelines.arc2face.identity import IdEmbeddings, check_text, encode_people, id_batch
from pipelines.arc2face.inputs import References, image_size, reference_batch, sample_count
from pipelines.arc2face.reference import (
    ReferenceAdapter,
    keep_features,
    read_reference_adapter,
    reference_branch,
)
from pipelines.arc2face.section import GUIDANCE_SCALE, NUM_INFERENCE_STEPS
from pipelines.arc2face.weights import (
    ENCODER,
    EXPRESSION_FILE,
    EXPRESSION_FOLDER,
    REFERENCE_FILE,
    REFERENCE_FOLDER,
    UNET,
    locate_adapter,
    locate_base,
    locate_published,
)
from pipelines.diffusion.ip_adapter import adapter_scale, load_tensors
from pipelines.diffusion.models import no_progress_bars
from pipelines.diffusion.prompts import refuse_long
from pipelines.diffusion.unet import plain_module
from samplers.flame.expression import FLAME_WIDTH, flame_batch
from synthgen.errors import FaceEmbeddingError, WeightsError
from synthgen.foreign import first_line

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

Expressions = Any
"""FLAME numbers of the shape [batch, 55] or [55] in any array type, or `FlameExpression`s."""


class Arc2FacePipeline(StableDiffusionPipeline):
    """Images of people by their ArcFace embeddings (Arc2Face, arXiv 2403.11641).

    The embeddings must come from Arc2Face's own `arcface.onnx`: another recogniser's give a wrong
    face without any error. With an expression adapter (arXiv 2510.04706) a person shows an
    expression that 55 FLAME numbers tell, and with a reference adapter the appearance and the
    background are those of a picture. The arguments are those of `StableDiffusionPipeline`; a
    safety checker is not loaded unless it is given.
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
        self._reference_adapter: ReferenceAdapter | None = None

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

    def load_expression_adapter(
        self, pretrained_model_name_or_path: str | Path, *, revision: str | None = None
    ) -> None:
        """Load the adapter that shows expressions; one that was loaded before gives way.

        The file is checked before anything is changed. As diffusers loads IP-Adapters, attention
        processors that were set before are lost.

        Args:
            pretrained_model_name_or_path: folder with `exp_adapter.bin`, or a Hub id such as
                `FoivosPar/Arc2Face`.
            revision: revision on the Hub.

        Raises:
            WeightsError: if the file is missing, holds code, is an IP-Adapter of another kind, or
                does not fit the UNet.
        """
        path = locate_adapter(
            pretrained_model_name_or_path,
            EXPRESSION_FILE,
            below=EXPRESSION_FOLDER,
            revision=revision,
        )
        tensors = read_expression_adapter(path, self._plain_unet())
        before = self.feature_extractor
        load_tensors(self, tensors, path.name)
        self.register_modules(feature_extractor=before)  # IP-Adapters bring one for images

    def unload_expression_adapter(self) -> None:
        """Take the expression adapter away; without one, do nothing."""
        if takes_expressions(self._plain_unet()):
            self.unload_ip_adapter()

    def load_reference_adapter(
        self, pretrained_model_name_or_path: str | Path, *, revision: str | None = None
    ) -> None:
        """Load the adapter that keeps a picture's appearance; one loaded before gives way.

        Its LoRA acts in calls with a reference alone, and stays out of the UNet: a LoRA of
        `load_lora_weights`, such as LCM-LoRA, may stand beside it.

        Args:
            pretrained_model_name_or_path: folder with `pytorch_lora_weights.safetensors`, or a Hub
                id such as `FoivosPar/Arc2Face`.
            revision: revision on the Hub.

        Raises:
            WeightsError: if the file is missing or does not fit the UNet.
        """
        path = locate_adapter(
            pretrained_model_name_or_path, REFERENCE_FILE, below=REFERENCE_FOLDER, revision=revision
        )
        self._reference_adapter = read_reference_adapter(path, self._plain_unet())

    def unload_reference_adapter(self) -> None:
        """Take the reference adapter away; without one, do nothing."""
        self._reference_adapter = None

    def save_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride] - the rest by name
        self, save_directory: str | PathLike[str], **kwargs: Any
    ) -> None:
        """Save the pipeline, as `DiffusionPipeline.save_pretrained` does, without adapters.

        Raises:
            WeightsError: if one is loaded: it would be lost without a word.
        """
        loaded = {
            "expression": takes_expressions(self._plain_unet()),
            "reference": self._reference_adapter is not None,
        }
        for kind in (kind for kind, there in loaded.items() if there):
            raise WeightsError(
                f"the {kind} adapter cannot be saved with a pipeline; call unload_{kind}_adapter "
                f"before save_pretrained, and load_{kind}_adapter after from_pretrained"
            )
        super().save_pretrained(save_directory, **kwargs)

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
        expression: Expressions = None,
        *,
        expression_scale: int | float = 1.0,
        reference_image: References = None,
        reference_scale: int | float = 0.8,
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

        Of `id_embeds`, `expression` and `reference_image` each has one row for all samples, or one
        for each.

        Args:
            id_embeds: ArcFace embeddings [batch, 512] or [512] in any array type, made by
                Arc2Face's own `arcface.onnx`; they are L2-normalised here.
            expression: FLAME numbers [batch, 55] or [55] in any array type (50 of expression, 2
                eyelids, 3 of the jaw), or `FlameExpression`s; None: no expression branch.
            expression_scale: weight of the expression branch, times what `set_ip_adapter_scale`
                has set; at 0 images are those without expressions.
            reference_image: picture whose appearance and background the images keep, the face
                where FFHQ has it: PIL, scaled to the images; a tensor [3, h, w] or [batch, 3, h, w]
                in [−1, 1]; or a list of these, with None for samples without one, which are painted
                as without this argument.
            reference_scale: scale of the reference adapter's LoRA; its features stay joined at 0.
            height: height [pixels]; None: the base's own.
            width: width [pixels]; None: the base's own.
            num_inference_steps: denoising steps.
            timesteps: timesteps of one's own instead, descending.
            sigmas: noise levels of one's own instead.
            guidance_scale: guidance of person and expression alike; at most 1: none. The
                unconditional half sees an expression of zeros.
            negative_prompt: what the images must not show; a list has one for each sample.
            num_images_per_prompt: images of each sample, next to one another in the output.
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
            FaceEmbeddingError: if the embeddings are missing, not finite, zero, or not 512 wide, or
                the numbers of people, expressions and references do not go together.
            BankError: if an expression is not 55 finite numbers.
            PictureError: if a reference image is none, has another shape than the images, or is a
                tensor outside [−1, 1].
            WeightsError: if the text encoder cannot take the embeddings, or there is an expression
                or a reference and no adapter for it.
            PromptError: if the text encoder would not see the end of a negative prompt.
            ValueError: if Stable Diffusion refuses another argument.
        """
        people = self._people(id_embeds, prompt_embeds)
        if isinstance(expression, Tensor):  # numpy takes none of another device or of bfloat16
            expression = expression.detach().to("cpu", torch.float32)
        faces = None if expression is None else flame_batch(expression, "expression")
        pictures = self._references(reference_image, height, width)
        counts = {"people": people, "expressions": faces, "reference images": pictures}
        samples = sample_count({k: len(rows) for k, rows in counts.items() if rows is not None})
        if negative_prompt_embeds is not None and len(negative_prompt_embeds) == 1:
            negative_prompt_embeds = negative_prompt_embeds.expand(samples, -1, -1)
        negatives = self._negatives(negative_prompt, samples)
        shown = self._expressions(faces, samples * num_images_per_prompt, guidance_scale)
        scale = 0 if faces is None else expression_scale
        with (
            adapter_scale(self._plain_unet(), scale),
            self._reference_branch(
                people, pictures, samples, num_images_per_prompt, reference_scale
            ),
        ):
            return super().__call__(
                height=height,
                width=width,
                num_inference_steps=num_inference_steps,
                timesteps=timesteps,  # pyright: ignore[reportArgumentType]
                sigmas=sigmas,  # pyright: ignore[reportArgumentType]
                guidance_scale=guidance_scale,
                negative_prompt=negatives,
                num_images_per_prompt=num_images_per_prompt,
                eta=eta,
                generator=generator,
                latents=latents,
                prompt_embeds=people.expand(samples, -1, -1),
                negative_prompt_embeds=negative_prompt_embeds,
                ip_adapter_image_embeds=shown,
                output_type=output_type,
                return_dict=return_dict,
                cross_attention_kwargs=cross_attention_kwargs,
                guidance_rescale=guidance_rescale,
                callback_on_step_end=callback_on_step_end,
                callback_on_step_end_tensor_inputs=list(callback_on_step_end_tensor_inputs),
            )

    def prepare_ip_adapter_image_embeds(
        self,
        ip_adapter_image: Any,
        ip_adapter_image_embeds: list[Tensor] | None,
        device: torch.device,
        num_images_per_prompt: int,
        do_classifier_free_guidance: bool,
    ) -> list[Tensor]:
        """Prepare expressions, each sample with its own.

        `StableDiffusionPipeline` repeats them by the size of the whole batch, so that those of
        different samples get mixed; here there is a row for each row of the UNet's batch already.

        Args:
            ip_adapter_image: None.
            ip_adapter_image_embeds: one tensor [rows, 1, 55].
            device: where the result is wanted.
            num_images_per_prompt: samples in the batch.
            do_classifier_free_guidance: whether there is an unconditional half.
        """
        return [rows.to(device) for rows in ip_adapter_image_embeds or []]

    def _expressions(
        self, faces: Float[np.ndarray, "rows 55"] | None, images: int, guidance_scale: int | float
    ) -> list[Tensor] | None:
        """Return expressions as the UNet takes them: with guidance zeros stand before them.

        With an adapter the UNet asks for them always; where there are none they are zeros.
        """
        loaded = takes_expressions(self._plain_unet())
        if faces is None and not loaded:
            return None
        if not loaded:
            raise WeightsError(
                "the pipeline has no expression adapter; load one by load_expression_adapter first"
            )
        rows = torch.zeros(1, FLAME_WIDTH) if faces is None else torch.from_numpy(faces)
        rows = rows.repeat_interleave(images // len(rows), dim=0)[:, None]  # [images, 1, 55]
        if guidance_scale > 1 and self.unet.config.time_cond_proj_dim is None:
            rows = torch.cat([torch.zeros_like(rows), rows])  # [2·images, 1, 55]
        return [rows.to(self._execution_device, self.unet.dtype)]

    def _references(
        self, given: References, height: int | None, width: int | None
    ) -> list[Tensor | None] | None:
        """Return reference images, one for all samples or for each; None: there is none."""
        if given is None:
            return None
        size = image_size(height, width, self.unet.config.sample_size, self.vae_scale_factor)
        pictures = reference_batch(given, *size)
        if self._reference_adapter is None and any(picture is not None for picture in pictures):
            raise WeightsError(
                "the pipeline has no reference adapter; load one by load_reference_adapter first"
            )
        return pictures

    @contextlib.contextmanager
    def _reference_branch(
        self,
        people: Tensor,
        pictures: list[Tensor | None] | None,
        samples: int,
        images: int,
        scale: int | float,
    ) -> Iterator[None]:
        """Keep the features of references, and let the UNet see them as long as it is entered."""
        adapter = self._reference_adapter
        if adapter is None or pictures is None or not any(p is not None for p in pictures):
            yield
            return
        unet = self._plain_unet()
        # Features are those of a pair of person and picture: samples that share both share them.
        pairs = max(len(people), len(pictures))
        latents: list[Any] = [None if p is None else self._latents(p) for p in pictures]
        chosen = [pair for pair in range(pairs) if latents[pair % len(latents)] is not None]
        device = self._execution_device
        kept = keep_features(
            unet,
            torch.cat([latents[pair % len(latents)] for pair in chosen]).to(unet.dtype),
            people[[pair % len(people) for pair in chosen]].to(device, unet.dtype),
            self._expressions(None, len(chosen), guidance_scale=1),
        )
        own = [pair % pairs for pair in range(samples) for _ in range(images)]
        sources = [chosen.index(pair) if pair in chosen else None for pair in own]
        adapter.to(device, unet.dtype)
        with reference_branch(unet, kept, sources, adapter, scale):
            yield

    def _latents(self, picture: Tensor) -> Tensor:
        """Return the mode of the VAE's posterior, scaled as the UNet knows latents."""
        pixels = picture[None].to(self._execution_device, self.vae.dtype)
        posterior = self.vae.encode(pixels).latent_dist
        return posterior.mode() * self.vae.config.scaling_factor

    def _plain_unet(self) -> UNet2DConditionModel:
        unet = plain_module(self.unet)
        assert isinstance(unet, UNet2DConditionModel)  # noqa: S101 - narrows the type
        return unet

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
