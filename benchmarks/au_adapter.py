"""Cost of the AU adapter over the plain UNet: with it / without it, one step, same machine.

    python benchmarks/au_adapter.py [--sd21] [--device cuda] [--dtype bfloat16] [--compile]

Budget: at most 1 % more. Random weights; the sizes alone matter. Without `--sd21` the UNet is a
quarter as wide. Rounds with and without the adapter alternate, and the smallest time of each
counts; on a CPU it is the process's own. On a busy machine two steps differ by more than the
adapter costs: so its own work is timed alone too, and `cost` is that against the plain step.
"""

import argparse
import time
from collections.abc import Callable

import torch
from diffusers import UNet2DConditionModel

from pipelines.fineface.adapter import AUAdapter
from pipelines.fineface.branch import au_branch

STEPS_OF_A_CALL = 25


def main() -> None:
    """Measure and print."""
    options = _options()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    dtype = getattr(torch, options.dtype)
    unet = _unet(1 if options.sd21 else 4).to(options.device, dtype).eval()
    unet.to(memory_format=torch.channels_last)
    adapter = AUAdapter.for_unet(unet, hidden_size=64).to(options.device)
    torch.nn.Module.to(adapter, dtype=dtype)
    net = torch.compile(unet) if options.compile else unet
    latents = torch.randn(2, 4, 64, 64, device=options.device, dtype=dtype)
    text = torch.randn(2, 77, 1024, device=options.device, dtype=dtype)
    aus = torch.rand(2, 12, device=options.device, dtype=dtype)

    def constants() -> dict[str, torch.Tensor]:
        return adapter(aus)

    def plain() -> None:
        with au_branch(net, {}):
            net(latents, 500, text)

    vectors = constants()
    inputs = _inputs(unet, vectors, lambda: unet(latents, 500, text))

    def steered() -> None:
        with au_branch(net, vectors):
            net(latents, 500, text)

    def additions() -> None:
        for path, vector in vectors.items():
            inputs[path] + vector

    with torch.no_grad():
        once, added = _best([constants, additions], 20, options.device)
        without, with_adapter = _best([plain, steered], options.rounds, options.device)
    own = added + once / STEPS_OF_A_CALL
    print(f"plain UNet step       {1000 * without:9.2f} ms")
    print(f"with the AU adapter   {1000 * with_adapter:9.2f} ms  ({_more(with_adapter, without)})")
    print(f"its additions alone   {1000 * added:9.2f} ms a step")
    print(f"its AU vectors        {1000 * once:9.2f} ms a call of {STEPS_OF_A_CALL} steps")
    print(f"cost                  {100 * own / without:9.2f} %  (budget 1 %)")


def _more(new: float, old: float) -> str:
    return f"{100 * (new / old - 1):+.2f} %"


@torch.no_grad()
def _inputs(
    unet: UNet2DConditionModel, vectors: dict[str, torch.Tensor], work: Callable[[], object]
) -> dict[str, torch.Tensor]:
    """Return what each layer's `to_out` is given."""
    inputs: dict[str, torch.Tensor] = {}
    handles = []
    for path in vectors:

        def keep(_: torch.nn.Module, args: tuple[torch.Tensor, ...], path: str = path) -> None:
            inputs[path] = args[0]

        layer = unet.get_submodule(f"{path}.to_out.0")
        handles.append(layer.register_forward_pre_hook(keep))
    work()
    for handle in handles:
        handle.remove()
    return inputs


def _best(works: list, rounds: int, device: str) -> list[float]:
    clock = time.perf_counter if device.startswith("cuda") else time.process_time
    for work in works * 2:
        work()
    best = [float("inf")] * len(works)
    for _ in range(rounds):
        for number, work in enumerate(works):
            _wait(device)
            start = clock()
            work()
            _wait(device)
            best[number] = min(best[number], clock() - start)
    return best


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _unet(part: int) -> UNet2DConditionModel:
    """Make a UNet of SD 2.1's shape, or one as many times narrower."""
    return UNet2DConditionModel(
        sample_size=64,
        block_out_channels=tuple(width // part for width in (320, 640, 1280, 1280)),
        attention_head_dim=[5, 10, 20, 20],
        norm_num_groups=32 // part,
        cross_attention_dim=1024,
        use_linear_projection=True,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sd21", action="store_true", help="full SD 2.1 size")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--compile", action="store_true", help="torch.compile the UNet")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()
