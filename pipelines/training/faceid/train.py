"""`synthgen train faceid`: teach a Stable Diffusion base to show people by their embeddings.

The recipe of IP-Adapter (arXiv 2308.06721): the base stays, tokens of an embedding and a second
cross-attention learn by the diffusion loss; on request also by what is read from their guesses.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from PIL.Image import Image

from pipelines.training.data.examples import examples_of
from pipelines.training.diffusion.base_parts import load_vae
from pipelines.training.diffusion.latent_stores import images_made_of, open_latents
from pipelines.training.diffusion.latents import LatentStore
from pipelines.training.diffusion.reader import LatentReader
from pipelines.training.faceid.config import FaceIdTrainingConfig
from pipelines.training.faceid.export import PUBLISHED, export_face_adapter
from pipelines.training.faceid.learner import FaceIdLearner
from pipelines.training.faceid.parts import Parts, load_parts
from pipelines.training.faceid.people import embed_people, people_batches, portrait_of
from pipelines.training.faceid.reader_learner import people_reader
from pipelines.training.faceid.sheet import paint_people
from pipelines.training.loop.about import about_training
from pipelines.training.loop.sameness import what_counts
from pipelines.training.loop.session import Session, training_folder
from synthgen.config.loading import load_section

_WHAT = "an IP-Adapter of the FaceID kind: tokens of a face embedding, K_img and V_img"
_FREE = ("base", "revision", "fineface", "embedder", "latents", "sheet", "export")
"""Keys that the weights are not a function of; the files count, not their place."""


def train_faceid(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train a face adapter beside a frozen base and export it; goes on by itself.

    Args:
        config_path: YAML file, as `FaceIdTrainingConfig` describes it.
        out: folder for latents, embeddings, the checkpoint, the curves, the sheets and the adapter.
        stop_at: end after this step with a checkpoint and without an export; None: to the end.
        overrides: `key=value`, as for `load_section`.

    Returns:
        The folder with `ip_adapter.safetensors` and its card (which exists only when the training
        reached its end).

    Raises:
        SynthgenError: if the configuration, the base, the data or the folder do not serve, or the
            loss is not finite.
    """
    config = load_section(config_path, FaceIdTrainingConfig, overrides)
    parts = load_parts(config, training_folder(out))
    facts = parts.facts()
    examples, base = parts.examples, parts.base
    vae = load_vae(base.folder / "vae", parts.device)
    store = open_latents(
        config, parts.folder, examples, vae, base.tokenizer, facts["vae_encoder_sha256"]
    )
    embeddings = embed_people(
        parts.folder, examples, store.count, parts.embedder, images_made_of(config, examples)
    )
    reader = _reader(parts, store, embeddings)
    learner = FaceIdLearner(config, parts.base, parts.au_adapter(), parts.device, reader)
    session = Session(
        "faceid",
        learner,
        parts.folder,
        what_counts(config, *_FREE, **facts),
        lambda first, last: people_batches(store, embeddings, first, last),
        lambda: _sheet(parts, learner),
    )
    session.resume()
    if session.train(stop_at):
        about = about_training(
            "faceid", _WHAT, config, config.data, parts.folder, config_path, learner.step, facts
        )
        export_face_adapter(learner.average, parts.embedder, parts.folder, config.export, about)
    return parts.folder / PUBLISHED


def _reader(
    parts: Parts, store: LatentStore, embeddings: Float32[np.ndarray, "examples 512"]
) -> LatentReader | None:
    reading = parts.config.reading
    if reading is None:
        return None
    embedder = parts.embedder.fingerprint
    return people_reader(reading.reader, parts.folder, store, embeddings, embedder, parts.device)


def _sheet(parts: Parts, learner: FaceIdLearner) -> Image:
    config = parts.config
    held_out = examples_of(config.data, config.seed, held_out=True)
    portraits = [portrait_of(held_out, row) for row in range(config.sheet.people)]
    faces = parts.embedder.embed(portraits).embeddings
    adapter = learner.average.to_file(torch.float32, parts.embedder.fingerprint)
    return paint_people(
        parts.base.folder, parts.fineface, adapter, portraits, faces, config.sheet, parts.device
    )
