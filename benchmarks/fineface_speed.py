"""Our FineFace against a plain loop written the way the published code computes, in one run.

    python benchmarks/fineface_speed.py [--threads 1 2] [--rounds 3] [--device cuda] [--compile]
        [--only images|step] [--weights pipelines/mini]

`images`: text to image at mini size, from prompt to finished image. `step`: one step of the UNet at
SD 2.1's size, 512×512 pixels, both halves of guidance (budget: CPU bfloat16 4×, GPU bfloat16
compiled 6×). Weights are random unless a folder with `base` and `fineface` is given. Both ways are
checked to compute the same before they are timed. They take turns, and medians count: the time of
day, and the process's own CPU time, which other work on the machine disturbs less.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from published_fineface import PublishedLoop, attend_as_published, au_token, lora_pair
from random_fineface import HIDDEN_SIZE, RANK, save_mini, sd21_unet
from torch import Tensor

from pipelines.fineface.adapter import AUAdapter
from pipelines.fineface.branch import au_branch
from pipelines.fineface.section import FineFaceConfig
from pipelines.fineface.source import FineFaceSource
from samplers.spec import Attempt, SampleSpec

TOLERANCE = 1e-3
GUIDANCE = 5.0

Works = Mapping[str, tuple[Callable[[], object], int]]
"""Name → what is timed, and how many images or steps it makes."""


def main(arguments: list[str] | None = None) -> None:
    """Check, time and print."""
    options = _options().parse_args(arguments)
    torch.set_grad_enabled(False)
    torch.set_num_threads(options.threads[0])
    for what, prepare in (("images", image_works), ("step", step_works)):
        if options.only in (None, what):
            with prepare(options) as works:
                for threads in options.threads:
                    torch.set_num_threads(threads)
                    report(f"{what}, {threads} CPU thread(s), {options.device}", works, options)


@contextlib.contextmanager
def image_works(options: argparse.Namespace) -> Iterator[Works]:
    """Load both ways at mini size, check that they paint the same, and yield what is timed."""
    with tempfile.TemporaryDirectory() as name:
        folders = options.weights and (options.weights / "base", options.weights / "fineface")
        base, fineface = folders or save_mini(Path(name), options.part)
        published = PublishedLoop(base, fineface, options.steps[0], GUIDANCE, options.device)
        ours = {
            (steps, dtype): fineface_source((base, fineface), sampler, steps, dtype, options.device)
            for dtype in _dtypes(options.device)
            for sampler, steps in zip(("ddim", "dpmpp"), options.steps, strict=True)
        }
    batch = attempts(options.batch)
    check_images(published, ours[options.steps[0], "float32"], batch[:2])
    works: dict = {
        f"published way, {options.steps[0]} steps, one by one": (
            lambda: published.generate(batch[:1]),
            1,
        )
    }
    for (steps, dtype), source in ours.items():
        name = f"ours, {steps} steps, {len(batch)} at once, {dtype}"
        works[name] = (_painting(source, batch), len(batch))
    yield works


def check_images(published: PublishedLoop, ours: FineFaceSource, batch: list[Attempt]) -> None:
    """End the run unless both ways paint the same images, up to the rounding to 8 bits."""
    expected = torch.stack(published.generate(batch))
    found = torch.stack([_pixels(image) for image in ours.generate(batch)])
    worst = float((found - expected).abs().max())
    if not worst <= TOLERANCE + 0.5 / 255:
        raise SystemExit(f"the two ways differ by {worst:.1e} of the range of a pixel")


@contextlib.contextmanager
def step_works(options: argparse.Namespace) -> Iterator[Works]:
    """Make both UNets at SD 2.1's size, check that they agree, and yield what is timed."""
    theirs, ours = (sd21_unet(options.device, options.part) for _ in range(2))
    adapter = AUAdapter.for_unet(theirs, HIDDEN_SIZE, RANK).to(options.device)
    tensors = adapter.state_dict()
    fuse(ours, tensors)
    ours.to(memory_format=torch.channels_last)
    aus = torch.stack([torch.zeros(12), torch.arange(12) / 3]).to(options.device)
    attend_as_published(theirs, tensors, au_token(tensors, aus, 1024))
    vectors = adapter(aus)
    latents, text = _inputs(options.side // 4, options.device)  # the check needs no large image
    expected = theirs(latents, 500, text).sample
    check_step(_step(ours, vectors, latents, text)(), expected)
    latents, text = _inputs(options.side, options.device)
    works: dict = {
        "published way, float32": (lambda: theirs(latents, 500, text), 1),
        "ours, float32": (_step(ours, vectors, latents, text), 1),
    }
    if "bfloat16" in _dtypes(options.device):
        inputs = (
            {k: v.bfloat16() for k, v in vectors.items()},
            latents.bfloat16(),
            text.bfloat16(),
        )
        low = sd21_unet(options.device, options.part).bfloat16()
        low.to(memory_format=torch.channels_last)
        works["ours, bfloat16"] = (_step(low, *inputs), 1)
        if options.compile:
            works["ours, bfloat16, compiled"] = (_step(torch.compile(low), *inputs), 1)
    yield works


def check_step(found: Tensor, expected: Tensor) -> None:
    """End the run unless both ways compute the same step."""
    worst = float((found - expected).abs().max() / expected.abs().max())
    if not worst <= TOLERANCE:
        raise SystemExit(f"the two ways differ by {worst:.1e} of the largest value")


def fuse(unet: torch.nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Add each layer's LoRA to its weight."""
    for name in tensors:
        if name.endswith(".lora_A.weight"):
            path = name.removeprefix("unet.").removesuffix(".lora_A.weight")
            down, up = lora_pair(tensors, path)
            unet.get_submodule(path).weight += up @ down


def report(title: str, works: Works, options: argparse.Namespace) -> None:
    """Time in turn; print seconds for an image or step, and ratios to the first."""
    if options.warm:
        for work, _ in works.values():
            work()
    taken: dict[str, list] = {name: [] for name in works}
    for _ in range(options.rounds):
        for name, (work, count) in works.items():
            taken[name].append([seconds / count for seconds in _time(work, options.device)])
    print(f"{title:48} {'wall':>9} {'CPU':>9} {'ratio':>8} {'of CPU':>8}")
    first = None
    for name, pairs in taken.items():
        wall, own = (statistics.median(column) for column in zip(*pairs, strict=True))
        first = first or (wall, own)
        print(
            f"{name:48} {wall:7.3f} s {own:7.3f} s {first[0] / wall:7.1f}× {first[1] / own:7.1f}×"
        )


def attempts(count: int) -> list[Attempt]:
    """Make attempts with different prompts' seeds and AUs."""
    return [
        Attempt(
            spec=SampleSpec(
                index=number,
                split="train",
                position=number,
                replacement=0,
                stratum="",
                conditions={"aus": tuple(float((number + i) % 6) for i in range(12))},
                emotion=None,
                identity_id="",
                identity={},
                identity_seed=0,
                prompt="a portrait of a young woman with red hair",
                negative_prompt="",
            ),
            number=0,
            seed=number,
        )
        for number in range(count)
    ]


def fineface_source(
    folders: tuple[Path, Path],
    sampler: str,
    steps: int,
    dtype: str,
    device: str,
    *,
    compiled: bool = False,
) -> FineFaceSource:
    """Return our pipeline as a run would load it, from a base's folder and FineFace's."""
    base, fineface = folders
    settings = {
        "name": "fineface",
        "weights": {"base": str(base), "fineface": str(fineface)},
        "scheduler": sampler,
        "num_inference_steps": steps,
        "guidance_scale": GUIDANCE,
        "dtype": dtype,
        **({"compile": True} if compiled else {}),
    }
    return FineFaceSource(FineFaceConfig.model_validate(settings), device)


def _painting(source: FineFaceSource, batch: list[Attempt]) -> Callable[[], object]:
    return lambda: source.generate(batch)


def _inputs(side: int, device: str) -> tuple[Tensor, Tensor]:
    """Return latents [2, 4, side, side] and text embeddings [2, 77, 1024]."""
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 4, side, side), (2, 77, 1024)
    latents, text = (torch.randn(shape, generator=generator).to(device) for shape in shapes)
    return latents, text


def _step(unet: torch.nn.Module, vectors: dict, latents: Tensor, text: Tensor) -> Callable:
    def step() -> Tensor:
        with au_branch(unet, vectors):
            return unet(latents, 500, text).sample

    return step


def _pixels(image) -> Tensor:
    return torch.tensor(list(image.tobytes())).view(*image.size, 3).permute(2, 0, 1) / 255


def _time(work: Callable[[], object], device: str) -> tuple[float, float]:
    _wait(device)
    started = time.perf_counter(), time.process_time()
    work()
    _wait(device)
    return time.perf_counter() - started[0], time.process_time() - started[1]


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _dtypes(device: str) -> list[str]:
    """Return the number formats that the machine computes in hardware."""
    able = torch.cpu.get_capabilities()
    has = device.startswith("cuda") or able.get("avx512_bf16") or able.get("amx_bf16")
    return ["float32", "bfloat16"] if has else ["float32"]


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["images", "step"], help="one of both")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true", help="also torch.compile the UNet's step")
    parser.add_argument("--weights", type=Path, help="folder with `base` and `fineface`")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--steps", type=int, nargs=2, default=[50, 20], help="DDIM steps of both; our DPM-Solver++"
    )
    parser.add_argument("--batch", type=int, default=16, help="images that we make at once")
    parser.add_argument("--part", type=int, default=1, help="networks narrower by this factor")
    parser.add_argument("--side", type=int, default=64, help="latents' side in a step")
    parser.add_argument("--cold", dest="warm", action="store_false", help="no run to warm up")
    return parser


if __name__ == "__main__":
    main()
