"""Parts of a Stable Diffusion that fit one another: what else would paint noise without a word."""

from collections.abc import Mapping
from typing import Any

from pipelines.fineface.adapter import text_width
from pipelines.fineface.models import check_text_parts
from pipelines.fineface.weights import FineFaceFolders
from pipelines.weight_files import read_model_config
from synthgen.errors import WeightsError

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
