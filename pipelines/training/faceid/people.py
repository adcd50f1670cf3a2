"""People for the FaceID training: configuration, pairs of portraits, the network."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from diffusers.models.attention_processor import IPAdapterAttnProcessor, IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import IPAdapterFaceIDImageProjection
from jaxtyping import Float, Float32, Int
from PIL.Image import Image
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn
from tqdm import tqdm

from pipelines.faceid.embedder import FaceEmbedder
from pipelines.faceid.verifier import load_embedder
from pipelines.fineface.adapter import AUAdapter, text_width
from pipelines.fineface.checkpoint import read_au_adapter
from pipelines.fineface.face_adapter import ATTENTION, PROJECTION, FaceAdapterFile
from pipelines.fineface.weights import MINI, embedded, file_names
from pipelines.hub import resolve
from pipelines.procedural import render
from pipelines.training.data.config import DatasetData
from pipelines.training.data.examples import Examples, ProceduralExamples, examples_of
from pipelines.training.diffusion.base import FrozenBase, encoder_sha256, find_base, load_base
from pipelines.training.diffusion.config import (
    AdapterCycle,
    AdapterExport,
    AdapterSheet,
    DiffusionSettings,
    ReaderConfig,
    ReadingConfig,
    SheetExpressions,
    check_painted,
)
from pipelines.training.diffusion.latents import LatentStore
from pipelines.training.files import write_text_whole, write_whole
from pipelines.training.settings import pick_training_device
from pipelines.weight_files import file_sha256
from samplers.identities.identity import FACEID_WIDTH
from synthgen.config.verify import EmbedderConfig
from synthgen.errors import DatasetError, OutputError


class FaceIdSheet(AdapterSheet):
    """Sample sheets: a column for each held-out person, a row for each expression below them."""

    people: int = Field(default=6, ge=1, le=16, description="Held-out people.")
    prompt: str = Field(default="a portrait of a person", description="What is painted.")
    expressions: SheetExpressions = Field(
        default=({}, {"AU6": 4, "AU12": 4}, {"AU1": 4, "AU2": 4, "AU26": 4}, {"AU4": 4, "AU15": 4}),
        description="AU intensities that are asked for; without `fineface` they show nothing.",
    )


class FaceReadingConfig(ReadingConfig):
    """A second loss: who is shown is read from the latents that the model guesses."""

    aus_weight: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description="What the squared error of AUs [intensity²] counts beside 1 − cosine of the "
        "faces, before both are weighed, so that the face branch leaves expressions alone; needs "
        "`fineface` unless it is 0.",
    )


class FaceIdTrainingConfig(DiffusionSettings):
    """A training run of the face adapter: tokens of an embedding, and K_img and V_img."""

    cycles: tuple[AdapterCycle, ...] = Field(
        min_length=1,
        description="The steps; a finished training goes on when a cycle is added at the end.",
    )
    examples: int | None = Field(
        ge=1,
        description="Examples whose latents and embeddings are made and kept; null: all rows of "
        "the dataset.",
    )
    base: str = Field(description="Stable Diffusion base: folder, Hub id, or mini.")
    revision: str | None = Field(default=None, description="Revision of the base on the Hub.")
    fineface: str | None = Field(
        default=None,
        description="Folder of FineFace files, or mini: an AU adapter that works meanwhile and "
        "does not learn, so that the face branch need not carry expressions; null: none.",
    )
    embedder: EmbedderConfig = Field(description="What describes the people.")
    tokens: int = Field(default=16, ge=1, le=64, description="Tokens of a face.")
    drop_face: float = Field(
        default=0.1, ge=0, le=1, description="Share of embeddings of 0, for guidance."
    )
    reading: FaceReadingConfig | None = Field(
        default=None,
        description="A second loss, of embeddings that a small network reads from guessed latents: "
        "people are learned from fewer examples; null: the diffusion loss alone, as in "
        "IP-Adapter's paper.",
    )
    compile: Annotated[bool, Field(description="Not offered by this training: false.")] = False
    sheet: FaceIdSheet = Field(default=FaceIdSheet(), description="Sample sheets.")
    export: AdapterExport = Field(default=AdapterExport(), description="What is written.")

    @field_validator("compile")
    @classmethod
    def _uncompiled(cls, value: bool) -> bool:
        if value:
            raise ValueError("the FaceID training does not compile; it must be false")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "FaceIdTrainingConfig":
        if self.export.also is not None:
            raise ValueError(f"export.also is {self.export.also!r}; face adapters have null alone")
        if self.fineface and isinstance(self.data, DatasetData) and self.data.aus is None:
            raise ValueError("data.aus is null, but the AU adapter of fineface needs AUs")
        if self.reading and self.reading.aus_weight and self.fineface is None:
            raise ValueError(
                f"reading.aus_weight is {self.reading.aus_weight:g}, but fineface is null: nothing "
                "tells the model which AUs; it must be 0"
            )
        check_painted(self.cycles, self.reading)
        return self


_INNER = 2
"""The published projection's inner layer, in widths of an embedding."""

