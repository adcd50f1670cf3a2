"""Where the weights of a FineFace run lie, and what they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.checkpoints import file_sha256
from pipelines.fineface.checkpoint import file_names
from pipelines.hub import resolve
from synthgen.config import FineFaceWeights

LICENCES = {
    "Stable Diffusion": "CreativeML OpenRAIL++-M (2.x), CreativeML OpenRAIL-M (1.x)",
    "FineFace": "Apache-2.0 (code); the data that its weights were trained on have their own terms",
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


@dataclass(frozen=True, slots=True)
class FineFaceFolders:
    """Folders of this machine that hold the weights of a run.

    Attributes:
        base: the Stable Diffusion base.
        fineface: the FineFace files.
        vae: a VAE instead of the base's own; None: the base's own.
    """

    base: Path
    fineface: Path
    vae: Path | None

    @property
    def vae_model(self) -> Path:
        """Folder of the VAE that is used."""
        return self.vae or self.base / "vae"


def locate(weights: FineFaceWeights) -> FineFaceFolders:
    """Find the weights, and fetch from the Hub what is no folder here.

    Raises:
        WeightsError: if something is missing and cannot be fetched.
    """
    base_files = _BASE_FILES if weights.vae else _BASE_FILES + _VAE_FILES
    return FineFaceFolders(
        base=resolve(
            weights.base,
            revision=weights.revision,
            files=base_files,
            patterns=["tokenizer/*"],
            setting="pipeline.weights.base",
        ),
        fineface=resolve(
            weights.fineface,
            files=file_names("", weights.lora_scale),
            setting="pipeline.weights.fineface",
        ),
        vae=resolve(weights.vae, files=_MODEL_FILES, setting="pipeline.weights.vae")
        if weights.vae
        else None,
    )


def checksums(folders: FineFaceFolders, lora_scale: float) -> dict[str, str]:
    """Return the SHA-256 of each file that the images are a function of.

    The names are those in the folders, behind `base/`, `fineface/` or `vae/`: where the folders lie
    makes no difference.
    """
    return {name: file_sha256(path) for name, path in sorted(_used_files(folders, lora_scale))}


def _used_files(folders: FineFaceFolders, lora_scale: float) -> Iterator[tuple[str, Path]]:
    tokenizer = sorted(path for path in (folders.base / "tokenizer").iterdir() if path.is_file())
    for path in [*(folders.base / name for name in _BASE_FILES), *tokenizer]:
        yield f"base/{path.relative_to(folders.base).as_posix()}", path
    for name in _MODEL_FILES:
        yield f"vae/{name}", folders.vae_model / name
    for name in file_names("", lora_scale):
        path = folders.fineface / name
        twin = path.with_suffix(".safetensors")
        used = twin if twin.is_file() else path
        yield f"fineface/{used.name}", used
