"""Which weights a run needs on a machine, whether they are there, their licences and their size.

Nothing is fetched and no torch is loaded: sizes come from the headers of the files. The Hub is
asked only for what is not here.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipelines.hub import NotFetchedError, trouble_with
from pipelines.weight_files import (
    check_weight_file,
    read_model_config,
    read_safetensors_header,
)
from synthgen.config import FaceIdConfig, FineFaceConfig, RunConfig, VerifyConfig
from synthgen.config.embedder import InsightFaceConfig
from synthgen.errors import MissingDependencyError, WeightsError

_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_SAFETENSORS = ".safetensors"


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights that one machine has of those that a run needs.

    Attributes:
        bytes: what they take in memory at the run's number format [bytes].
        decoder_channels: channels of the VAE's second block, which decide its working memory; 0
            where there is no VAE.
        sample_size: side of the base's latents [cells]; 0 where there is no base.
        licences: what is used → its licence.
        problems: one sentence for each that is missing.
        unfetched: one sentence for each that a worker would fetch first.
    """

    bytes: int = 0
    decoder_channels: int = 0
    sample_size: int = 0
    licences: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    unfetched: tuple[str, ...] = ()


def find_weights(config: RunConfig) -> Weights:
    """Look for everything that a worker of this run loads."""
    found = [_looked_for(config, look) for look in (_pipeline, _verifier, _embedder)]
    return Weights(
        bytes=sum(part.bytes for part in found),
        decoder_channels=max(part.decoder_channels for part in found),
        sample_size=max(part.sample_size for part in found),
        licences={name: text for part in found for name, text in part.licences.items()},
        problems=tuple(text for part in found for text in part.problems),
        unfetched=tuple(text for part in found for text in part.unfetched),
    )


def _looked_for(config: RunConfig, look: Callable[[RunConfig], Weights]) -> Weights:
    try:
        return look(config)
    except NotFetchedError as error:
        return _unfetched(error)
    except (WeightsError, MissingDependencyError) as error:
        return Weights(problems=(str(error),))


def _unfetched(error: NotFetchedError) -> Weights:
    if trouble := trouble_with(error.repo, error.revision):
        return Weights(problems=(f"{error}, but {trouble}",))
    return Weights(unfetched=(str(error),))


def _pipeline(config: RunConfig) -> Weights:
    pipeline = config.pipeline
    if isinstance(pipeline, FaceIdConfig):
        from pipelines.fineface.faceid_weights import locate_faceid

        files = locate_faceid(pipeline.weights, fetch=False)
        extra, folders, licences = [files.face_adapter], files.folders, files.licences
    elif isinstance(pipeline, FineFaceConfig):
        from pipelines.fineface.weights import locate

        folders = locate(pipeline.weights, fetch=False)
        extra, licences = [], folders.licences
    else:
        return Weights()
    models = [folders.base / "unet", folders.base / "text_encoder", folders.vae_model]
    paths = [*_model_files(models), *extra]
    width = _BYTES[pipeline.dtype]
    return Weights(
        bytes=sum(_numbers(path) for path in paths) * width,
        decoder_channels=_decoder_channels(folders.vae_model),
        sample_size=_setting(folders.base / "unet", "sample_size"),
        licences=licences,
    )


def _verifier(config: RunConfig) -> Weights:
    from pipelines.libreface.files import find_weights as find_network

    _check_aligner(config.verify)
    file, name, licence = find_network(config.verify.weights)
    return Weights(bytes=_numbers(file) * 4, licences={name: licence})


def _check_aligner(verify: VerifyConfig) -> None:
    if verify.aligner == "mediapipe" and find_spec("mediapipe") is None:
        raise MissingDependencyError(
            "verify.aligner: mediapipe is not installed; pip install 'synthgen[alignment]'"
        )


def _embedder(config: RunConfig) -> Weights:
    if config.verify.identity is None:
        return Weights()
    embedder = config.verify.identity.embedder
    if isinstance(embedder, InsightFaceConfig):
        if find_spec("insightface") is None:
            raise MissingDependencyError(
                "verify.identity.embedder: insightface is not installed; pip install "
                "'synthgen[faceid]'"
            )
        return Weights()
    if embedder.weights != "mini":
        if not Path(embedder.weights).exists():
            raise WeightsError(
                f"face embedder {embedder.weights} does not exist; it must be a file"
            )
        read_safetensors_header(Path(embedder.weights))
    return Weights()


def _model_files(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(folder.glob(f"*{_SAFETENSORS}"))


def _numbers(path: Path) -> int:
    """Count the numbers in a weight file; a pickle's size is taken as that of 32-bit numbers."""
    if path.suffix != _SAFETENSORS:
        return check_weight_file(path) // 4
    return sum(math.prod(entry.shape) for entry in read_safetensors_header(path)[0].values())


def _decoder_channels(vae: Path) -> int:
    widths = _setting(vae, "block_out_channels")
    if not isinstance(widths, list) or not all(type(width) is int for width in widths[:2]):
        raise WeightsError(f"{vae / 'config.json'}: block_out_channels must be a list of numbers")
    return widths[min(1, len(widths) - 1)] if widths else 0


def _setting(model: Path, key: str) -> Any:
    path = model / "config.json"
    config = read_model_config(path)
    if key not in config:
        raise WeightsError(f"model configuration {path} does not say {key}")
    return config[key]
