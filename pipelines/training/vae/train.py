"""`synthgen train vae`: train the VAE that latents are made with."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL.Image import Image

from pipelines.training.data.examples import Examples, examples_of
from pipelines.training.data.loader import load_batches
from pipelines.training.data.pixels import sheet_of, to_pixels
from pipelines.training.loop.about import about_training
from pipelines.training.loop.device import pick_training_device
from pipelines.training.loop.sameness import what_counts
from pipelines.training.loop.session import Session, training_folder
from pipelines.training.vae.config import VAEConfig
from pipelines.training.vae.export import VAE, export_vae
from pipelines.training.vae.images import VAEImages, places
from pipelines.training.vae.learner import VAELearner
from synthgen.config.loading import load_section

_WHAT = "AutoencoderKL: images to latents of an eighth of their side, and back"
_ON_A_SHEET, _IN_A_ROW = 16, 8


def train_vae(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train a VAE, measure it on held-out images, and export it; goes on by itself.

    Args:
        config_path: YAML file, as `VAEConfig` describes it.
        out: folder for the checkpoint, the curves, the sheets and the VAE; made if missing.
        stop_at: end after this step with a checkpoint and without an export; None: to the end.
        overrides: `key=value`, as for `load_section`.

    Returns:
        The folder of the VAE (which exists only when the training reached its end).

    Raises:
        SynthgenError: if the configuration, the data or the folder do not serve, or the loss is
            not finite.
    """
    config = load_section(config_path, VAEConfig, overrides)
    folder = training_folder(out)
    torch.set_num_threads(config.threads)
    images = VAEImages(config)
    held_out = examples_of(config.data, config.seed, held_out=True)
    learner = VAELearner(config, pick_training_device(config.device))
    facts = examples_of(config.data, config.seed).fingerprint
    session = Session(
        "vae",
        learner,
        folder,
        what_counts(config, **facts),
        lambda first, last: load_batches(
            images, places(config, first, last), config.workers, torch.cat
        ),
        _sheet(learner, held_out),
    )
    session.resume()
    if session.train(stop_at):
        about = about_training(
            "vae", _WHAT, config, config.data, folder, config_path, learner.step, facts
        )
        export_vae(learner.average, folder, held_out, _there(held_out, config.held_out), about)
    return folder / VAE


def _sheet(learner: VAELearner, held_out: Examples) -> Callable[[], Image]:
    """Show held-out images, and below each what the VAE makes of it."""
    shown = range(_there(held_out, _ON_A_SHEET))
    pixels = torch.stack([to_pixels(held_out.image(i)) for i in shown])

    @torch.inference_mode()
    def draw() -> Image:
        vae = learner.average
        latents = vae.encode(pixels.to(learner.device)).latent_dist.mode()
        made = vae.decode(latents).sample.cpu()
        pairs = zip(pixels.split(_IN_A_ROW), made.split(_IN_A_ROW), strict=True)
        return sheet_of([list(row) for pair in pairs for row in pair])

    return draw


def _there(examples: Examples, count: int) -> int:
    return count if examples.count is None else min(count, examples.count)
