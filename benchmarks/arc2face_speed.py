"""Arc2Face's steps with and without a reference, against plain Stable Diffusion and the public way.

    python benchmarks/arc2face_speed.py [--batch 1 8] [--threads 1] [--rounds 5] [--device cuda]
        [--part 4] [--levels 4] [--side 32] [--dtype float32] [--count]

A step is one call of the UNet with both halves of guidance; `keep` is what a call with a reference
does once. The UNet has the first `--levels` of Stable Diffusion 1.5, its channels divided by
`--part` (1: the real one), and latents of `--side`² (64: images of 512×512). Weights are random.
Both ways are checked to compute the same before they are timed. They take turns, and medians count,
of the time of day (GPU) or of the process's own CPU time, which other work on the machine disturbs
less.
`--count` counts floating-point operations instead, without memory or time: so the real size can be
compared on any machine.
"""

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping

import torch
from diffusers import UNet2DConditionModel
from published_arc2face import PublishedReference
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pipelines.arc2face.reference import ReferenceAdapter, keep_features, reference_branch

TOLERANCE = 1e-4
SCALE = 0.8
RANK = 16
TEXT_WIDTH = 768
TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
BASE = "step, plain Stable Diffusion"

Works = Mapping[str, Callable[[], object]]
"""Name → a piece of work."""


def main(arguments: list[str] | None = None) -> None:
    """Check, time or count, and print."""
    options = _options().parse_args(arguments)
    if options.count:
        options.device = "meta"
    torch.set_grad_enabled(False)
    torch.set_num_threads(options.threads)
    for batch in options.batch:
        with prepared(batch, options) as works:
            if options.count:
                report(f"batch {batch}", "TFLOP/image", batch, counted(works))
            else:
                where = f"{options.threads} thread(s), {options.device}, {options.dtype}"
                report(f"batch {batch}, {where}", "s/image", batch, measured(works, options))


@contextlib.contextmanager
def prepared(batch: int, options: argparse.Namespace) -> Iterator[Works]:
    """Make both ways for batches of a size, check that they agree, and yield what is timed."""
    with torch.device(options.device):
        plain, ours, edited, first, second = (small_sd15(options) for _ in range(5))
    lora = random_lora(plain)
    layers = {
        name.removeprefix("unet.").removesuffix(".lora_A.weight"): (
            down,
            lora[name.replace("lora_A", "lora_B")],
        )
        for name, down in lora.items()
        if "lora_A" in name
    }
    published = PublishedReference(first, second, lora, SCALE)
    noise, picture, text = inputs(batch, options)
    people, adapter, sources = text[batch:], ReferenceAdapter(layers), list(range(batch))

    def keep() -> object:
        kept = keep_features(ours, picture, people, None)
        with reference_branch(ours, kept, sources, adapter, SCALE):
            return kept

    published.keep(picture, people)
    kept = keep_features(edited, picture, people, None)
    with reference_branch(edited, kept, sources, adapter, SCALE):
        if not options.count:
            check(edited(noise, 500, text).sample, published.step(noise, text), options)
        yield {
            BASE: lambda: plain(noise, 500, text),
            "step, ours, no reference": lambda: ours(noise, 500, text),
            "step, ours, reference": lambda: edited(noise, 500, text),
            "step, public way, reference": lambda: published.step(noise, text),
            "keep, ours": keep,
            "keep, public way": lambda: published.keep(picture, people),
        }


def measured(works: Works, options: argparse.Namespace) -> Mapping[str, float]:
    """Return the median of the seconds that each piece of work takes."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(options.rounds):
        for name, work in works.items():
            taken[name].append(timed(work, options.device))
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def counted(works: Works) -> Mapping[str, float]:
    """Return the operations of each piece of work [10¹²]."""
    found = {}
    for name, work in works.items():
        with FlopCounterMode(display=False) as counter:
            work()
        found[name] = counter.get_total_flops() / 1e12
    return found


def report(title: str, unit: str, batch: int, costs: Mapping[str, float]) -> None:
    """Print what each piece of work costs an image, and its ratio to a step of the plain UNet."""
    print(title)
    for name, cost in costs.items():
        print(f"  {name:30} {cost / batch:8.4f} {unit} {cost / costs[BASE]:6.2f}×")


def timed(work: Callable[[], object], device: str) -> float:
    """Return the seconds that a piece of work takes."""
    if device == "cpu":
        start = time.process_time()
        work()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def check(found: Tensor, expected: Tensor, options: argparse.Namespace) -> None:
    """End the run unless both ways compute the same step; in low precision they only come near."""
    worst = float((found - expected).abs().max() / expected.abs().max())
    if not worst <= (TOLERANCE if options.dtype == "float32" else 0.05):
        raise SystemExit(f"the two ways differ by {worst:.1e} of the largest value")


def small_sd15(options: argparse.Namespace) -> UNet2DConditionModel:
    """Make a UNet with the layers of Stable Diffusion 1.5 and fewer channels."""
    torch.manual_seed(0)
    channels = tuple(size // options.part for size in (320, 640, 1280, 1280))
    attending = options.levels - 1  # all but the last have attention
    unet = UNet2DConditionModel(
        sample_size=options.side,
        block_out_channels=channels[: options.levels],
        down_block_types=("CrossAttnDownBlock2D",) * attending + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * attending,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=8,
        norm_num_groups=16,
    )
    return unet.to(options.device, getattr(torch, options.dtype)).eval()


def random_lora(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    """Make a LoRA on every projection of self- and cross-attention."""
    draw = torch.Generator().manual_seed(1)
    lora = {}
    for path, module in unet.named_modules():
        if path.endswith((".attn1", ".attn2")):
            for target in TARGETS:
                rows, columns = module.get_submodule(target).weight.shape
                for name, shape in (("lora_A", (RANK, columns)), ("lora_B", (rows, RANK))):
                    value = torch.randn(shape, generator=draw) / shape[1]
                    lora[f"unet.{path}.{target}.{name}.weight"] = value.to(unet.device, unet.dtype)
    return lora


def inputs(batch: int, options: argparse.Namespace) -> tuple[Tensor, Tensor, Tensor]:
    """Return noise of both halves, latents of references, and texts of both halves."""
    draw = torch.Generator().manual_seed(2)
    shapes = [
        (2 * batch, 4, options.side, options.side),
        (batch, 4, options.side, options.side),
        (2 * batch, 77, TEXT_WIDTH),
    ]
    made = [torch.randn(shape, generator=draw) for shape in shapes]
    noise, picture, text = (t.to(options.device, getattr(torch, options.dtype)) for t in made)
    return noise, picture, text


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--part", type=int, default=4)
    parser.add_argument("--levels", type=int, default=4)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--count", action="store_true", help="count operations, on no device")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    return parser


if __name__ == "__main__":
    main()
