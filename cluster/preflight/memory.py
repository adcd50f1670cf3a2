"""How much memory a worker needs: a rule, and what it is derived from.

The rule: weights at `pipeline.dtype`, 0.7 GB for the process, and for each image of a batch 10 MB
for the verifier and height × width × 4 × channels of the VAE's second block × bytes of a number ×
1.25.

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

_MAPS = 4
"""Maps of the VAE's decoder that lie in memory at once."""


def worker_memory(config: RunConfig, weights: Weights) -> int | None:
    """Return what a worker needs [bytes].

    None where the weights are not there, or the batch size is found out by trying.
    """
    batch = config.pipeline.batch_size
    if not isinstance(batch, int) or weights.problems or weights.unfetched:
        return None
    return weights.bytes + PROCESS + batch * (int(_painting(config, weights)) + _CROP)


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


def _painting(config: RunConfig, weights: Weights) -> float:
    """Return the working memory of an image's painting [bytes]."""
    side = image_side(config, weights.sample_size)
    if isinstance(config.pipeline, ProceduralConfig) or side is None:
        return 0.0
    width = 4 if config.pipeline.dtype == "float32" else 2
    return side[0] * side[1] * _MAPS * weights.decoder_channels * width * ALLOWANCE
