"""Stable Diffusion that is also told which facial muscles move, and how strongly."""

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, SchedulerMixin, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from diffusers.pipelines.stable_diffusion import (
    StableDiffusionPipelineOutput,
    StableDiffusionSafetyChecker,
)
from jaxtyping import Float
from torch import Tensor, nn
from transformers import (
    CLIPImageProcessor,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionModelWithProjection,
)

from pipelines.diffusion.ip_adapter import spread
from pipelines.diffusion.models import check_model_finite, no_progress_bars
from pipelines.diffusion.prompts import common_length, encode_in_pieces, piece_count, refuse_long
from pipelines.diffusion.unet import plain_module
from pipelines.fineface.adapter import AUAdapter
from pipelines.fineface.branch import au_branch, fuse_lora, switched
from pipelines.fineface.checkpoint import read_au_adapter, write_au_adapter
from pipelines.fineface.section import (
    GUIDANCE_SCALE,
    MINI_SAMPLING,
    NUM_INFERENCE_STEPS,
    guiding_scale,
)
from pipelines.fineface.weights import MINI, file_names, locate
from pipelines.hub import resolve
from synthgen.action_units import DEFAULT_AUS, ActionUnitSet
from synthgen.errors import ActionUnitError, WeightsError

AUs = Any
"""A dict, a list of dicts, or numbers of the shape [AUs] or [batch, AUs] in any array type."""


def au_batch(
    aus: AUs, prompts: int, known: ActionUnitSet = DEFAULT_AUS
) -> Float[Tensor, "prompts aus"]:
    """Return one AU vector per prompt.

    Args:
        aus: `{"AU12": 5}`, a list of such dicts, or an array, tensor or sequence [AUs] or
            [prompts, AUs] of intensities. One vector is used for all prompts. Values outside
            [0, 5] are allowed.
        prompts: number of prompts.
        known: the AUs of a vector, in its order.

    Returns:
        Intensities, float32, on the CPU.

    Raises:
        ActionUnitError: if an AU is unknown, a value is not finite, or the shape does not fit.
    """
    vectors = torch.tensor(_rows(aus, known)) if _is_named(aus) else _from_numbers(aus, len(known))
    if vectors.shape[0] not in (1, prompts):
        raise ActionUnitError(
            f"{vectors.shape[0]} AU vectors for {prompts} prompts; give one for all prompts, "
            "or one for each"
        )
    return vectors.expand(prompts, -1)


def _is_named(aus: AUs) -> bool:
    return isinstance(aus, Mapping) or (
        isinstance(aus, Sequence) and len(aus) > 0 and all(isinstance(row, Mapping) for row in aus)
    )


def _rows(
    aus: Mapping[str, Any] | Sequence[Mapping[str, Any]], known: ActionUnitSet
) -> list[tuple[float, ...]]:
    rows = [aus] if isinstance(aus, Mapping) else aus
    return [known.vector({name: _number(value) for name, value in row.items()}) for row in rows]


def _number(value: Any) -> Any:
    """Unwrap the scalars of numpy and torch."""
    return value.item() if getattr(value, "ndim", None) == 0 else value


def _from_numbers(aus: AUs, count: int) -> Tensor:
    try:
        vectors = torch.as_tensor(aus, dtype=torch.float32, device="cpu").detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ActionUnitError(
            f"AUs must be a dict, a list of dicts, or numbers [{count}] or "
            f"[batch, {count}]; got {type(aus).__name__}"
        ) from error
    if vectors.ndim not in (1, 2) or vectors.shape[-1] != count:
        raise ActionUnitError(
            f"AUs have shape {list(vectors.shape)}; it must be [{count}] or [batch, {count}]"
        )
    if not vectors.isfinite().all():
        raise ActionUnitError("AUs hold NaN or infinity; they must be finite numbers")
    return vectors.reshape(-1, count)


# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.


