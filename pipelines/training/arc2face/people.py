"""People as the trainings of Arc2Face see them: kept latents and embeddings, and their texts."""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from jaxtyping import Bool, Float, Float32
from torch import Tensor, nn

from pipelines.arc2face.identity import PersonText, check_text
from pipelines.arc2face.pipeline import Arc2FacePipeline
from pipelines.faceid.embedder import FaceEmbedder
from pipelines.faceid.verifier import load_embedder
from pipelines.training.arc2face.config import PeopleSettings
from pipelines.training.data.augmentation import to_pixels
from pipelines.training.data.examples import Examples, examples_of, first_rows
from pipelines.training.diffusion.base import (
    FrozenBase,
    encoder_sha256,
    load_vae,
    with_sheet_sampler,
)
from pipelines.training.diffusion.latents import (
    LatentStore,
    images_made_of,
    open_latents,
)
from pipelines.training.diffusion.people import (
    LabelledPeople,
    embed_people,
    labelled_people,
    portrait_of,
)
from pipelines.training.files import writing
from pipelines.training.learner import Learner
from samplers.identities.identity import FACEID_WIDTH


def any_faces(rows: int) -> Float[Tensor, "rows 512"]:
    """Return embeddings of nobody in particular, to measure by."""
    return torch.full((rows, FACEID_WIDTH), FACEID_WIDTH**-0.5)


@dataclass(frozen=True, slots=True, eq=False)
class KeptPeople:
    """The people of a training, in files that were made before the first step.

    Attributes:
        store: latents of the examples.
        embeddings: who they show.
        embedder: what describes them.
        vae: the VAE of the latents.
        facts: what they are a function of.
    """

    store: LatentStore
    embeddings: Float32[np.ndarray, "examples 512"]
    embedder: FaceEmbedder
    vae: AutoencoderKL
    facts: dict[str, Any]

    @classmethod
    def open(
        cls,
        config: PeopleSettings,
        folder: Path,
        base: FrozenBase,
        examples: Examples,
        device: torch.device,
    ) -> "KeptPeople":
        """Make the files, or find them.

        Args:
            config: the training run.
            folder: its folder.
            base: the base, whose folder has the VAE.
            examples: whom the examples show.
            device: torch device.

        Raises:
            ConfigError: if there are not as many examples.
            DatasetError: if an example cannot be read, or no face is found in any.
            OutputError: if the files cannot be written, or were made of something else.
            WeightsError: if VAE or embedder are missing or do not fit.
        """
        embedder = load_embedder(config.embedder, str(device), config.threads)
        encoder = encoder_sha256(base.folder / "vae")
        vae = load_vae(base.folder / "vae", device)
        untold = config.model_copy(update={"drop_caption": 1.0})  # captions are not read
        store = open_latents(untold, folder, examples, vae, base.tokenizer, encoder)
        made_of = images_made_of(config, examples)
        # Beside the latents, which several trainings may share.
        print_of = embedder.fingerprint.removeprefix("sha256:")[:8]
        kept = store.folder / f"people-{config.portrait}-{print_of}"
        with writing(kept):
            kept.mkdir(exist_ok=True)
        return cls(
            store,
            embed_people(kept, examples, store.count, embedder, made_of, config.portrait),
            embedder,
            vae,
            {
                "base_files": base.checksums(),
                "vae_encoder_sha256": encoder,
                "embedder_fingerprint": embedder.fingerprint,
                **examples.fingerprint,
            },
        )

    def batches(self, config: PeopleSettings, first: int, last: int) -> Iterator[LabelledPeople]:
        """Yield the batches of steps `first` to `last`; each is a function of its step alone."""
        return labelled_people(
            self.store, self.embeddings, first, last, config.batch_size, config.seed
        )

    def pipeline(self, base: FrozenBase, unet: nn.Module, text_encoder: nn.Module) -> Any:
        """Return a pipeline of these models that paints sample sheets."""
        parts: dict[str, Any] = {
            "unet": unet,
            "text_encoder": text_encoder,
            "vae": self.vae,
            "tokenizer": base.tokenizer,
            "scheduler": base.scheduler,
            "safety_checker": None,
            "feature_extractor": None,
        }
        return with_sheet_sampler(Arc2FacePipeline(**parts, requires_safety_checker=False))

    def held_out(self, config: PeopleSettings) -> tuple[list[Tensor], list[list[float]]]:
        """Return portraits of people who are not learned, as [-1, 1], and their embeddings.

        Portraits in which no face is found are left out.
        """
        examples = examples_of(config.data, config.seed, held_out=True)
        rows = first_rows(examples, config.sheet.people)
        portraits = [portrait_of(examples, row, config.portrait) for row in rows]
        found = self.embedder.embed(portraits)
        shown = [row for row in rows if found.faces[row]]
        return [to_pixels(portraits[row]) for row in shown], found.embeddings[shown].tolist()


class PeopleLearner(Learner):
    """Learns beside a base that is told people; a child says what learns.

    Args:
        config: the training run.
        base: the base, on the device.
        network: what learns.
        device: torch device.

    Raises:
        WeightsError: if the text is narrower than 512, or "id" is no token of its own.
    """

    def __init__(
        self, config: PeopleSettings, base: FrozenBase, network: nn.Module, device: torch.device
    ) -> None:
        check_text(base.tokenizer, base.text_encoder)
        super().__init__(config, config.cycles, network, device)
        self._base = base
        self._text = PersonText(base.tokenizer)

    def drawn_apart(
        self, faces: Float[Tensor, "B 512"], shares: Sequence[float]
    ) -> list[Bool[Tensor, " B"]]:
        """Draw for each row which one of some chances comes true, or none.

        Args:
            faces: embeddings of the rows.
            shares: chances, 1 together at most.

        Returns:
            For each chance the rows in which it came true, on the device of the embeddings.
        """
        draws, found, low = torch.rand(len(faces)), [], 0.0
        for share in shares:
            found.append(((draws >= low) & (draws < low + share)).to(faces.device))
            low += share
        return found

    def texts(
        self, faces: Float[Tensor, "B 512"], told: Bool[Tensor, " B"]
    ) -> Float[Tensor, "B tokens width"]:
        """Return what the text encoder makes of people.

        Args:
            faces: embeddings of length 1; whoever has zeros is told nowhere.
            told: rows that tell their person.
        """
        with self.autocast():
            return self._text.encode(self._base.text_encoder, faces, told & faces.any(1))

    @torch.no_grad()
    def frozen_texts(
        self, faces: Float[Tensor, "B 512"], told: Bool[Tensor, " B"]
    ) -> Float[Tensor, "B tokens width"]:
        """Return the same of a text encoder that does not learn."""
        return self.texts(faces, told)
