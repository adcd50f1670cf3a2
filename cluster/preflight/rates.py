"""How many images a second are known, and from where. What is not here is not known."""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.preflight.machine import Gpu
from synthgen.config import ProceduralConfig, RunConfig


@dataclass(frozen=True, slots=True)
class KnownRate:
    """A figure that somebody measured, of painting alone.

    Attributes:
        images_per_second: on that hardware, with guidance.
        steps: denoising steps.
        threads: CPU threads; 0 on a GPU.
        gpu: what the GPU's name holds; empty on a CPU.
        side: width and height [pixels].
        mini: whether the embedded weights painted.
        dtypes: number formats that the figure holds for.
        source: where it stands.
    """

    images_per_second: float
    steps: int
    threads: int
    gpu: str
    side: int
    mini: bool
    dtypes: tuple[str, ...]
    source: str


_RATES = (
    KnownRate(
        1 / 0.284, 20, 2, "", 128, True, ("float32",),
        "benchmarks/RESULTS.md: mini size, 2 cores of an AMD EPYC, batches of 16",
    ),
    KnownRate(
        1 / 0.228, 20, 2, "", 128, True, ("bfloat16",),
        "benchmarks/RESULTS.md: mini size, 2 cores of an AMD EPYC with bfloat16, batches of 16",
    ),
    KnownRate(
        1.18, 50, 0, "A100", 512, False, ("float16",),
        "diffusers' documentation of PyTorch 2.0: Stable Diffusion 1.5, batches of 16",
    ),
)  # fmt: skip


def known_rate(
    config: RunConfig, gpus: Sequence[Gpu], side: tuple[int, int] | None
) -> tuple[float, str] | None:
    """Return a worker's images a second by a known figure and its source, or None.

    Time is taken as proportional to the steps, and on a CPU to the threads, both of which hold
    nearly: 95 % of it is spent in the denoising network.

    Args:
        config: the run.
        gpus: GPUs of a node.
        side: height and width of the images [pixels].
    """
    pipeline = config.pipeline
    if isinstance(pipeline, ProceduralConfig) or pipeline.guidance_scale <= 1:
        return None
    for rate in _RATES:
        on_it = any(rate.gpu in gpu.name for gpu in gpus) if rate.gpu else not gpus
        same = rate.mini == (pipeline.weights == "mini") and side == (rate.side, rate.side)
        if on_it and same and pipeline.dtype in rate.dtypes:
            threads = pipeline.threads / rate.threads if rate.threads else 1.0
            scale = rate.steps / pipeline.num_inference_steps * threads
            return rate.images_per_second * scale, rate.source
    return None


_DRAWN_128_PNG = 17_200
"""Data of a sample of drawn faces, 128×128, PNG: 240 of examples/drawn-faces.yaml [bytes]."""


def known_bytes(config: RunConfig, side: tuple[int, int] | None) -> tuple[int, str, bool] | None:
    """Return what a sample takes [bytes], why, and whether it is a bound only; None: unknown."""
    pipeline = config.pipeline
    png = config.output.image_format == "png"
    if isinstance(pipeline, ProceduralConfig) and pipeline.size == 128 and png:
        return _DRAWN_128_PNG, "as the drawn faces of the examples", False
    if side is None:
        return None
    return side[0] * side[1] * 3 + 1000, "bound: an image as large as its pixels", True
