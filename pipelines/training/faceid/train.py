"""Training of the FaceID projection, its sheet and its files.

The recipe of IP-Adapter (arXiv 2308.06721): the base stays, tokens of an embedding and a second
cross-attention learn by the diffusion loss; on request also by what is read from their guesses.
"""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image as Images
from PIL.Image import Image
from torch import nn

from pipelines.diffusion.models import no_progress_bars
from pipelines.faceid.verifier import load_embedder
from pipelines.fineface import FineFaceIPAdapterPipeline
from pipelines.fineface.checkpoint import read_au_adapter
from pipelines.fineface.face_adapter import load_face_adapter, write_face_adapter
from pipelines.fineface.weights import FACE_ADAPTER_FILE, MINI, embedded, file_names
from pipelines.hub import resolve
from pipelines.training.data.augmentation import sheet_of, to_pixels
from pipelines.training.data.examples import examples_of
from pipelines.training.diffusion.base import (
    check_folder,
    encoder_sha256,
    find_base,
    load_base,
    load_vae,
    sheet_images,
    sheet_pipeline,
)
from pipelines.training.diffusion.latents import images_made_of, open_latents
from pipelines.training.diffusion.people import embed_people, people_reader, portrait_of
from pipelines.training.faceid.learner import FaceIdLearner, FaceStart
from pipelines.training.faceid.people import FaceIdTrainingConfig, PeopleBatch, people_batches
from pipelines.training.files import write_whole
from pipelines.training.provenance import CARD, write_card
from pipelines.training.recipe import Recipe, run_recipe
from pipelines.training.settings import pick_training_device
from pipelines.weight_files import file_sha256
from synthgen.errors import WeightsError


class FaceIdRecipe(Recipe[FaceIdTrainingConfig]):
    """The training of a face adapter beside a frozen base; files count, not their place."""

    name = "faceid"
    settings = FaceIdTrainingConfig
    makes = "faceid"
    what = "an IP-Adapter of the FaceID kind: tokens of a face embedding, K_img and V_img"
    free = ("base", "revision", "fineface", "embedder", "latents", "sheet", "export", "init")

    def __init__(self, config: FaceIdTrainingConfig, folder: Path) -> None:
        super().__init__(config, folder)
        self.data = config.data
        device, dtype = pick_training_device(config.device), getattr(torch, config.dtype)
        self._base = base = load_base(
            find_base(config.base, config.revision), device, dtype, config.attention
        )
        self._fineface, au_adapter, fineface_files = None, None, {}
        if config.fineface is not None:
            names = file_names("", 1.0)
            mini = config.fineface == MINI
            if not mini:
                check_folder("fineface", config.fineface, "fineface")
            found = embedded("fineface", names) if mini else resolve(config.fineface, files=names)
            paths = [path for path in found.iterdir() if path.suffix in (".safetensors", ".ckpt")]
            fineface_files = {path.name: file_sha256(path) for path in sorted(paths)}
            self._fineface = found
        self._embedder = embedder = load_embedder(config.embedder, str(device), config.threads)
        begins = None
        if config.init is not None:
            begins = FaceStart.find(config.init, base.unet, embedder.fingerprint)
        examples = examples_of(config.data, config.seed)
        encoder = encoder_sha256(base.folder / "vae")
        self.facts = {
            "base_files": base.checksums(),
            "vae_encoder_sha256": encoder,
            "fineface_files": fineface_files,
            "embedder_fingerprint": embedder.fingerprint,
            **examples.fingerprint,
        }
        vae = load_vae(base.folder / "vae", device)
        self._store = store = open_latents(config, folder, examples, vae, base.tokenizer, encoder)
        made_of = images_made_of(config, examples)
        self._embeddings = embed_people(folder, examples, store.count, embedder, made_of)
        reader = None
        if config.reading is not None:
            reader = people_reader(
                config.reading.reader,
                folder,
                store,
                self._embeddings,
                embedder.fingerprint,
                device,
            )
        if self._fineface is not None:
            au_adapter = read_au_adapter(self._fineface, base.unet, "", 1.0)
            if au_adapter.aus != examples.action_units:
                raise WeightsError(
                    f"fineface: {config.fineface} encodes {', '.join(au_adapter.aus.names)}; the "
                    f"data have {', '.join(examples.action_units.names)}: it must be trained on "
                    "data of the same aus"
                )
            nn.Module.to(au_adapter, device=device)
        learner = FaceIdLearner(config, base, au_adapter, device, reader, begins)
        self.learner, self.start = learner, learner.start

    def batches(self, first: int, last: int) -> Iterable[PeopleBatch]:
        """Read the latents and the embeddings of each step."""
        return people_batches(self._store, self._embeddings, first, last)

    def sheet(self) -> Image:
        """Generate each expression of held-out people below the portraits that are embedded.

        The adapter is used through the file that it will be.
        """
        config, sheet = self.config, self.config.sheet
        held_out = examples_of(config.data, config.seed, held_out=True)
        portraits = [portrait_of(held_out, row) for row in range(sheet.people)]
        faces = self._embedder.embed(portraits).embeddings
        # float32 is the face adapter's own, whatever the base's files hold
        pipeline = sheet_pipeline(FineFaceIPAdapterPipeline, self._base.folder, torch.float32)
        if self._fineface is not None:
            pipeline.load_au_adapter(self._fineface)
        with no_progress_bars(), tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / FACE_ADAPTER_FILE
            adapter = self.learner.average.to_file(torch.float32, self._embedder.fingerprint)
            write_face_adapter(path, adapter)
            load_face_adapter(pipeline, path)
        pipeline.to(self.learner.device)
        side = pipeline.unet.config["sample_size"] * pipeline.vae_scale_factor
        size, smooth = (side, side), Images.Resampling.BILINEAR
        rows = [[to_pixels(one.resize(size, smooth)) for one in portraits]]
        for expression in sheet.expressions:
            asked = expression if self._fineface is not None else None
            prompts = [sheet.prompt] * len(faces)
            rows.append(sheet_images(pipeline, sheet, prompts, asked, faces))
        return sheet_of(rows)

    def export(self, about: dict[str, Any]) -> None:
        """Write the adapter as IP-Adapters are published; it names its embedder."""
        made = self.folder / self.makes
        made.mkdir(exist_ok=True)
        path = made / FACE_ADAPTER_FILE
        dtype = getattr(torch, self.config.export.dtype)
        with write_whole(path) as partial:
            adapter = self.learner.average.to_file(dtype, self._embedder.fingerprint)
            write_face_adapter(partial, adapter)
        card = {
            **about,
            "embedder_licence": self._embedder.licence,
            "sha256": {path.name: file_sha256(path)},
        }
        write_card(made / CARD, card)


def train_faceid(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train a face adapter beside a frozen base and export it, as `run_recipe` says."""
    return run_recipe(FaceIdRecipe, config_path, out, stop_at, overrides)
