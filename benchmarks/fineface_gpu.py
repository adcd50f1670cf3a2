"""Images a second of FineFace at SD 2.1's size, against the published implementation's way.

    python benchmarks/fineface_gpu.py [--batches 1 8 16 32] [--steps 50 25] [--rounds 3]
        [--compile] [--peak-tflops 989] [--device cuda] [--part 1] [--side 64]

Text to image, 512×512 pixels, from prompts to finished pictures, random weights. In turn: the
published way (float32, explicit attention, LoRA unfused, DDIM), ours at as many steps, and ours at
the defaults for a GPU (bfloat16, LoRA fused, SDPA, channels last, DPM-Solver++ at half the steps),
compiled too where asked for. First, both ways are checked to paint the same image.

Printed for each batch: images a second, the ratio to the published way at the same batch, the peak
of the GPU's memory, and the share of its bfloat16 limit that our form of the arithmetic would be.
Without a GPU there is neither of the latter two, and a small size does: `--part 8 --side 8`.
"""

import argparse
import contextlib
import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from arithmetic import bf16_peak, count_flops
from fineface_speed import GUIDANCE, attempts, check_images, fineface_source
from published_fineface import PublishedLoop
from random_sd21 import save_sd21

from pipelines.loading import fix_arithmetic
from samplers.spec import Attempt

CHECKED_STEPS = 2
"""Steps of the check: with each more, random weights drive roundings further apart."""

SAMPLERS = {"DDIM": "ddim", "DPM-Solver++": "dpmpp"}

Painter = Callable[[Sequence[Attempt]], object]


@dataclass(frozen=True, slots=True)
class Way:
    """A way to paint.

    Attributes:
        name: for people.
        load: loads the models and returns what paints a batch.
        flops: floating point operations of an image in our form of this many steps.
    """

    name: str
    load: Callable[[], Painter]
    flops: float


@dataclass(frozen=True, slots=True)
class Speed:
    """Measurement of a way at a batch size.

    Attributes:
        images: images a second.
        memory: peak of the GPU's memory [bytes]; None without a GPU.
    """

    images: float
    memory: int | None


def main(arguments: list[str] | None = None) -> None:
    """Check, time and print."""
    options = _options().parse_args(arguments)
    print(_machine(options))
    with tempfile.TemporaryDirectory() as name:
        folders = save_sd21(Path(name), options.device, options.part, options.side)
        flops = check_and_count(folders, options.device)
        published: dict[int, float] = {}
        print(f"{'':58} {'batch':>5} {'images/s':>9} {'ratio':>7} {'memory':>9} {'of bf16':>8}")
        for way in _ways(folders, flops, options):
            for batch, speed in measure(way, options):
                published.setdefault(batch, speed.images if speed else 0.0)
                print(_line(way, batch, speed, published[batch], options.peak))


def measure(way: Way, options: argparse.Namespace) -> Iterator[tuple[int, Speed | None]]:
    """Yield each batch size with its speed; None where the memory does not hold it."""
    painter = way.load()
    for batch in options.batches:
        speed = None
        with contextlib.suppress(torch.OutOfMemoryError):
            speed = _speed(painter, attempts(batch), options)
        yield batch, speed
        _free(options.device)
    del painter
    _free(options.device)


def check_and_count(folders: tuple[Path, Path], device: str) -> Callable[[int], float]:
    """End the run unless both ways paint the same, without what rounds on purpose.

    Returns:
        Steps → floating point operations of an image in our form.
    """
    fix_arithmetic(torch.get_num_threads())
    published = PublishedLoop(*folders, CHECKED_STEPS, GUIDANCE, device)
    ours = fineface_source(folders, "ddim", CHECKED_STEPS, "float32", device)
    check_images(published, ours, attempts(2))
    counts = count_flops(partial(ours.generate, attempts(1)))
    step = counts["UNet2DConditionModel"] / CHECKED_STEPS
    return lambda steps: counts["Global"] + (steps - CHECKED_STEPS) * step