class FineFacePipeline(StableDiffusionPipeline):
    """Text to image with Action Units (FineFace, arXiv 2407.20175, text variant).

    Any Stable Diffusion 1.x or 2.x base, then `load_au_adapter`. Everything that
    `StableDiffusionPipeline` can do works here too. The AU adapter is a component of its own and
    is saved and loaded with the pipeline; its LoRA is fused into the UNet once, by
    `load_au_adapter`, and a saved pipeline holds the fused UNet.

    Args:
        au_adapter: the AU adapter whose LoRA is fused into `unet` already; None: load one later.
        num_inference_steps: denoising steps of a call that says nothing else.
        guidance_scale: guidance scale of such a call.

    Both are saved with the pipeline. The other arguments are those of `StableDiffusionPipeline`.
    """

    model_cpu_offload_seq = "au_adapter->text_encoder->image_encoder->unet->vae"
    _optional_components = [  # noqa: RUF012 - diffusers asks for a list
        *StableDiffusionPipeline._optional_components,
        "au_adapter",
    ]

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
        au_adapter: AUAdapter | None = None,
        requires_safety_checker: bool = True,
        num_inference_steps: int = NUM_INFERENCE_STEPS,
        guidance_scale: int | float = GUIDANCE_SCALE,
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
        super().__init__(**components, requires_safety_checker=requires_safety_checker)
        self.register_modules(au_adapter=au_adapter)
        self.register_to_config(
            num_inference_steps=num_inference_steps, guidance_scale=guidance_scale
        )

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | PathLike[str], **kwargs: Any
    ) -> Any:
        """Load the embedded weights, a base, or a saved pipeline.

        Args:
            pretrained_model_name_or_path: the text `"mini"` for the embedded weights, which paint
                drawn faces of 128×128: their base, with their AU adapter loaded and without a
                safety checker, with steps and guidance at which AUs look as strong as they are
                asked for. Otherwise what `DiffusionPipeline.from_pretrained` takes. A folder of the
                name `mini` is not looked at; write `"./mini"` for it.
            kwargs: arguments of `DiffusionPipeline.from_pretrained`, such as `dtype` (float32 for
                the embedded weights); they go before what is said above. With `au_adapter=None`
                the embedded base comes alone.

        Raises:
            WeightsError: if the embedded weights are incomplete, or a weight is not finite.
        """
        if pretrained_model_name_or_path != MINI:
            pipeline = super().from_pretrained(pretrained_model_name_or_path, **kwargs)
            for name, part in pipeline.components.items():
                if isinstance(part, nn.Module):
                    where = f"{pretrained_model_name_or_path}, {name}"
                    check_model_finite(part, where, getattr(part, "dtype", torch.float32))
            return pipeline
        folders = locate(MINI)
        # Without a number format, transformers keeps the files' own and diffusers does not.
        own = {
            "safety_checker": None,
            "requires_safety_checker": False,
            "dtype": torch.float32,
            **MINI_SAMPLING,
        }
        if "torch_dtype" in kwargs:
            del own["dtype"]
        with no_progress_bars():
            pipeline = super().from_pretrained(folders.base, **{**own, **kwargs})
            if "au_adapter" not in kwargs:
                pipeline.load_au_adapter(folders.fineface)
        return pipeline

    def load_au_adapter(
        self,
        pretrained_model_name_or_path: str | Path,
        *,
        weight_prefix: str = "",
        lora_scale: int | float = 1.0,
        revision: str | None = None,
    ) -> None:
        """Load an AU adapter in FineFace's published format and fuse its LoRA into the UNet.

        An adapter that was loaded before is unloaded first. Files are checked before anything is
        changed.

        Args:
            pretrained_model_name_or_path: folder with the files, or Hub id such as
                `Tvaranka/fineface`.
            weight_prefix: start of the file names; `"sd15_"` for the FaceID variant's files, which
                come without a LoRA.
            lora_scale: scale of the LoRA; 1.0 is what loaders apply to the published file. At 0
                the LoRA is not read.
            revision: revision on the Hub.

        Raises:
            WeightsError: if a file is missing, holds code, or does not fit the UNet, or if the UNet
                has other LoRA layers.
        """
        folder = resolve(
            pretrained_model_name_or_path,
            revision=revision,
            files=file_names(weight_prefix, lora_scale),
        )
        unet = self._plain_unet()
        adapter = read_au_adapter(folder, unet, weight_prefix, lora_scale)
        nn.Module.to(adapter, device=unet.device, dtype=unet.dtype)
        self.unload_au_adapter()
        fuse_lora(self, unet, adapter.lora_state(), lora_scale)
        self.register_modules(au_adapter=adapter)

    def unload_au_adapter(self) -> None:
        """Take the AU adapter away and its LoRA out of the UNet; without one, do nothing.

        The UNet's weights are what they were to within their rounding: about 1e-7 of a weight in
        float32, 1e-3 in float16, 1e-2 in bfloat16. For the weights to the bit, load the base again.

        Raises:
            WeightsError: if the UNet has other LoRA layers.
        """
        adapter: AUAdapter | None = self.au_adapter
        if adapter is None:
            return
        scale = adapter.config["lora_scale"]
        fuse_lora(self, self._plain_unet(), adapter.lora_state(), -scale)
        self.register_modules(au_adapter=None)

    def save_au_adapter(self, save_directory: str | Path, *, weight_prefix: str = "") -> None:
        """Write the AU adapter in FineFace's published format, in the adapter's number format.

        Raises:
            WeightsError: if there is no AU adapter.
        """
        write_au_adapter(self._adapter(), Path(save_directory), weight_prefix)

    @torch.no_grad()
    def encode_long_prompts(
        self, prompt: str | list[str], negative_prompt: str | list[str] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode prompts that are longer than the text encoder reads at once, in up to four pieces.

        Each piece has a begin and an end of its own, and the pieces' embeddings stand one after
        another. A text of fewer pieces than others is repeated, which changes nothing: a short
        prompt's image is what it is without this.

        Args:
            prompt: text or texts.
            negative_prompt: one for all, or one for each; None: an empty one.

        Returns:
            `prompt_embeds` and `negative_prompt_embeds` for a call, [prompts, tokens, width].

        Raises:
            PromptError: if one has more than four pieces.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        given = negative_prompt or ""
        negatives = [given] * len(prompts) if isinstance(given, str) else list(given)
        refuse_long(self.tokenizer, prompts, "the prompt", "chunk")
        refuse_long(self.tokenizer, negatives, "the negative prompt", "chunk")
        length = common_length(piece_count(self.tokenizer, [*prompts, *negatives]))
        return (
            encode_in_pieces(self, prompts, length),
            encode_in_pieces(self, negatives, length),
        )

    @torch.no_grad()
    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride] - AUs come second
        self,
        prompt: str | list[str] | None = None,
        aus: AUs = None,
        *,
        au_scale: int | float = 1.0,
        au_start: float = 0.0,
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
        ip_adapter_image: Any = None,
        ip_adapter_image_embeds: list[Tensor] | None = None,
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
        """Paint images of prompts with Action Units.

        With guidance g the predicted noise is ε(∅, 0) + g·(ε(t, a) − ε(∅, 0)) for a text t and AUs
        a, so that AUs are exaggerated as the text is. With text guidance w it is
        ε(∅, a) + w·(ε(t, a) − ε(∅, a)): w acts on what the text adds, and AUs are shown as they
        are asked for. ∅ is the negative prompt. Both take two passes of the UNet.

        Args:
            prompt: text or texts.
            aus: intensities: `{"AU12": 5}`, a list of such dicts, or numbers [12] or [batch, 12] in
                the order of `au_adapter.aus`, which are the 12 of DISFA in published
                weights; one for all prompts, or one for each.
                Usual are values in [0, 5]; above it an expression is exaggerated, below it
                reversed. None: no AU branch.
            au_scale: λ_AU, the weight of the AU branch (Eq. 5).
            au_start: share [0, 1) of the denoising steps before the AUs begin to act; until then
                they are 0, and images of one noise and prompt are the same.
            height: height [pixels]; None: the base's own.
            width: width [pixels]; None: the base's own.
            num_inference_steps: denoising steps; None: those that the weights came with, 50 unless
                they say others.
            timesteps: timesteps of one's own instead, descending.
            sigmas: noise levels of one's own instead.
            guidance_scale: guidance of text and AUs alike; at most 1: none. The unconditional half
                sees AUs of 0. None: what the weights came with, 7.5 unless they say another.
            text_guidance_scale: guidance of text alone, instead of `guidance_scale`; at most 1:
                none. The unconditional half sees the same AUs; what IP-Adapters show is guided
                with the text. None: `guidance_scale` guides.
            negative_prompt: what the images must not show; a list has one for each prompt.
            num_images_per_prompt: images of each prompt, next to one another in the output.
            eta: η of DDIM [0, 1]; other samplers ignore it.
            generator: source of the noise; a list has one for each image.
            latents: noise to start from [images, channels, height / 8, width / 8].
            prompt_embeds: text embeddings instead of `prompt` [batch, tokens, width].
            negative_prompt_embeds: likewise instead of `negative_prompt`.
            ip_adapter_image: images for IP-Adapters, as in Stable Diffusion.
            ip_adapter_image_embeds: one tensor per IP-Adapter, [images or 1, faces, width]; with
                guidance the negative embeddings stand before them.
            output_type: `pil`, `np`, `pt` or `latent`.
            return_dict: False: return a tuple.
            cross_attention_kwargs: arguments for the attention processors.
            guidance_rescale: φ against overexposure (arXiv 2305.08891, §3.4).
            clip_skip: layers of the text encoder to leave out at its end.
            callback_on_step_end: called after each step.
            callback_on_step_end_tensor_inputs: names of the tensors that it is given.

        Returns:
            `StableDiffusionPipelineOutput`, or a tuple of its fields if `return_dict` is False.

        Raises:
            ActionUnitError: if an AU is unknown, a value is not finite, or the numbers of AU
                vectors and prompts do not go together.
            WeightsError: if AUs are given and there is no AU adapter.
            PromptError: if the text encoder would not see the end of a prompt.
            ValueError: if `text_guidance_scale` is given beside a `guidance_scale` other than that
                of the weights, `au_start` is not in [0, 1), or Stable Diffusion refuses another
                argument.
        """
        if not 0 <= au_start < 1:
            raise ValueError(f"au_start is {au_start:g}; it must be at least 0 and below 1")
        self._check_length(prompt, negative_prompt)
        scale = self._guidance(guidance_scale, text_guidance_scale)
        vectors: dict[str, Tensor] = {}
        if aus is not None:
            batch = au_batch(aus, prompt_count(prompt, prompt_embeds), self._adapter().aus)
            batch = batch.repeat_interleave(num_images_per_prompt, dim=0)
            if self._is_guided(scale):  # [2·batch, aus], as the UNet's batch
                hidden = torch.zeros_like(batch) if text_guidance_scale is None else batch
                batch = torch.cat([hidden, batch])
            vectors = self._au_vectors(batch, au_scale)
            steps = len(timesteps or sigmas or ()) or self._steps(num_inference_steps)
            if round(au_start * steps):
                early = self._au_vectors(torch.zeros_like(batch), au_scale)
                given = callback_on_step_end
                if isinstance(given, (PipelineCallback, MultiPipelineCallbacks)):
                    callback_on_step_end_tensor_inputs = given.tensor_inputs
                vectors, callback_on_step_end = switched(given, early, vectors, au_start)
        settings: dict[str, Any] = {
            "prompt": prompt,
            "height": height,
            "width": width,
            "num_inference_steps": self._steps(num_inference_steps),
            "timesteps": timesteps,
            "sigmas": sigmas,
            "guidance_scale": scale,
            "negative_prompt": negative_prompt,
            "num_images_per_prompt": num_images_per_prompt,
            "eta": eta,
            "generator": generator,
            "latents": latents,
            "prompt_embeds": prompt_embeds,
            "negative_prompt_embeds": negative_prompt_embeds,
            "ip_adapter_image": ip_adapter_image,
            "ip_adapter_image_embeds": ip_adapter_image_embeds,
            "output_type": output_type,
            "return_dict": return_dict,
            "cross_attention_kwargs": cross_attention_kwargs,
            "guidance_rescale": guidance_rescale,
            "clip_skip": clip_skip,
            "callback_on_step_end": callback_on_step_end,
            "callback_on_step_end_tensor_inputs": list(callback_on_step_end_tensor_inputs),
        }
        with au_branch(self.unet, vectors):
            return super().__call__(**settings)

    def prepare_ip_adapter_image_embeds(
        self,
        ip_adapter_image: Any,
        ip_adapter_image_embeds: list[Tensor] | None,
        device: torch.device,
        num_images_per_prompt: int,
        do_classifier_free_guidance: bool,
    ) -> list[Tensor]:
        """Prepare image embeddings, each sample with its own.

        `StableDiffusionPipeline` repeats the embeddings by the size of the whole batch, so that
        embeddings given per sample get mixed. Here one row serves all samples, and several are
        spread evenly over them.

        Args:
            ip_adapter_image: as in `StableDiffusionPipeline`.
            ip_adapter_image_embeds: one tensor per IP-Adapter; with guidance the negative
                embeddings stand in its first half.
            device: where the result is wanted.
            num_images_per_prompt: samples in the batch.
            do_classifier_free_guidance: whether there is an unconditional half.

        Raises:
            ValueError: if the samples are no multiple of the embeddings.
        """
        halves = 2 if do_classifier_free_guidance else 1
        prepared = super().prepare_ip_adapter_image_embeds(
            ip_adapter_image, ip_adapter_image_embeds, device, 1, do_classifier_free_guidance
        )
        return [spread(embeds, halves, num_images_per_prompt) for embeds in prepared]

    def _check_length(
        self, prompt: str | list[str] | None, negative_prompt: str | list[str] | None
    ) -> None:
        """Refuse prompts that would be cut; what is no text Stable Diffusion refuses itself."""
        mend = (
            ", or encode it by encode_long_prompts and give prompt_embeds and "
            "negative_prompt_embeds"
        )
        for what, given in (("prompt", prompt), ("negative prompt", negative_prompt)):
            texts = given if isinstance(given, list) else [given]
            known = [text for text in texts if isinstance(text, str)]
            converted = self.maybe_convert_prompt(known, self.tokenizer)
            refuse_long(self.tokenizer, converted, f"the {what}", "refuse", mend)

    def _steps(self, asked: int | None) -> int:
        return self.config["num_inference_steps"] if asked is None else asked

    def _guidance(self, asked: int | float | None, of_text: int | float | None) -> int | float:
        usual = self.config["guidance_scale"]
        return guiding_scale(usual if asked is None else asked, of_text, usual)

    def _is_guided(self, guidance_scale: int | float) -> bool:
        return guidance_scale > 1 and self.unet.config.time_cond_proj_dim is None

    def _au_vectors(self, aus: Tensor, au_scale: int | float) -> dict[str, Tensor]:
        adapter = self._adapter()
        constants = adapter(aus.to(device=adapter.device, dtype=adapter.dtype))
        device = self._execution_device
        return {path: au_scale * vector.to(device) for path, vector in constants.items()}

    def _adapter(self) -> AUAdapter:
        if self.au_adapter is None:
            raise WeightsError("the pipeline has no AU adapter; load one by load_au_adapter first")
        return self.au_adapter

    def _plain_unet(self) -> UNet2DConditionModel:
        unet = plain_module(self.unet)
        assert isinstance(unet, UNet2DConditionModel)  # noqa: S101 - narrows the type
        return unet


def prompt_count(prompt: str | list[str] | None, prompt_embeds: Tensor | None) -> int:
    """Return how many prompts a call has."""
    if isinstance(prompt, list):
        return len(prompt)
    return 1 if isinstance(prompt, str) or prompt_embeds is None else prompt_embeds.shape[0]