_PROCESSORS = {"sdpa": IPAdapterAttnProcessor2_0, "explicit": IPAdapterAttnProcessor}
_PUBLISHED = {"ff.net.0.proj": "proj.0", "ff.net.2": "proj.2", "norm": "norm"}


class FaceAdapter(nn.Module):
    """Tokens of face embeddings, and K_img and V_img of each cross-attention layer.

    K_img and V_img begin as copies of the layer's text projections.

    Args:
        unet: the UNet that it is for.
        tokens: tokens of a face.
        attention: `sdpa` or `explicit`.
        seed: seed of the projection's weights.
    """

    def __init__(self, unet: nn.Module, tokens: int, attention: str, seed: int) -> None:
        super().__init__()
        width = text_width(unet)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.projection = IPAdapterFaceIDImageProjection(
                FACEID_WIDTH, width, mult=_INNER, num_tokens=tokens
            )
        self.layers = nn.ModuleList(
            _layer(unet.get_submodule(path), tokens, attention) for path in cross_layers(unet)
        )

    def forward(self, faces: Float[Tensor, "B 512"]) -> Float[Tensor, "B 1 tokens width"]:
        """Return the tokens of one face a person, as the processors take them."""
        return self.projection(faces).unsqueeze(1)

    def install(self, unet: Any) -> None:
        """Let a UNet's cross-attention compute with this adapter, for good.

        The UNet then takes (text, [tokens]) as its encoder's hidden states.
        """
        own = dict(zip(cross_layers(unet), self.layers, strict=True))
        kept = unet.attn_processors
        unet.set_attn_processor(
            {name: own.get(name.removesuffix(".processor"), kept[name]) for name in kept}
        )

    def to_file(self, dtype: torch.dtype, embedder: str) -> FaceAdapterFile:
        """Return what a published file holds.

        Args:
            dtype: number format.
            embedder: fingerprint of the recogniser.
        """
        projection = {
            f"{_PUBLISHED[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}": value.to(dtype)
            for name, value in self.projection.state_dict().items()
        }
        attention = {
            f"{2 * number + 1}.to_{kind}_ip.weight": layer.get_parameter(
                f"to_{kind}_ip.0.weight"
            ).to(dtype)
            for number, layer in enumerate(self.layers)
            for kind in "kv"
        }
        return FaceAdapterFile({PROJECTION: projection, ATTENTION: attention}, embedder)


def cross_layers(unet: Any) -> list[str]:
    """Return the paths of a UNet's cross-attention layers, in the order of its processors."""
    return list(_paths(unet))


def _paths(unet: Any) -> Iterator[str]:
    for name in unet.attn_processors:
        if ".attn2." in name:
            yield name.removesuffix(".processor")


def _layer(attention: Any, tokens: int, kind: str) -> nn.Module:
    layer = _PROCESSORS[kind](attention.inner_dim, attention.cross_attention_dim, (tokens,))
    for name in ("k", "v"):
        own = layer.get_parameter(f"to_{name}_ip.0.weight")
        own.data.copy_(attention.get_parameter(f"to_{name}.weight"))
    return layer


EMBEDDINGS, MADE_OF = "faces.npy", "faces.json"

_AT_ONCE = 16


class PeopleBatch(NamedTuple):
    """Examples as a diffusion model with a face branch sees them.

    Attributes:
        latents: scaled, float32 [B, c, h, w].
        input_ids: tokens of the captions, int64 [B, L].
        aus: AU intensities [0–5], float32 [B, aus]; NaN where the data have none.
        faces: L2-normalised embeddings, float32 [B, 512]; zeros where no face was found.
    """

    latents: Float[Tensor, "B c h w"]
    input_ids: Int[Tensor, "B L"]
    aus: Float[Tensor, "B aus"]
    faces: Float[Tensor, "B 512"]


class LabelledPeople(NamedTuple):
    """Examples as what reads latents sees them.

    Attributes:
        latents: scaled, float32 [B, c, h, w].
        aus: AU intensities [0–5], float32 [B, aus]; NaN where the data have none.
        faces: L2-normalised embeddings, float32 [B, 512]; zeros where no face was found.
    """

    latents: Float[Tensor, "B c h w"]
    aus: Float[Tensor, "B aus"]
    faces: Float[Tensor, "B 512"]


def people_batches(
    store: LatentStore, embeddings: Float32[np.ndarray, "examples 512"], first: int, last: int
) -> Iterator[PeopleBatch]:
    """Yield the batches of steps `first` to `last`, each sample with its own person."""
    for step, batch in zip(range(first, last), store.batches(first, last), strict=True):
        yield PeopleBatch(*batch, torch.from_numpy(embeddings[store.rows(step)]))


