"""Files of Arc2Face, its adapters and its base, on this machine or on the Hub; loads no torch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.arc2face.section import Arc2FaceWeights
from pipelines.hub import missing_files, names_folder, resolve
from pipelines.weight_files import check_sha256, file_sha256, read_json
from samplers.identities.identity import FaceIdentity
from synthgen.errors import FaceEmbeddingError, WeightsError

UNET, ENCODER = "arc2face", "encoder"
"""Folders of the published layout."""

PICKLE, SAFE = "pytorch_model.bin", "model.safetensors"

UNET_FILES = ("config.json", "diffusion_pytorch_model.safetensors")
BASE_FILES = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    *(f"vae/{name}" for name in UNET_FILES),
)
"""Files of a base that Arc2Face takes; beside them the tokenizer's."""

EXPRESSION_FOLDER, EXPRESSION_FILE = "exp_adapter", "exp_adapter.bin"
REFERENCE_FOLDER, REFERENCE_FILE = "ref_adapter", "pytorch_lora_weights.safetensors"
"""Folders of the adapters where Arc2Face is published, and their files."""

LCM_FILE = "pytorch_lora_weights.safetensors"

RECOGNISER_FILE = "arcface.onnx"
"""File of the recogniser whose embeddings Arc2Face understands, beside `arc2face/`."""

CARD, EMBEDDER_KEY, LICENCE_KEY = "card.json", "embedder_fingerprint", "licence"
"""Card that trainings write beside weights, and its keys of the recogniser and of the licence."""

_TOKENIZER = "tokenizer/tokenizer_config.json"

_LICENCES = {
    "base": ("Stable Diffusion 1.5", "CreativeML OpenRAIL-M"),
    "arc2face": ("Arc2Face", "MIT"),
    "expression": (
        "Arc2Face's Expression Adapter",
        "MIT; it speaks FLAME's expressions, whose model (2020) is for non-commercial use",
    ),
    "reference": ("Arc2Face's Reference Adapter", "MIT"),
    "lcm_lora": ("LCM-LoRA", "OpenRAIL++"),
}


def locate_published(
    published: str | Path, *, revision: str | None = None, setting: str | None = None,
    fetch: bool = True, recogniser: bool = False,
) -> Path:  # fmt: skip
    """Find the folder of the published UNet and text encoder, as `pipelines.hub.resolve` does.

    Args:
        published: Hub id or folder.
        revision: branch, tag or commit on the Hub.
        setting: configuration key that names it, for errors.
        fetch: whether to fetch what is not on this machine.
        recogniser: whether to ask the Hub for `arcface.onnx` too.

    Raises:
        WeightsError: if something is missing and cannot be fetched, or is not to be.
    """
    asked = [RECOGNISER_FILE] if recogniser and not names_folder(str(published)) else []
    return resolve(
        published,
        revision=revision,
        files=[*(f"{UNET}/{name}" for name in UNET_FILES), f"{ENCODER}/config.json", *asked],
        either=[f"{ENCODER}/{name}" for name in (PICKLE, SAFE)],
        setting=setting,
        fetch=fetch,
    )


def locate_base(
    base: str | Path, *, revision: str | None = None, setting: str | None = None,
    fetch: bool = True, whole: bool = False,
) -> Path:  # fmt: skip
    """Find the folder of a base, as `pipelines.hub.resolve` does.

    Args:
        base: Hub id or folder.
        revision: branch, tag or commit on the Hub.
        setting: configuration key that names it, for errors.
        fetch: whether to fetch what is not on this machine.
        whole: whether its UNet and text encoder are wanted, too.

    Raises:
        WeightsError: if something is missing and cannot be fetched, or is not to be.
    """
    own = [f"unet/{name}" for name in UNET_FILES] + ["text_encoder/config.json"] if whole else []
    encoders = [f"text_encoder/{name}" for name in (PICKLE, SAFE)] if whole else []
    return resolve(
        base,
        revision=revision,
        files=[*BASE_FILES, *own],
        either=encoders,
        patterns=["tokenizer/*"],
        setting=setting,
        fetch=fetch,
    )


def locate_adapter(
    adapter: str | Path, name: str, *, below: str = "", revision: str | None = None,
    setting: str | None = None, fetch: bool = True,
) -> Path:  # fmt: skip
    """Find the file of an adapter; in a folder, one that ends in `.bin` may end in `.safetensors`.

    Args:
        adapter: Hub id or folder.
        name: the file's name.
        below: folder in which it may lie, as `exp_adapter` where Arc2Face is published.
        revision: branch, tag or commit on the Hub.
        setting: configuration key that names it, for errors.
        fetch: whether to fetch what is not on this machine.

    Raises:
        WeightsError: if it is missing and cannot be fetched, or is not to be.
    """
    places = [name, f"{below}/{name}"] if below else [name]
    for place in places:
        safe = (Path(adapter).expanduser() / place).with_suffix(Path(SAFE).suffix)
        if safe.is_file():
            return safe
    folder = resolve(adapter, revision=revision, either=places, setting=setting, fetch=fetch)
    return next(folder / place for place in places if (folder / place).is_file())


