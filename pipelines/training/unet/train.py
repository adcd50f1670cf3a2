"""`synthgen train unet`: train the base that FineFace steers, and write it as Stable Diffusion."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL.Image import Image

from pipelines.training.data.examples import examples_of
from pipelines.training.diffusion.base_parts import checksums, load_text, load_vae
from pipelines.training.diffusion.latent_stores import open_latents
from pipelines.training.loop.about import about_training
from pipelines.training.loop.device import pick_training_device
from pipelines.training.loop.sameness import what_counts
from pipelines.training.loop.session import Session, training_folder
from pipelines.training.unet.config import UNetConfig
from pipelines.training.unet.export import BASE, export_base
from pipelines.training.unet.learner import UNetLearner
from pipelines.training.unet.sheet import paint_prompts
from synthgen.config.loading import load_section

_WHAT = "text-to-image base: a UNet beside the VAE and the text encoder that it was trained with"
_ON_A_SHEET = 16


def train_unet(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train a base UNet and export it as a Stable Diffusion folder; goes on by itself.

    Args:
        config_path: YAML file, as `UNetConfig` describes it.
        out: folder for the latents, the checkpoint, the curves, the sheets and the base.
        stop_at: end after this step with a checkpoint and without an export; None: to the end.
        overrides: `key=value`, as for `load_section`.

    Returns:
        The folder of the base (which exists only when the training reached its end).

    Raises:
        SynthgenError: if the configuration, the data, the VAE, the text encoder or the folder do
            not serve, or the loss is not finite.
    """
    config = load_section(config_path, UNetConfig, overrides)
    folder = training_folder(out)
    torch.set_num_threads(config.threads)
    device = pick_training_device(config.device)
    vae = load_vae(Path(config.vae), device)
    text, tokenizer = load_text(Path(config.clip), device)
    facts = checksums(Path(config.vae), Path(config.clip))
    examples = examples_of(config.data, config.seed)
    store = open_latents(config, folder, examples, vae, tokenizer, facts["vae_encoder_sha256"])
    learner = UNetLearner(config, store.shape, text, device)
    facts |= examples.fingerprint
    prompts = _prompts(config)

    def sheet() -> Image:
        return paint_prompts(learner.average, vae, text, tokenizer, learner.scheduler, prompts)

    counts = what_counts(config, "vae", "clip", "latents", **facts)
    session = Session("unet", learner, folder, counts, store.batches, sheet)
    session.resume()
    if session.train(stop_at):
        about = about_training(
            "unet", _WHAT, config, config.data, folder, config_path, learner.step, facts
        )
        export_base(
            learner.average, learner.scheduler, Path(config.vae), Path(config.clip), folder, about
        )
    return folder / BASE


def _prompts(config: UNetConfig) -> list[str]:
    held_out = examples_of(config.data, config.seed, held_out=True)
    there = held_out.count
    return [
        held_out.caption(i)
        for i in range(_ON_A_SHEET if there is None else min(_ON_A_SHEET, there))
    ]