def labelled_people(
    store: LatentStore,
    embeddings: Float32[np.ndarray, "examples 512"],
    config: ReaderConfig,
    first: int,
    last: int,
) -> Iterator[LabelledPeople]:
    """Yield a reader's batches of steps `first` to `last`, each sample with its own person."""
    for latents, aus, rows in store.labelled(first, last, config.batch_size, config.seed):
        yield LabelledPeople(latents, aus, torch.from_numpy(embeddings[rows.numpy()]))


def portrait_of(examples: Examples, index: int) -> Image:
    """Return the image whose embedding stands for the person of an example.

    Of drawn people it is another portrait with another expression, so that the embedding tells who
    is shown and not how; of rows of a dataset it is the row's own image.
    """
    if not isinstance(examples, ProceduralExamples):
        return examples.image(index)
    side = examples.image(index).width
    return render(examples.identity(index), examples.aus(index + 1).tolist(), size=side)


def embed_people(
    folder: Path, examples: Examples, count: int, embedder: FaceEmbedder, made_of: dict[str, Any]
) -> Float32[np.ndarray, "examples 512"]:
    """Embed the people of the first examples, or read what was embedded before.

    Args:
        folder: folder of the training.
        examples: where the people come from.
        count: number of examples.
        embedder: describes them.
        made_of: what the embeddings are a function of besides the embedder and the count.

    Returns:
        Embeddings; zeros where no face was found.

    Raises:
        DatasetError: if no face was found at all.
        OutputError: if a file cannot be written, or was made of something else.
    """
    made_of = {**made_of, "count": count, "embedder": embedder.fingerprint}
    if _is_made(folder, made_of):
        return np.load(folder / EMBEDDINGS)
    found = np.concatenate(list(_embedded(examples, count, embedder)))
    if not found.any():
        raise DatasetError(f"{embedder.name} finds no face in any of the {count} examples")
    with write_whole(folder / EMBEDDINGS) as partial, partial.open("wb") as file:
        np.save(file, found)
    write_text_whole(folder / MADE_OF, json.dumps(made_of))
    return found


def _embedded(
    examples: Examples, count: int, embedder: FaceEmbedder
) -> Iterator[Float32[np.ndarray, "rows 512"]]:
    for start in tqdm(range(0, count, _AT_ONCE), desc="faces", unit="batch"):
        rows = range(start, min(start + _AT_ONCE, count))
        found = embedder.embed([portrait_of(examples, row) for row in rows])
        yield np.nan_to_num(found.embeddings, nan=0.0).astype(np.float32)


def _is_made(folder: Path, made_of: dict[str, Any]) -> bool:
    path = folder / MADE_OF
    if not path.exists():
        return False
    found = json.loads(path.read_text(encoding="utf-8"))
    if found != made_of:
        raise OutputError(
            f"{path} was made of {found}, now it is {made_of}; train into another folder"
        )
    return True


_EMBEDDED_FINEFACE = "fineface"


@dataclass(frozen=True, slots=True)
class Parts:
    """Frozen parts beside which the face adapter learns.

    Attributes:
        config: the training run.
        folder: its folder.
        device: torch device.
        base: the base, on the device.
        fineface: folder of the AU adapter; None: none.
        embedder: describes the people.
        examples: what is learned from.
    """

    config: FaceIdTrainingConfig
    folder: Path
    device: torch.device
    base: FrozenBase
    fineface: Path | None
    embedder: FaceEmbedder
    examples: Examples

    def facts(self) -> dict[str, Any]:
        """Return what the weights are a function of besides the configuration."""
        fineface = _weight_files(self.fineface) if self.fineface else []
        return {
            "base_files": self.base.checksums(),
            "vae_encoder_sha256": encoder_sha256(self.base.folder / "vae"),
            "fineface_files": {path.name: file_sha256(path) for path in fineface},
            "embedder_fingerprint": self.embedder.fingerprint,
            **self.examples.fingerprint,
        }

    def au_adapter(self) -> AUAdapter | None:
        """Load the AU adapter that works meanwhile."""
        if self.fineface is None:
            return None
        adapter = read_au_adapter(self.fineface, self.base.unet, "", 1.0)
        nn.Module.to(adapter, device=self.device)
        return adapter


def load_parts(config: FaceIdTrainingConfig, folder: Path) -> Parts:
    """Load what a training names.

    Args:
        config: the training run.
        folder: its folder.

    Raises:
        SynthgenError: if the base, the AU adapter, the embedder, the data or the device do not
            serve.
    """
    torch.set_num_threads(config.threads)
    device = pick_training_device(config.device)
    found = find_base(config.base, config.revision)
    return Parts(
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
    return embedded(_EMBEDDED_FINEFACE, files) if where == MINI else resolve(where, files=files)


def _weight_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".ckpt"))