@dataclass(frozen=True, slots=True)
class Arc2FaceFiles:
    """Files of this machine that hold the weights of a run.

    Attributes:
        base: folder of the Stable Diffusion 1.5 that gives VAE, tokenizer and sampler.
        published: folder of `arc2face/` and `encoder/`.
        expression: the Expression Adapter's file.
        reference: the Reference Adapter's file; None: none is used.
        lcm_lora: the file of LCM-LoRA; None: none is used.
        embedder: fingerprint of the recogniser whose embeddings Arc2Face understands.
        licences: what is used → its licence.
    """

    base: Path
    published: Path
    expression: Path
    reference: Path | None
    lcm_lora: Path | None
    embedder: str
    licences: Mapping[str, str]

    @property
    def encoder(self) -> Path:
        """The text encoder's file."""
        folder = self.published / ENCODER
        return folder / SAFE if (folder / SAFE).is_file() else folder / PICKLE

    @property
    def used(self) -> dict[str, Path]:
        """Name in records → each file that images are a function of."""
        return dict(sorted(self._used()))

    def _used(self) -> Iterator[tuple[str, Path]]:
        tokenizer = [path for path in (self.base / "tokenizer").iterdir() if path.is_file()]
        for path in [*(self.base / name for name in BASE_FILES), *tokenizer]:
            yield f"base/{path.relative_to(self.base).as_posix()}", path
        for name in UNET_FILES:
            yield f"{UNET}/{name}", self.published / UNET / name
        for path in (self.published / ENCODER / "config.json", self.encoder):
            yield f"{ENCODER}/{path.name}", path
        for part in ("expression", "reference", "lcm_lora"):
            if (path := getattr(self, part)) is not None:
                yield f"{part}/{path.name}", path


def locate(weights: Arc2FaceWeights, *, fetch: bool = True) -> Arc2FaceFiles:
    """Find the weights, and fetch from the Hub what is no folder here.

    Args:
        weights: which.
        fetch: whether to fetch what is not on this machine.

    Raises:
        WeightsError: if something is missing and cannot be fetched, or is not to be, has another
            checksum than expected, or nothing says which recogniser is meant.
    """
    where = "pipeline.weights"
    base = locate_base(
        weights.base, revision=weights.revision, setting=f"{where}.base", fetch=fetch
    )
    if missing := missing_files(base, [_TOKENIZER]):
        raise WeightsError(f"{base} has no file {missing[0]}; Arc2Face takes the base's tokenizer")
    published = locate_published(
        weights.arc2face,
        revision=weights.arc2face_revision,
        setting=f"{where}.arc2face",
        fetch=fetch,
        recogniser=weights.embedder is None,
    )
    adapters = {
        part: locate_adapter(
            name,
            file,
            below=below,
            revision=getattr(weights, f"{part}_revision"),
            setting=f"{where}.{part}",
            fetch=fetch,
        )
        for part, file, below in (
            ("expression", EXPRESSION_FILE, EXPRESSION_FOLDER),
            ("reference", REFERENCE_FILE, REFERENCE_FOLDER),
            ("lcm_lora", LCM_FILE, ""),
        )
        if (name := getattr(weights, part)) is not None
    }
    files = Arc2FaceFiles(
        base=base,
        published=published,
        expression=adapters["expression"],
        reference=adapters.get("reference"),
        lcm_lora=adapters.get("lcm_lora"),
        embedder=_embedder(weights.embedder, published),
        licences=dict(
            _licence(part, folder / CARD)
            for part, folder in {
                "base": base / "vae",
                "arc2face": published,
                **{part: file.parent for part, file in adapters.items()},
            }.items()
        ),
    )
    if weights.sha256:
        check_sha256(weights.sha256, files.used)
    return files


def check_person(person: FaceIdentity, embedder: str) -> None:
    """Refuse a person whom another recogniser describes.

    Args:
        person: the person.
        embedder: fingerprint of Arc2Face's recogniser.

    Raises:
        FaceEmbeddingError: if another one made the embeddings.
    """
    if person.embedder != embedder:
        raise FaceEmbeddingError(
            f"the embeddings of {person.identity_id} were made by {person.embedder!r}; Arc2Face "
            f"understands those of its own recogniser alone, {embedder!r}: make them with synthgen "
            "faces embed --embedder arc2face"
        )


def checksums(files: Arc2FaceFiles) -> dict[str, str]:
    """Return the SHA-256 of each file that the images are a function of.

    The names are those in the folders, behind the key that names them: where the folders lie makes
    no difference.
    """
    return {name: file_sha256(path) for name, path in files.used.items()}


def _licence(part: str, card: Path) -> tuple[str, str]:
    """Return what a part is and its licence: as its card says, or else those of the published."""
    told = read_json(card, "card").get(LICENCE_KEY) if card.is_file() else None
    name, published = _LICENCES[part]
    if not isinstance(told, str):
        return name, published
    return f"{'base' if part == 'base' else name} trained by synthgen", told


def _embedder(configured: str | None, published: Path) -> str:
    """Return the fingerprint of the recogniser: as configured, of the file, or as the card says."""
    if configured is not None:
        return configured
    path, card = published / RECOGNISER_FILE, published / CARD
    if path.is_file():
        return f"sha256:{file_sha256(path)}"
    if card.is_file():
        told = read_json(card, "card").get(EMBEDDER_KEY)
        if isinstance(told, str) and told:
            return told
    raise WeightsError(
        f"{published} has no file {RECOGNISER_FILE}, whose sha256 says which embeddings "
        "Arc2Face understands; put it there, or set pipeline.weights.embedder to that "
        "fingerprint, as stores of faces carry it"
    )
