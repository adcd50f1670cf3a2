"""Stable Diffusion that is told AUs in words, by LoRAs, or by both."""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion import StableDiffusionPipelineOutput
from torch import Tensor, nn

from pipelines.baselines.weights import LORA_FILE, UNET, Method, Trained, au_file, read_about
from pipelines.baselines.words import told
from pipelines.checkpoints import check_tensors
from pipelines.diffusion.lora import LARGEST_RANK, read_lora, several_loras
from pipelines.diffusion.models import load_model
from pipelines.diffusion.prompts import refuse_long
from pipelines.diffusion.unet import attentions
from pipelines.fineface.adapter import LORA_TARGETS
from pipelines.fineface.branch import fuse_lora
from pipelines.fineface.section import GUIDANCE_SCALE, NUM_INFERENCE_STEPS
from synthgen.action_units import MAX_INTENSITY
from synthgen.errors import ActionUnitError, WeightsError

_SHAPE_KEYS = ("in_channels", "block_out_channels", "cross_attention_dim", "sample_size")
"""Keys of a UNet's configuration that tell one base from another."""

AUs = Mapping[str, int | float]


class BaselinePipeline(StableDiffusionPipeline):
    """Text to image with Action Units, as the baselines of FineFace's paper are told them.

    Any Stable Diffusion 1.x or 2.x base, which is told AUs in words; then `load_trained` for what
    a training made beside it. Everything that `StableDiffusionPipeline` can do works here too.

    Attributes:
        trained: what was loaded; None: the base is told AUs in words.
        au_scale: scale of the LoRAs of AUs.
    """

    trained: Trained | None = None
    au_scale: int | float = 1.0

    @property
    def method(self) -> Method:
        """Method by which it is told AUs."""
        return "words" if self.trained is None else self.trained.method

    def load_trained(self, folder: str | Path, lora_scale: int | float = 1.0) -> None:
        """Load what `synthgen train fineface` made by one of the methods of baselines.

        A LoRA of texts is fused, a UNet takes the place of the base's; a pipeline takes one of
        these once. Files are checked before anything is changed.

        Args:
            folder: folder with `baseline.json`.
            lora_scale: scale of LoRAs.

        Raises:
            WeightsError: if a file is missing or does not fit the base, or something was loaded
                before.
        """
        folder = Path(folder)
        found = read_about(folder)
        if self.trained is not None:
            raise WeightsError(
                f"the pipeline was given {self.trained.method} before; load the base anew first"
            )
        if found.method == "dreambooth":
            self.register_modules(unet=_own_unet(folder / UNET, self.unet))
        elif found.method == "lora-t":
            fuse_lora(self, self.unet, _read_lora(folder / LORA_FILE, self.unet), lora_scale)
        else:
            self._load_each(folder, found)
        self.trained, self.au_scale = found, lora_scale

    def _load_each(self, folder: Path, found: Trained) -> None:
        names = found.action_units.names
        loras = {name: _read_lora(folder / au_file(name), self.unet) for name in names}
        with several_loras():
            for name, lora in loras.items():
                self.unet.load_lora_adapter(lora, prefix="unet", adapter_name=name, _pipeline=self)
        self.disable_lora()

    @torch.no_grad()
    def __call__(  # pyright: ignore[reportIncompatibleMethodOverride] - AUs come second
        self,
        prompt: str | list[str],
        aus: AUs | Sequence[AUs] | None = None,
        *,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = NUM_INFERENCE_STEPS,
        guidance_scale: int | float = GUIDANCE_SCALE,
        negative_prompt: str | list[str] | None = None,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
    ) -> StableDiffusionPipelineOutput:
        """Paint images of prompts with Action Units.

        With a LoRA for each AU the images are painted one by one: their weights are the model's.

        Args:
            prompt: text or texts.
            aus: AU → intensity, usually in [0, 5]; one for all prompts, or one for each. None:
                nothing is told of the expression.
            height: height [pixels]; None: the base's own.
            width: width [pixels]; None: the base's own.
            num_inference_steps: denoising steps.
            guidance_scale: guidance of the text; at most 1: none.
            negative_prompt: what the images must not show; a list has one for each prompt.
            generator: source of the noise; a list has one for each image.
            latents: noise to start from [images, channels, height / 8, width / 8].
            output_type: `pil`, `np`, `pt` or `latent`.

        Raises:
            ActionUnitError: if the model was not told one of the AUs in training, or the numbers of
                AUs and prompts do not go together.
            PromptError: if the text encoder would not see the end of a prompt with its AUs.
        """
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        asked = self._asked(aus, len(prompts))
        texts = self.texts(prompts, asked)
        self.check_length(texts)
        settings: dict[str, Any] = {
            "height": height,
            "width": width,
            "num_inference_steps": num_inference_steps,
            "guidance_scale": guidance_scale,
            "output_type": output_type,
        }
        if isinstance(negative_prompt, str):
            negative_prompt = [negative_prompt] * len(prompts)
        parts = {"negative_prompt": negative_prompt, "generator": generator, "latents": latents}
        if self.method != "lora-au":
            return self._painted(texts, {**parts, **settings})
        images = []
        try:
            for place, (text, one) in enumerate(zip(texts, asked, strict=True)):
                self._weigh(one or {})
                own = {name: _part(part, place) for name, part in parts.items()}
                images.append(self._painted([text], {**own, **settings}).images)
        finally:
            self.disable_lora()
        return StableDiffusionPipelineOutput(images=_joined(images), nsfw_content_detected=None)

    def _painted(self, texts: list[str], settings: dict[str, Any]) -> StableDiffusionPipelineOutput:
        output = super().__call__(prompt=texts, **settings)
        assert isinstance(output, StableDiffusionPipelineOutput)  # noqa: S101 - narrows the type
        return output

    def texts(self, prompts: Sequence[str], aus: Sequence[AUs | None]) -> list[str]:
        """Return what the text encoder is given: prompts with AUs in words, or as they are."""
        if self.method == "lora-au":
            return list(prompts)
        return [
            text if one is None else told(text, one) for text, one in zip(prompts, aus, strict=True)
        ]

    def check_length(self, texts: Sequence[str]) -> None:
        """Refuse texts of which the text encoder would not see the end.

        Raises:
            PromptError: if one is too long.
        """
        what = "the prompt" if self.method == "lora-au" else "the prompt with its AUs in words"
        refuse_long(self.tokenizer, texts, what, "refuse", ", or ask for fewer AUs")

    def _asked(self, aus: AUs | Sequence[AUs] | None, prompts: int) -> list[AUs | None]:
        if aus is None:
            return [None] * prompts
        rows = [aus] * prompts if isinstance(aus, Mapping) else list(aus)
        if len(rows) != prompts:
            raise ActionUnitError(
                f"{len(rows)} AU vectors for {prompts} prompts; give one for all prompts, or one "
                "for each"
            )
        if self.trained is not None:
            for row in rows:
                self.trained.action_units.vector({k: v for k, v in row.items() if v})
        return list(rows)

    def _weigh(self, aus: AUs) -> None:
        """Give the LoRA of each AU its weight: the intensity, as a share of 5."""
        weights = {
            name: self.au_scale * value / MAX_INTENSITY for name, value in aus.items() if value
        }
        if weights:
            self.enable_lora()
            self.set_adapters(list(weights), list(weights.values()))
        else:
            self.disable_lora()


