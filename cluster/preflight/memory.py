"""How much memory a worker needs: a rule, and what it is derived from.

The rule: weights at `pipeline.dtype`, 0.7 GB for the process, for each image of a batch height ×
width × 4 × channels of the VAE's second block × bytes of a number × 1.25, and 10 MB for each image
that the verifier measures at once, which are 64 at most. Without a GPU, the pictures themselves lie
in the same memory: the batch that is measured and the one that is painted meanwhile.

The VAE's decoder is where a batch needs most: in its last block, at full size, up to four maps lie
in memory at once, as wide as the block before. Measured with torch's memory profiler: 4.0 maps with
Stable Diffusion's VAE, 3.0 with that of the embedded weights. The UNet, on cells of 8×8 pixels,
needs a fraction of that.
"""

from cluster.preflight.weights import Weights
from synthgen.config import ProceduralConfig, RunConfig

PROCESS = 700 << 20
"""What a process takes besides weights and pictures: CUDA's context, libraries [bytes]."""

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
