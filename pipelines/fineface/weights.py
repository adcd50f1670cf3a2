"""Files of a FineFace run: the base, the adapter, the face adapter; loads no torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from pipelines.fineface.section import BaseWeights, FaceIdWeights, FineFaceWeights
from pipelines.hub import missing_files, resolve
from pipelines.weight_files import (
    check_sha256,
    file_sha256,
    named_aus,
    read_safetensors_header,
)
from synthgen.action_units import DEFAULT_AUS, ActionUnitSet
from synthgen.errors import WeightsError

ATTENTION_FILE = "attn_processors.ckpt"
ENCODER_FILE = "au_encoder.ckpt"
LORA_FILE = "pytorch_lora_weights.safetensors"
PICKLE_SUFFIX = ".ckpt"


def file_names(weight_prefix: str, lora_scale: int | float) -> list[str]:
    """Return the names of the files that must be there.

    Args:
        weight_prefix: `""` for the text variant, `"sd15_"` for the FaceID variant. Only the text
            variant comes with a LoRA; another prefix may have one.
        lora_scale: scale of the LoRA; at 0 its file is not read.
    """
    names = [ATTENTION_FILE, ENCODER_FILE]
    if lora_scale and not weight_prefix:
        names.append(LORA_FILE)
    return [weight_prefix + name for name in names]


def encoded_aus(folder: Path, weight_prefix: str) -> ActionUnitSet:
    """Return the AUs that an adapter's encoder takes, in the order of its inputs.

    Its safetensors file may name them; the published files, which name none, take the 12 of DISFA.

    Args:
        folder: holds the FineFace files.
        weight_prefix: start of the file names.

    Raises:
        WeightsError: if the file cannot be read, or names what is no set of AUs.
    """
    path = (folder / (weight_prefix + ENCODER_FILE)).with_suffix(".safetensors")
    if not path.is_file():
        return DEFAULT_AUS
    return named_aus(read_safetensors_header(path)[1], str(path)) or DEFAULT_AUS


MINI = "mini"
"""Name of the embedded weights: of both together, of the base, and of the FineFace files."""

MINI_FOLDER = Path(__file__).parents[1] / "mini"
"""Holds the embedded weights: `base/` as diffusers saves it, and `fineface/` as FineFace's."""

ADAPTER = "ip_adapter/"
"""Start of the name of an IP-Adapter's file in records."""

_PUBLISHED = {
    "base": ("Stable Diffusion", "CreativeML OpenRAIL++-M (2.x), CreativeML OpenRAIL-M (1.x)"),
    "fineface": (
        "FineFace",
        "Apache-2.0 (code); the data that its weights were trained on have their own terms",
    ),
}
_EMBEDDED = {
    "base": ("Stable Diffusion mini, trained by synthgen on its own drawn faces", "Apache-2.0"),
    "fineface": ("FineFace mini, trained by synthgen on its own drawn faces", "Apache-2.0"),
}

_MODEL_FILES = ("config.json", "diffusion_pytorch_model.safetensors")
_BASE_FILES = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
)
_VAE_FILES = tuple(f"vae/{name}" for name in _MODEL_FILES)
_TOKENIZER_FILE = "tokenizer/tokenizer_config.json"


@runtime_checkable
class BaseFolders(Protocol):
    """Folders of a Stable Diffusion base, parts of which may lie elsewhere."""

    @property
    def base(self) -> Path:
        """Folder of the base."""
        ...

    @property
    def vae(self) -> Path | None:
        """Folder of a VAE instead of the base's own; None: the base's own."""
        ...

    @property
    def vae_model(self) -> Path:
        """Folder of the VAE that is used."""
        ...


@dataclass(frozen=True, slots=True)
class FineFaceFolders:
    """Folders of this machine that hold the weights of a run.

    Attributes:
        base: the Stable Diffusion base.
        fineface: the FineFace files.
        vae: a VAE instead of the base's own; None: the base's own.
        weight_prefix: start of the names of the FineFace files.
        lora_scale: scale at which the LoRA is fused.
        licences: what is used → its licence.
    """

    base: Path
    fineface: Path
    vae: Path | None
    weight_prefix: str
    lora_scale: float
    licences: Mapping[str, str]

    @property
    def vae_model(self) -> Path:
        """Folder of the VAE that is used."""
        return self.vae or self.base / "vae"


