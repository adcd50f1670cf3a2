"""The latents of a training, opened as its configuration says."""

from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL  # pyright: ignore[reportPrivateImportUsage]
from transformers import CLIPTokenizer

from pipelines.training.data.config import WORDS
from pipelines.training.data.examples import Examples
from pipelines.training.diffusion.config import DiffusionSettings
from pipelines.training.diffusion.latents import LatentStore


def open_latents(
    config: DiffusionSettings,
    folder: Path,
    examples: Examples,
    vae: AutoencoderKL,
    tokenizer: CLIPTokenizer,
    encoder_sha256: str,
) -> LatentStore:
    """Open the latents of a training; trainings on the same images may share a folder.

    Args:
        config: the training run.
        folder: its folder, which holds the latents unless `config.latents` names another.
        examples: images, captions and AUs.
        vae: the VAE, in evaluation mode.
        tokenizer: tokenizer of the captions.
        encoder_sha256: checksum of the VAE's encoder.

    Raises:
        ConfigError: if there are not as many examples.
        OutputError: if the files cannot be written, or were made of something else.
        DatasetError: if an example cannot be read.
    """
    return LatentStore(
        Path(config.latents) if config.latents else folder / "latents",
        examples,
        config.examples,
        vae,
        tokenizer,
        {"vae_encoder": encoder_sha256, **images_made_of(config, examples)},
        batch_size=config.batch_size,
        seed=config.seed,
        drop_caption=config.drop_caption,
    )


def images_made_of(config: DiffusionSettings, examples: Examples) -> dict[str, Any]:
    """Return what a training's images are a function of, whatever their captions say."""
    return {
        "data": config.data.model_dump(mode="json", exclude=WORDS),
        "seed": config.seed,
        **examples.fingerprint,
    }
