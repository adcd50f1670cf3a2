"""Paint with a base that is being trained."""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline
from PIL.Image import Image
from transformers import CLIPTextModel, CLIPTokenizer

from pipelines.training.data.pixels import sheet_of

_STEPS, _GUIDANCE, _IN_A_ROW = 20, 3.0, 8


def paint_prompts(
    unet: Any,
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    noise_schedule: Any,
    prompts: Sequence[str],
) -> Image:
    """Paint a sheet, one picture a prompt; picture i always begins from noise i.

    Args:
        unet: the UNet, on the device of the others.
        vae: the VAE.
        text_encoder: the text encoder.
        tokenizer: its tokenizer.
        noise_schedule: the schedule that the UNet learns with.
        prompts: what is painted.
    """
    scheduler: Any = DPMSolverMultistepScheduler.from_config(
        noise_schedule.config, algorithm_type="dpmsolver++"
    )
    absent: Any = None
    pipeline = StableDiffusionPipeline(
        vae, text_encoder, tokenizer, unet, scheduler, absent, absent, absent, False
    )
    pipeline.set_progress_bar_config(disable=True)
    output: Any = pipeline(
        list(prompts),
        num_inference_steps=_STEPS,
        guidance_scale=_GUIDANCE,
        output_type="pt",
        generator=[torch.Generator().manual_seed(i) for i in range(len(prompts))],
    )
    made = 2 * output.images.float() - 1
    return sheet_of([list(row) for row in made.split(_IN_A_ROW)])