def _part(value: Any, place: int) -> Any:
    """Return what belongs to one image; what is one for all stays."""
    return value[place : place + 1] if isinstance(value, Tensor | list) else value


def _joined(images: list[Any]) -> Any:
    first = images[0]
    if isinstance(first, Tensor):
        return torch.cat(images)
    if isinstance(first, np.ndarray):
        return np.concatenate(images)
    return [image for part in images for image in part]


def _own_unet(folder: Path, base: UNet2DConditionModel) -> UNet2DConditionModel:
    unet = load_model(UNet2DConditionModel, folder, base.dtype, exact=True)
    for key in _SHAPE_KEYS:
        here, there = base.config[key], unet.config[key]
        if (list(here) if isinstance(here, tuple) else here) != (
            list(there) if isinstance(there, tuple) else there
        ):
            raise WeightsError(
                f"{folder} was trained beside another base: {key} is {there} there, and {here} in "
                "this base"
            )
    return unet.to(base.device)


def _read_lora(path: Path, unet: nn.Module) -> dict[str, Tensor]:
    """Read a LoRA on every attention layer, in the UNet's own number format."""
    lora, _ = read_lora(path)
    rank = next((v.shape[0] for k, v in lora.items() if "lora_A" in k and v.ndim == 2), 1)
    if not 1 <= rank <= LARGEST_RANK:
        raise WeightsError(f"{path} has a LoRA of rank {rank}; it must be 1 to {LARGEST_RANK}")
    dtype = next(unet.parameters()).dtype
    found = check_tensors(lora, lora_shapes(unet, rank), str(path))
    return {name: value.to(dtype) for name, value in found.items()}


def lora_shapes(unet: nn.Module, rank: int) -> dict[str, Tensor]:
    """Return the tensors of a LoRA on every attention layer of a UNet, without their numbers."""
    shapes = {}
    for path, attention in attentions(unet):
        for target in LORA_TARGETS:
            linear: Any = attention.get_submodule(target)
            rows, columns = linear.weight.shape
            for part, shape in {"A": (rank, columns), "B": (rows, rank)}.items():
                name = f"unet.{path}.{target}.lora_{part}.weight"
                shapes[name] = torch.empty(shape, device="meta")
    return shapes
