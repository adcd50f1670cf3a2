"""Files of Arc2Face, its adapters and its base, on this machine or on the Hub; loads no torch."""

from pathlib import Path

from pipelines.hub import resolve
from synthgen.errors import WeightsError

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

RECOGNISER_FILE = "arcface.onnx"
"""File of the recogniser whose embeddings Arc2Face understands, beside `arc2face/`."""


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
        recogniser: whether to fetch `arcface.onnx` too.

    Raises:
        WeightsError: if something is missing and cannot be fetched, or is not to be.
    """
    encoders = [f"{ENCODER}/{name}" for name in (PICKLE, SAFE)]
    return resolve(
        published,
        revision=revision,
        files=[*(f"{UNET}/{name}" for name in UNET_FILES), f"{ENCODER}/config.json"],
        patterns=[*encoders, *([RECOGNISER_FILE] if recogniser else [])],
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
        patterns=["tokenizer/*", *encoders],
        setting=setting,
        fetch=fetch,
    )


def locate_adapter(
    adapter: str | Path, name: str, *, below: str = "", revision: str | None = None,
    setting: str | None = None, fetch: bool = True,
) -> Path:  # fmt: skip
    """Find the file of an adapter.

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
    folder = resolve(adapter, revision=revision, patterns=places, setting=setting, fetch=fetch)
    there = [folder / place for place in places if (folder / place).is_file()]
    if not there:
        raise WeightsError(f"{adapter} has no file {name}; it must hold {' or '.join(places)}")
    return there[0]
