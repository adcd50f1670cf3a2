"""`synthgen train faceid`: teach a Stable Diffusion base to show people by their embeddings.

The recipe of IP-Adapter (arXiv 2308.06721): the base stays, tokens of an embedding and a second
cross-attention learn by the diffusion loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import nn

from pipelines.checkpoints import file_sha256
from pipelines.faceid.embedder import FaceEmbedder
from pipelines.faceid.loading import load_embedder
from pipelines.fineface.adapter import AUAdapter
from pipelines.fineface.checkpoint import file_names, read_au_adapter
from pipelines.fineface.face_adapter import write_face_adapter
from pipelines.fineface.faceid_weights import FACE_ADAPTER_FILE
from pipelines.fineface.weights import MINI, embedded
from pipelines.hub import resolve
from pipelines.training.data.examples import Examples, examples_of
from pipelines.training.diffusion.base_parts import encoder_sha256, load_vae
from pipelines.training.diffusion.frozen_base import FrozenBase, find_base, load_base
from pipelines.training.diffusion.latent_stores import images_made_of, open_latents
from pipelines.training.faceid.config import FaceIdTrainingConfig
from pipelines.training.faceid.learner import FaceIdLearner
from pipelines.training.faceid.people import embed_people, people_batches, portrait_of
from pipelines.training.faceid.sheet import paint_people
from pipelines.training.loop.about import about_training
from pipelines.training.loop.card import write_card
from pipelines.training.loop.device import pick_training_device
from pipelines.training.loop.sameness import what_counts
from pipelines.training.loop.session import Session, training_folder
from pipelines.training.loop.whole_files import write_whole
from synthgen.config.loading import load_section

PUBLISHED, PUBLISHED_FINEFACE = "faceid", "fineface"

_WHAT = "an IP-Adapter of the FaceID kind: tokens of a face embedding, K_img and V_img"
_FREE = ("base", "revision", "fineface", "embedder", "latents", "sheet", "export")
"""Keys that the weights are not a function of; the files count, not their place."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a training has besides the network that learns."""

    config: FaceIdTrainingConfig
    folder: Path
    device: torch.device
    base: FrozenBase
    fineface: Path | None
    embedder: FaceEmbedder
    examples: Examples


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
    parts = _load(config, training_folder(out))
    facts = _facts(parts)
    examples, base = parts.examples, parts.base
    vae = load_vae(base.folder / "vae", parts.device)
    store = open_latents(
        config, parts.folder, examples, vae, base.tokenizer, facts["vae_encoder_sha256"]
    )
    embeddings = embed_people(
        parts.folder, examples, store.count, parts.embedder, images_made_of(config, examples)
    )
    learner = FaceIdLearner(config, parts.base, _au_adapter(parts), parts.device)
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
        _export(parts, learner, {**about, "embedder_licence": parts.embedder.licence})
    return parts.folder / PUBLISHED


def _load(config: FaceIdTrainingConfig, folder: Path) -> _Parts:
    torch.set_num_threads(config.threads)
    device = pick_training_device(config.device)
    found = find_base(config.base, config.revision)
    return _Parts(
        config=config,
        folder=folder,
        device=device,
        base=load_base(found, device, getattr(torch, config.dtype), config.attention),
        fineface=_fineface(config.fineface),
        embedder=load_embedder(config.embedder, str(device), config.threads),
        examples=examples_of(config.data, config.seed),
    )


def _fineface(where: str | None) -> Path | None:
    if where is None:
        return None
    files = file_names("", 1.0)
    return embedded(PUBLISHED_FINEFACE, files) if where == MINI else resolve(where, files=files)


def _facts(parts: _Parts) -> dict[str, Any]:
    fineface = _weight_files(parts.fineface) if parts.fineface else []
    return {
        "base_files": parts.base.checksums(),
        "vae_encoder_sha256": encoder_sha256(parts.base.folder / "vae"),
        "fineface_files": {path.name: file_sha256(path) for path in fineface},
        "embedder_fingerprint": parts.embedder.fingerprint,
        **parts.examples.fingerprint,
    }


def _weight_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".ckpt"))


def _au_adapter(parts: _Parts) -> AUAdapter | None:
    if parts.fineface is None:
        return None
    adapter = read_au_adapter(parts.fineface, parts.base.unet, "", 1.0)
    nn.Module.to(adapter, device=parts.device)
    return adapter


def _sheet(parts: _Parts, learner: FaceIdLearner) -> Image:
    config = parts.config
    held_out = examples_of(config.data, config.seed, held_out=True)
    portraits = [portrait_of(held_out, row) for row in range(config.sheet.people)]
    faces = parts.embedder.embed(portraits).embeddings
    adapter = learner.average.to_file(torch.float32, parts.embedder.fingerprint)
    return paint_people(
        parts.base.folder, parts.fineface, adapter, portraits, faces, config.sheet, parts.device
    )


def _export(parts: _Parts, learner: FaceIdLearner, about: dict[str, Any]) -> None:
    dtype = getattr(torch, parts.config.export.dtype)
    folder = parts.folder / PUBLISHED
    folder.mkdir(exist_ok=True)
    path = folder / FACE_ADAPTER_FILE
    with write_whole(path) as partial:
        write_face_adapter(partial, learner.average.to_file(dtype, parts.embedder.fingerprint))
    write_card(folder / "card.json", {**about, "sha256": {path.name: file_sha256(path)}})
