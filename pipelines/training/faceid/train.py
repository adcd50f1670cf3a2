"""Training of the FaceID projection, its sheet and its files.

The recipe of IP-Adapter (arXiv 2308.06721): the base stays, tokens of an embedding and a second
cross-attention learn by the diffusion loss; on request also by what is read from their guesses.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler
from jaxtyping import Float32
from PIL import Image as Images
from PIL.Image import Image

from pipelines.faceid.embedder import FaceEmbedder
from pipelines.fineface import FineFaceIPAdapterPipeline
from pipelines.fineface.face_adapter import FaceAdapterFile, load_face_adapter, write_face_adapter
from pipelines.fineface.models import no_progress_bars
from pipelines.fineface.weights import FACE_ADAPTER_FILE
from pipelines.training.data.augmentation import sheet_of, to_pixels
from pipelines.training.data.examples import examples_of
from pipelines.training.diffusion.base import load_vae
from pipelines.training.diffusion.config import AdapterExport
from pipelines.training.diffusion.latents import LatentStore, images_made_of, open_latents
from pipelines.training.diffusion.reader import LatentReader
from pipelines.training.faceid.learner import FaceIdLearner, people_reader
from pipelines.training.faceid.people import (
    FaceAdapter,
    FaceIdSheet,
    FaceIdTrainingConfig,
    Parts,
    embed_people,
    load_parts,
    people_batches,
    portrait_of,
)
from pipelines.training.files import write_whole
from pipelines.training.provenance import about_training, what_counts, write_card
from pipelines.training.session import Session, training_folder
from pipelines.weight_files import file_sha256
from synthgen.config.loading import load_section

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.


def paint_people(
    base: Path,
    fineface: Path | None,
    adapter: FaceAdapterFile,
    portraits: Sequence[Image],
    faces: Float32[np.ndarray, "people 512"],
    sheet: FaceIdSheet,
    device: torch.device,
) -> Image:
    """Paint each expression of each person below the portrait that was embedded.

    Args:
        base: folder of the base.
        fineface: folder of the AU adapter; None: no expressions.
        adapter: the face adapter.
        portraits: the embedded portraits.
        faces: their embeddings.
        sheet: what is painted.
        device: torch device.
    """
    pipeline = _pipeline(base, fineface, adapter).to(device)
    side = pipeline.unet.config["sample_size"] * pipeline.vae_scale_factor
    rows = [[to_pixels(one.resize((side, side), Images.Resampling.BILINEAR)) for one in portraits]]
    for expression in sheet.expressions:
        output = pipeline(
            [sheet.prompt] * len(faces),
            expression if fineface is not None else None,
            faces,
            num_inference_steps=sheet.num_inference_steps,
            guidance_scale=sheet.guidance_scale,
            generator=[torch.Generator().manual_seed(i) for i in range(len(faces))],
            output_type="pt",
        )
        rows.append([2 * image.float().cpu() - 1 for image in output.images])  # pyright: ignore
    return sheet_of(rows)


def _pipeline(
    base: Path, fineface: Path | None, adapter: FaceAdapterFile
) -> FineFaceIPAdapterPipeline:
    with no_progress_bars(), tempfile.TemporaryDirectory() as folder:
        pipeline = FineFaceIPAdapterPipeline.from_pretrained(
            base,
            safety_checker=None,
            feature_extractor=None,
            image_encoder=None,
            requires_safety_checker=False,
            use_safetensors=True,
            dtype=torch.float32,  # the face adapter's own, whatever the base's files hold
        )
        if fineface is not None:
            pipeline.load_au_adapter(fineface)
        write_face_adapter(Path(folder) / "ip_adapter.safetensors", adapter)
        load_face_adapter(pipeline, Path(folder) / "ip_adapter.safetensors")
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
        pipeline.scheduler.config, algorithm_type="dpmsolver++"
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


PUBLISHED = "faceid"


def export_face_adapter(
    adapter: FaceAdapter,
    embedder: FaceEmbedder,
    folder: Path,
    export: AdapterExport,
    about: dict[str, Any],
) -> Path:
    """Write the adapter, which names its embedder, and its card.

    Args:
        adapter: the trained adapter.
        embedder: what described the people.
        folder: folder of the training; the files go to `faceid` in it.
        export: how they are written.
        about: what the card says besides the checksum and the embedder's licence.

    Returns:
        The folder of the files.

    Raises:
        OutputError: if they cannot be written.
    """
    made = folder / PUBLISHED
    made.mkdir(exist_ok=True)
    path = made / FACE_ADAPTER_FILE
    with write_whole(path) as partial:
        dtype = getattr(torch, export.dtype)
        write_face_adapter(partial, adapter.to_file(dtype, embedder.fingerprint))
    card = {
        **about,
        "embedder_licence": embedder.licence,
        "sha256": {path.name: file_sha256(path)},
    }
    write_card(made / "card.json", card)
    return made


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