def locate(
    weights: Literal["mini"] | FineFaceWeights | FaceIdWeights, *, fetch: bool = True
) -> FineFaceFolders:
    """Find the weights, and fetch from the Hub what is neither embedded nor a folder here.

    Args:
        weights: which.
        fetch: whether to fetch what is not on this machine.

    Raises:
        WeightsError: if something is missing and cannot be fetched, or is not to be.
    """
    if weights == MINI:
        weights = FineFaceWeights(base=MINI, fineface=MINI)
    folders = FineFaceFolders(
        base=base_folder(weights, fetch),
        fineface=_fineface_folder(weights, fetch),
        vae=vae_folder(weights, fetch),
        weight_prefix=_prefix(weights),
        lora_scale=weights.lora_scale,
        licences=_licences(weights),
    )
    ours = {k: v for k, v in weights.sha256.items() if not k.startswith(ADAPTER)}
    if ours:
        check_sha256(ours, dict(_used_files(folders)))
    return folders


def adapter_aus(
    weights: Literal["mini"] | FineFaceWeights | FaceIdWeights, *, fetch: bool = False
) -> ActionUnitSet:
    """Return the AUs that an adapter encodes.

    Args:
        weights: the weights.
        fetch: whether to fetch an adapter that is not on this machine; else it is taken for one of
            the 12 of DISFA.

    Raises:
        WeightsError: if its file cannot be read, or is to be fetched and cannot be.
    """
    if weights == MINI:
        weights = FineFaceWeights(base=MINI, fineface=MINI)
    try:
        folder = _fineface_folder(weights, fetch)
    except WeightsError:
        if fetch:
            raise
        return DEFAULT_AUS
    return encoded_aus(folder, _prefix(weights))


def checksums(folders: FineFaceFolders) -> dict[str, str]:
    """Return the SHA-256 of each file that the images are a function of.

    The names are those in the folders, behind `base/`, `fineface/` or `vae/`: where the folders lie
    makes no difference.
    """
    return {name: file_sha256(path) for name, path in sorted(_used_files(folders))}


def _prefix(weights: FineFaceWeights | FaceIdWeights) -> str:
    return "" if weights.fineface == MINI else weights.weight_prefix


def vae_folder(weights: BaseWeights, fetch: bool) -> Path | None:
    """Return the folder of a VAE instead of the base's own; None where none is named.

    Raises:
        WeightsError: if it is missing and cannot be fetched, or is not to be.
    """
    if weights.vae is None:
        return None
    return resolve(
        weights.vae,
        revision=weights.vae_revision,
        files=_MODEL_FILES,
        setting="pipeline.weights.vae",
        fetch=fetch,
    )


def base_folder(weights: BaseWeights, fetch: bool) -> Path:
    """Return the folder of a base.

    Raises:
        WeightsError: if a file is missing and cannot be fetched, or is not to be.
    """
    if weights.base == MINI:
        return embedded("base", [*_BASE_FILES, *_VAE_FILES, _TOKENIZER_FILE])
    return resolve(
        weights.base,
        revision=weights.revision,
        files=_BASE_FILES if weights.vae else _BASE_FILES + _VAE_FILES,
        patterns=["tokenizer/*"],
        setting="pipeline.weights.base",
        fetch=fetch,
    )


def _fineface_folder(weights: FineFaceWeights | FaceIdWeights, fetch: bool) -> Path:
    prefix = _prefix(weights)
    files = file_names(prefix, weights.lora_scale)
    if weights.fineface == MINI:
        return embedded("fineface", files)
    optional = [prefix + LORA_FILE] if prefix and weights.lora_scale else []
    return resolve(
        weights.fineface,
        revision=weights.fineface_revision,
        files=files,
        patterns=optional,
        setting="pipeline.weights.fineface",
        fetch=fetch,
    )


def embedded(part: str, files: Sequence[str]) -> Path:
    """Return a folder of the embedded weights.

    Raises:
        WeightsError: if it lacks one of the files.
    """
    folder = MINI_FOLDER / part
    if missing := missing_files(folder, files):
        raise WeightsError(
            f"the embedded weights are incomplete: {folder} has no {', '.join(missing)}; "
            "install synthgen again"
        )
    return folder


def is_embedded(path: Path) -> bool:
    """Return whether a file or folder is part of the package."""
    return MINI_FOLDER in path.parents


def _licences(weights: FineFaceWeights | FaceIdWeights) -> dict[str, str]:
    return dict([_licence("base", weights.base), _licence("fineface", weights.fineface)])


def base_licence(base: str) -> tuple[str, str]:
    """Return what a base is, and its licence."""
    return _licence("base", base)


def _licence(part: str, named: str) -> tuple[str, str]:
    return (_EMBEDDED if named == MINI else _PUBLISHED)[part]


