"""Text, Action Units and a person's face, each with a branch of its own (Eq. 5)."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any

import torch
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from diffusers.models.embeddings import (
    IPAdapterFaceIDImageProjection,
)
from diffusers.pipelines.stable_diffusion import StableDiffusionPipelineOutput
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.diffusion.ip_adapter import adapter_scale, projections
from pipelines.diffusion.models import check_model_finite
from pipelines.fineface.face_adapter import load_face_adapter
from pipelines.fineface.pipeline import AUs, FineFacePipeline, prompt_count
from pipelines.fineface.weights import MINI, embedded_face_adapter
from samplers.identities.identity import FACEID_WIDTH
from synthgen.errors import FaceEmbeddingError, WeightsError

FaceEmbeddings = Any
"""Numbers of the shape [batch, faces, 512] or [batch, 512] in any array type."""


def face_batch(embeddings: FaceEmbeddings, prompts: int) -> Float[Tensor, "rows faces 512"]:
    """Return the embeddings of one person for all prompts, or of one for each.

    Args:
        embeddings: numbers [batch, faces, 512] or, for one face a person, [batch, 512].
        prompts: number of prompts.

    Returns:
        1 row or as many as prompts, float32.

    Raises:
        FaceEmbeddingError: if they are no numbers, are not finite, or have another shape.
    """
    try:
        rows = torch.as_tensor(embeddings, dtype=torch.float32).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise FaceEmbeddingError(
            f"faceid_embeds must be numbers [batch, faces, {FACEID_WIDTH}] or "
            f"[batch, {FACEID_WIDTH}]; got {type(embeddings).__name__}"
        ) from error
    if rows.ndim not in (2, 3) or rows.shape[-1] != FACEID_WIDTH or not rows.numel():
        raise FaceEmbeddingError(
            f"faceid_embeds have the shape {list(rows.shape)}; it must be "
            f"[batch, faces, {FACEID_WIDTH}] or [batch, {FACEID_WIDTH}]"
        )
    if not rows.isfinite().all():
        raise FaceEmbeddingError("faceid_embeds hold NaN or infinity; they must be finite numbers")
    if rows.shape[0] not in (1, prompts):
        raise FaceEmbeddingError(
            f"faceid_embeds of {rows.shape[0]} people for {prompts} prompts; give one for all "
            "prompts, or one for each"
        )
    return rows.unsqueeze(1) if rows.ndim == 2 else rows  # [rows, faces, 512]


def takes_faces(unet: nn.Module) -> bool:
    """Return whether a UNet has an IP-Adapter for face embeddings.

    Args:
        unet: the UNet, not compiled.

    Raises:
        WeightsError: if it has several IP-Adapters, or one of another kind.
    """
    if not (layers := projections(unet)):
        return False
    if len(layers) != 1 or not isinstance(layers[0], IPAdapterFaceIDImageProjection):
        kinds = ", ".join(type(layer).__name__ for layer in layers)
        raise WeightsError(
            f"the UNet has IP-Adapters of the kinds {kinds}; this pipeline takes one of the FaceID "
            "kind, such as ip-adapter-faceid-portrait-v11_sd15.bin"
        )
    return True


# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.


class FineFaceIPAdapterPipeline(FineFacePipeline):
    """Text to image with Action Units and a person (FineFace, arXiv 2407.20175, FaceID variant).

    A Stable Diffusion 1.5 base, then, in either order, `load_au_adapter` (the published files of
    this variant have `weight_prefix="sd15_"`) and diffusers' own `load_ip_adapter` with a FaceID
    file and `image_encoder_folder=None`:

        Z = Attn(Q, K_text, V_text) + λ_img·Attn(Q, K_img, V_img) + λ_AU·Attn(Q, K_AU, V_AU)

    The tokens of all faces of a person stand in one K_img. diffusers does not save IP-Adapters with
    a pipeline, so that `save_pretrained` refuses as long as one is loaded.
    """

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | PathLike[str], **kwargs: Any
    ) -> Any:
        """Load the embedded weights with their face adapter, a base, or a saved pipeline.

        Args:
            pretrained_model_name_or_path: as in `FineFacePipeline.from_pretrained`; with `"mini"`
                the embedded face adapter is loaded too.
            kwargs: as in `FineFacePipeline.from_pretrained`.

        Raises:
            WeightsError: if the embedded weights are incomplete.
        """
        pipeline = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
        if pretrained_model_name_or_path == MINI:
            load_face_adapter(pipeline, embedded_face_adapter())
        return pipeline

    def load_ip_adapter(self, *args: Any, **kwargs: Any) -> None:
        """Load an IP-Adapter, as diffusers does, but none with a weight that is not finite.

        Args:
            args: as in `StableDiffusionPipeline.load_ip_adapter`.
            kwargs: likewise.

        Raises:
            WeightsError: if a weight is not finite; the IP-Adapter is unloaded again.
        """
        super().load_ip_adapter(*args, **kwargs)
        unet = self._plain_unet()
        parts = [unet.encoder_hid_proj, *unet.attn_processors.values()]
        try:
            for part in parts:
                if isinstance(part, nn.Module):
                    check_model_finite(part, "the IP-Adapter", unet.dtype)
        except WeightsError:
            self.unload_ip_adapter()
            raise

    def save_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride] - the rest by name
        self, save_directory: str | PathLike[str], **kwargs: Any
    ) -> None:
        """Save the pipeline, as `DiffusionPipeline.save_pretrained` does, without an IP-Adapter.

        Raises:
            WeightsError: if one is loaded: it would be lost without a word.
        """
        if takes_faces(self._plain_unet()):
            raise WeightsError(
                "an IP-Adapter cannot be saved with a pipeline; call unload_ip_adapter before "
                "save_pretrained, and load_ip_adapter after from_pretrained"
            )
        super().save_pretrained(save_directory, **kwargs)

    @torch.no_grad()
    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride] - faces come third
        self,
        prompt: str | list[str] | None = None,
        aus: AUs = None,
        faceid_embeds: FaceEmbeddings = None,
        *,
        au_scale: int | float = 1.0,
        au_start: float = 0.0,
        ip_scale: int | float = 1.0,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
        timesteps: list[int] | None = None,
        sigmas: list[float] | None = None,
        guidance_scale: int | float | None = None,
        text_guidance_scale: int | float | None = None,
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
        clip_skip: int | None = None,
        callback_on_step_end: Callable[..., Any]
        | PipelineCallback
        | MultiPipelineCallbacks
        | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> StableDiffusionPipelineOutput | tuple[Any, ...]:
        """Paint images of prompts with Action Units and people.

        All arguments but these are those of `FineFacePipeline`.

        Args:
            prompt: text or texts.
            aus: intensities, as in `FineFacePipeline`; None: no AU branch.
            faceid_embeds: L2-normalised embeddings of faces [batch, faces, 512] or [batch, 512] in
                any array type, made by the recogniser that the IP-Adapter was trained with; one
                person for all prompts, or one for each. None: no face branch.
            au_scale: λ_AU, the weight of the AU branch (Eq. 5).
            au_start: share [0, 1) of the denoising steps before the AUs begin to act.
            ip_scale: λ_img, the weight of the face branch (Eq. 5), times what
                `set_ip_adapter_scale` has set; at 0 images are those of `FineFacePipeline`.
            height: height [pixels].
            width: width [pixels].
            num_inference_steps: denoising steps; None: those that the weights came with.
            timesteps: timesteps of one's own, descending.
            sigmas: noise levels of one's own.
            guidance_scale: guidance of text, AUs and faces alike; at most 1: none. The
                unconditional half sees AUs of 0 and embeddings of 0. None: what the weights came
                with.
            text_guidance_scale: guidance of text alone, instead of `guidance_scale`; at most 1:
                none. The unconditional half sees the same AUs and the same faces f:
                ε = ε(∅, a, f) + w·(ε(t, a, f) − ε(∅, a, f)). None: `guidance_scale` guides.
            negative_prompt: what the images must not show.
            num_images_per_prompt: images of each prompt.
            eta: η of DDIM [0, 1].
            generator: source of the noise.
            latents: noise to start from.
            prompt_embeds: text embeddings instead of `prompt`.
            negative_prompt_embeds: likewise instead of `negative_prompt`.
            output_type: `pil`, `np`, `pt` or `latent`.
            return_dict: False: return a tuple.
            cross_attention_kwargs: arguments for the attention processors.
            guidance_rescale: φ against overexposure.
            clip_skip: layers of the text encoder to leave out at its end.
            callback_on_step_end: called after each step.
            callback_on_step_end_tensor_inputs: names of the tensors that it is given.

        Returns:
            `StableDiffusionPipelineOutput`, or a tuple of its fields if `return_dict` is False.

        Raises:
            ActionUnitError: as `FineFacePipeline`.
            FaceEmbeddingError: if the embeddings are not finite, or their shape does not fit.
            WeightsError: if AUs or embeddings are given and their adapter is not loaded, or an
                IP-Adapter of another kind is.
            ValueError: as `FineFacePipeline`.
        """
        people = prompt_count(prompt, prompt_embeds)
        guided = self._is_guided(self._guidance(guidance_scale, text_guidance_scale))
        faces = self._faces(faceid_embeds, people, guided, text_guidance_scale is not None)
        with adapter_scale(self._plain_unet(), 0 if faceid_embeds is None else ip_scale):
            return super().__call__(
                prompt,
                aus,
                au_scale=au_scale,
                au_start=au_start,
                height=height,
                width=width,
                num_inference_steps=num_inference_steps,
                timesteps=timesteps,
                sigmas=sigmas,
                guidance_scale=guidance_scale,
                text_guidance_scale=text_guidance_scale,
                negative_prompt=negative_prompt,
                num_images_per_prompt=num_images_per_prompt,
                eta=eta,
                generator=generator,
                latents=latents,
                prompt_embeds=prompt_embeds,
                negative_prompt_embeds=negative_prompt_embeds,
                ip_adapter_image_embeds=faces,
                output_type=output_type,
                return_dict=return_dict,
                cross_attention_kwargs=cross_attention_kwargs,
                guidance_rescale=guidance_rescale,
                clip_skip=clip_skip,
                callback_on_step_end=callback_on_step_end,
                callback_on_step_end_tensor_inputs=callback_on_step_end_tensor_inputs,
            )

    def _faces(
        self, embeddings: FaceEmbeddings, people: int, guided: bool, text_alone: bool
    ) -> list[Tensor] | None:
        """Return the embeddings as diffusers takes them: with guidance others stand before them.

        These are zeros, or the same ones where the text alone is guided. With an IP-Adapter the
        UNet asks for embeddings always; without people they are zeros.
        """
        loaded = takes_faces(self._plain_unet())
        if embeddings is None and not loaded:
            return None
        if not loaded:
            raise WeightsError(
                "the pipeline has no IP-Adapter for faces; load one by load_ip_adapter first"
            )
        given = torch.zeros(1, FACEID_WIDTH) if embeddings is None else embeddings
        rows = face_batch(given, people).to(self._execution_device, self.unet.dtype)
        if not guided:
            return [rows]
        return [torch.cat([rows if text_alone else torch.zeros_like(rows), rows])]
