"""`synthgen train fineface`: teach a Stable Diffusion base to obey AUs (arXiv 2407.20175)."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL.Image import Image

from pipelines.training.data.examples import examples_of
from pipelines.training.diffusion.base_parts import encoder_sha256, load_vae
from pipelines.training.diffusion.frozen_base import FrozenBase, find_base, load_base
from pipelines.training.diffusion.latent_stores import open_latents
from pipelines.training.fineface.config import FineFaceTrainingConfig
from pipelines.training.fineface.export import PUBLISHED, export_adapter
from pipelines.training.fineface.learner import FineFaceLearner
from pipelines.training.fineface.reader_learner import au_reader
from pipelines.training.fineface.sheet import paint_sheet
from pipelines.training.loop.about import about_training
from pipelines.training.loop.device import pick_training_device
from pipelines.training.loop.sameness import what_counts
from pipelines.training.loop.session import Session, training_folder
from synthgen.config.loading import load_section

_WHAT = "FineFace's AU adapter: AU encoder, AU projections, and a LoRA that is fused at scale 1"
_FREE = ("base", "revision", "latents", "sheet", "export")
"""Keys that the weights are not a function of; the base's files count, not their place."""


def train_fineface(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train an AU adapter beside a frozen base and export it; goes on by itself.

    Args:
        config_path: YAML file, as `FineFaceTrainingConfig` describes it.
        out: folder for the latents, the checkpoint, the curves, the sheets and the adapter.
        stop_at: end after this step with a checkpoint and without an export; None: to the end.
        overrides: `key=value`, as for `load_section`.

    Returns:
        The folder that `FineFacePipeline.load_au_adapter` reads (which exists only when the
        training reached its end).

    Raises:
        SynthgenError: if the configuration, the base, the data or the folder do not serve, or the
            loss is not finite.
    """
    config = load_section(config_path, FineFaceTrainingConfig, overrides)
    folder = training_folder(out)
    torch.set_num_threads(config.threads)
    device = pick_training_device(config.device)
    base = load_base(
        find_base(config.base, config.revision),
        device,
        getattr(torch, config.dtype),
        config.attention,
    )
    examples = examples_of(config.data, config.seed)
    facts = {
        "base_files": base.checksums(),
        "vae_encoder_sha256": encoder_sha256(base.folder / "vae"),
        **examples.fingerprint,
    }
    vae = load_vae(base.folder / "vae", device)
    store = open_latents(config, folder, examples, vae, base.tokenizer, facts["vae_encoder_sha256"])
    reading = config.reading
    reader = None if reading is None else au_reader(reading.reader, store, device)
    learner = FineFaceLearner(config, base, device, reader)
    session = Session(
        "fineface",
        learner,
        folder,
        what_counts(config, *_FREE, **facts),
        store.batches,
        lambda: _sheet(config, base, learner),
    )
    session.resume()
    if session.train(stop_at):
        about = about_training(
            "fineface", _WHAT, config, config.data, folder, config_path, learner.step, facts
        )
        export_adapter(learner.average, folder, config.export, about)
    return folder / PUBLISHED


def _sheet(config: FineFaceTrainingConfig, base: FrozenBase, learner: FineFaceLearner) -> Image:
    on_gpu = learner.device.type == "cuda"
    dtype = getattr(torch, config.dtype) if on_gpu else torch.float32
    return paint_sheet(base.folder, learner.average, config.sheet, learner.device, dtype)