def base_files(folders: BaseFolders) -> Iterator[tuple[str, Path]]:
    """Yield name in records → file, of a base and its VAE."""
    tokenizer = sorted(path for path in (folders.base / "tokenizer").iterdir() if path.is_file())
    for path in [*(folders.base / name for name in _BASE_FILES), *tokenizer]:
        yield f"base/{path.relative_to(folders.base).as_posix()}", path
    for name in _MODEL_FILES:
        yield f"vae/{name}", folders.vae_model / name


def _used_files(folders: FineFaceFolders) -> Iterator[tuple[str, Path]]:
    yield from base_files(folders)
    for name in _fineface_files(folders):
        path = folders.fineface / name
        twin = path.with_suffix(".safetensors")
        used = twin if twin.is_file() else path
        yield f"fineface/{used.name}", used


def _fineface_files(folders: FineFaceFolders) -> list[str]:
    names = file_names(folders.weight_prefix, folders.lora_scale)
    lora = folders.weight_prefix + LORA_FILE
    optional = bool(folders.lora_scale) and lora not in names
    return [*names, lora] if optional and (folders.fineface / lora).is_file() else names


FACE_ADAPTER_FILE = "ip_adapter.safetensors"
"""Name of the embedded face adapter, in the folder `faceid`."""

_FACEID_PUBLISHED = (
    "IP-Adapter-FaceID",
    "research only, not for commercial use, as the face recogniser that it was trained with",
)
_FACEID_EMBEDDED = ("FaceID mini, trained by synthgen on its own drawn faces", "Apache-2.0")


@dataclass(frozen=True, slots=True)
class FaceIdFiles:
    """Files of this machine that hold the weights of a run with faces.

    Attributes:
        folders: the base and the FineFace files.
        face_adapter: the IP-Adapter's file.
        embedder: fingerprint of the recogniser that the configuration names; None: none.
        licences: what is used → its licence.
    """

    folders: FineFaceFolders
    face_adapter: Path
    embedder: str | None
    licences: Mapping[str, str]


def locate_faceid(weights: Literal["mini"] | FaceIdWeights, *, fetch: bool = True) -> FaceIdFiles:
    """Find the weights, and fetch from the Hub what is neither embedded nor a folder here.

    Args:
        weights: which.
        fetch: whether to fetch what is not on this machine.

    Raises:
        WeightsError: if something is missing and cannot be fetched, or is not to be.
    """
    if not isinstance(weights, FaceIdWeights):
        weights = FaceIdWeights(base=MINI, fineface=MINI, ip_adapter=MINI)
    folders = locate(weights, fetch=fetch)
    name, licence = _FACEID_EMBEDDED if weights.ip_adapter == MINI else _FACEID_PUBLISHED
    return FaceIdFiles(
        folders=folders,
        face_adapter=_face_adapter(weights, fetch),
        embedder=weights.embedder,
        licences={**folders.licences, name: licence},
    )


def faceid_checksums(files: FaceIdFiles) -> dict[str, str]:
    """Return the SHA-256 of each file that the images are a function of, as `checksums` does."""
    adapter = files.face_adapter
    return {**checksums(files.folders), f"{ADAPTER}{adapter.name}": file_sha256(adapter)}


def embedded_face_adapter() -> Path:
    """Return the file of the embedded face adapter.

    Raises:
        WeightsError: if it is missing.
    """
    return embedded("faceid", [FACE_ADAPTER_FILE]) / FACE_ADAPTER_FILE


def agreed_embedder(configured: str | None, said: str | None, path: Path) -> str:
    """Return the fingerprint of the recogniser that a face adapter expects.

    Args:
        configured: what the configuration names.
        said: what the face adapter's file says.
        path: that file.

    Raises:
        WeightsError: if neither says it, or they contradict each other.
    """
    if configured is not None and said not in (None, configured):
        raise WeightsError(
            f"pipeline.weights.embedder is {configured!r}, but {path} was trained with {said!r}"
        )
    embedder = configured or said
    if embedder is None:
        raise WeightsError(
            f"{path} does not say which face recogniser it was trained with; set "
            "pipeline.weights.embedder to that recogniser's fingerprint, as stores of faces carry "
            "it"
        )
    return embedder


def _face_adapter(weights: FaceIdWeights, fetch: bool) -> Path:
    if weights.ip_adapter == MINI:
        return embedded_face_adapter()
    name = weights.weight_name
    folder = resolve(
        weights.ip_adapter,
        revision=weights.ip_adapter_revision,
        files=[name],
        setting="pipeline.weights.ip_adapter",
        fetch=fetch,
    )
    file = folder / name
    expected = {k: v for k, v in weights.sha256.items() if k.startswith(ADAPTER)}
    check_sha256(expected, {f"{ADAPTER}{file.name}": file})
    return file