def _ways(
    folders: tuple[Path, Path], flops: Callable[[int], float], options: argparse.Namespace
) -> Iterator[Way]:
    many, few = options.steps
    peer = partial(_load_peer, folders, options)
    yield Way(f"published way, float32, DDIM {many}", peer, flops(many))
    ours = [
        ("DDIM", many, "float32", False),
        ("DDIM", many, "bfloat16", False),
        ("DPM-Solver++", few, "bfloat16", False),
        ("DPM-Solver++", few, "bfloat16", True),
    ]
    for sampler, steps, dtype, compiled in ours[: None if options.compile else -1]:
        name = f"ours, {dtype}, {sampler} {steps}{', compiled' if compiled else ''}"
        load = partial(_load_ours, folders, options, SAMPLERS[sampler], steps, dtype, compiled)
        yield Way(name, load, flops(steps))


def _load_peer(folders: tuple[Path, Path], options: argparse.Namespace) -> Painter:
    """Load the published way, with torch's own settings for convolutions."""
    torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32 = False, True
    return PublishedLoop(*folders, options.steps[0], GUIDANCE, options.device).paint_together


def _load_ours(
    folders: tuple[Path, Path],
    options: argparse.Namespace,
    sampler: str,
    steps: int,
    dtype: str,
    compiled: bool,
) -> Painter:
    """Load ours as a worker of a run does."""
    fix_arithmetic(torch.get_num_threads())
    return fineface_source(
        folders, sampler, steps, dtype, options.device, compiled=compiled
    ).generate


def _speed(painter: Painter, batch: Sequence[Attempt], options: argparse.Namespace) -> Speed:
    on_gpu = options.device.startswith("cuda")
    if options.warm:
        painter(batch)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    seconds = statistics.median(_seconds(painter, batch, on_gpu) for _ in range(options.rounds))
    return Speed(len(batch) / seconds, torch.cuda.max_memory_allocated() if on_gpu else None)


def _seconds(painter: Painter, batch: Sequence[Attempt], on_gpu: bool) -> float:
    started = time.perf_counter()
    painter(batch)
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _free(device: str) -> None:
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def _line(way: Way, batch: int, speed: Speed | None, first: float, peak: float | None) -> str:
    if speed is None:
        return f"{way.name:58} {batch:5d} {'out of memory':>36}"
    memory = "–" if speed.memory is None else f"{speed.memory / 2**30:.1f} GiB"
    share = "–" if peak is None else f"{speed.images * way.flops / (peak * 1e12):.1%}"
    ratio = f"{speed.images / first:.1f}×" if first else "–"
    return f"{way.name:58} {batch:5d} {speed.images:9.3f} {ratio:>7} {memory:>9} {share:>8}"


def _machine(options: argparse.Namespace) -> str:
    pixels = 8 * options.side
    if options.device.startswith("cuda"):
        name = torch.cuda.get_device_name()
        options.peak = options.peak_tflops or bf16_peak(name)
        limit = f"{options.peak:g} TFLOP/s" if options.peak else "not known: give --peak-tflops"
        where = f"{name} (bfloat16 limit {limit})"
    else:
        options.peak = options.peak_tflops
        where = f"no GPU: the CPU with {torch.get_num_threads()} thread(s)"
    width = f"widths of SD 2.1 / {options.part}" if options.part > 1 else "SD 2.1's size"
    return f"torch {torch.__version__}, {where}; {width}, {pixels}×{pixels} pixels"


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 16, 32])
    parser.add_argument(
        "--steps", type=int, nargs=2, default=[50, 25], help="DDIM steps of both; our DPM-Solver++"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="also torch.compile our UNet")
    parser.add_argument(
        "--peak-tflops",
        type=float,
        help="bfloat16 limit of the GPU, where its name tells too little",
    )
    parser.add_argument("--part", type=int, default=1, help="networks narrower by this factor")
    parser.add_argument("--side", type=int, default=64, help="latents' side")
    parser.add_argument("--cold", dest="warm", action="store_false", help="no run to warm up")
    return parser


if __name__ == "__main__":
    main()
