"""Weights that a run needs on a machine: presence, licences, sizes, and memory of a worker.

Nothing is fetched and no torch is loaded: sizes come from the headers of the files. The Hub is
asked only for what is not here.

The rule: weights at `pipeline.dtype`, 0.7 GB for the process, for each image of a batch height ×
width × 4 × channels of the VAE's second block × bytes of a number × 1.25, and 10 MB for each image
that the verifier measures at once, which are 64 at most. Without a GPU, the pictures themselves lie
in the same memory: the batch that is measured and the one that is painted meanwhile.

The VAE's decoder is where a batch needs most: in its last block, at full size, up to four maps lie
in memory at once, as wide as the block before. Measured with torch's memory profiler: 4.0 maps with
Stable Diffusion's VAE, 3.0 with that of the embedded weights. The UNet, on cells of 8×8 pixels,
needs a fraction of that.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipelines.hub import NotFetchedError, trouble_with
from pipelines.weight_files import check_weight_file, read_model_config, read_safetensors_header
from synthgen.config import FaceIdConfig, FineFaceConfig, ProceduralConfig, RunConfig, VerifyConfig
from synthgen.config.verify import InsightFaceConfig
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
        from pipelines.fineface.weights import locate_faceid

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
    from pipelines.libreface.weights import find_weights as find_network

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


PROCESS = 700 << 20
"""Memory of a process besides weights and pictures: CUDA's context, libraries [bytes]."""

ALLOWANCE = 1.25
"""For an allocator's gaps and the work space of convolutions."""

LATENT_CELL = 8
"""Pixels of an image along a side of one latent cell, for Stable Diffusion 1.x and 2.x."""

_CROP = 3 * 64 * 112 * 112 * 4
"""The verifier's first layers, for an image: three maps of 64 channels, 112×112 [bytes]."""

MEASURED_AT_ONCE = 64
"""Images that the verifier's network sees at once, at most."""

_MAPS = 4
"""Maps of the VAE's decoder that lie in memory at once."""


def worker_memory(config: RunConfig, weights: Weights, on_gpu: bool = False) -> int | None:
    """Return what a worker needs where it computes [bytes].

    None where the weights are not there, or the batch size is found out by trying.
    """
    if (least := least_memory(config, weights, on_gpu)) is None:
        return None
    return least + PROCESS + int(_batch(config) * _painting(config, weights) * (ALLOWANCE - 1))


def least_memory(config: RunConfig, weights: Weights, on_gpu: bool = False) -> int | None:
    """Return what a worker cannot do without [bytes]: the rule without what is allowed for.

    None where `worker_memory` is.
    """
    if not isinstance(config.pipeline.batch_size, int) or weights.problems or weights.unfetched:
        return None
    batch = _batch(config)
    pictures = 0.0 if on_gpu else _pictures(config, weights)
    measured = min(batch, MEASURED_AT_ONCE) * _CROP
    return weights.bytes + int(batch * (_painting(config, weights) + pictures)) + measured


def image_side(config: RunConfig, sample_size: int | None = None) -> tuple[int, int] | None:
    """Return height and width of the images [pixels]; None where only the base knows them.

    Args:
        config: the run.
        sample_size: side of the base's latents [cells], where it is known.
    """
    pipeline = config.pipeline
    if isinstance(pipeline, ProceduralConfig):
        return pipeline.size, pipeline.size
    own = 128 if pipeline.weights == "mini" else sample_size and sample_size * LATENT_CELL
    height, width = pipeline.height or own, pipeline.width or own
    return (height, width) if height and width else None


def _batch(config: RunConfig) -> int:
    return config.pipeline.fixed_batch_size


def _painting(config: RunConfig, weights: Weights) -> float:
    """Return the working memory of an image's painting [bytes]."""
    side = image_side(config, weights.sample_size)
    if isinstance(config.pipeline, ProceduralConfig) or side is None:
        return 0.0
    width = 4 if config.pipeline.dtype == "float32" else 2
    return side[0] * side[1] * _MAPS * weights.decoder_channels * width


def _pictures(config: RunConfig, weights: Weights) -> float:
    """Return what an image takes until it is judged [bytes]: it and one of the next batch."""
    side = image_side(config, weights.sample_size)
    return 2 * 3.0 * side[0] * side[1] if side else 0.0
