"""Find the batch size that serves a device: the answer to `pipeline.batch_size: auto`."""

import time
from collections.abc import Callable, Sequence

from pipelines.device_memory import DeviceMemory, is_out_of_memory
from pipelines.interfaces import ImageSource, Verifier
from pipelines.loading import pick_device
from samplers.plan import Plan
from samplers.spec import Attempt

_GROWTH = 1.1
"""A batch twice as large must give this many times as many images a second."""

_FULL = 0.8
"""Share of the memory that a batch may use: painting and measuring overlap in a run."""

_LARGEST = {"cpu": 64, "cuda": 128}
"""A larger one would mostly pad: `torch.compile` also keeps but eight shapes."""

_TIMED = 0.5
"""Time for which a size is tried, at least [s]."""


def probe_batch_size(
    source: ImageSource, verifier: Verifier, plan: Plan, share: float = 1.0
) -> int:
    """Try batches of a run's first samples, each twice as large; nothing is written.

    Args:
        source: what paints.
        verifier: what measures; both are timed.
        plan: the run.
        share: share of a GPU that the worker has [0–1].

    Returns:
        The largest power of two that fits and is worth it: twice as large as one that gives
        clearly fewer images a second.

    Raises:
        Exception: whatever painting or measuring raises, but for a lack of memory beyond size 1.
    """
    device = pick_device()
    memory = DeviceMemory(device, share)

    def rate(size: int) -> float:
        memory.forget()
        attempts = _first_attempts(plan, size)
        return _rate(lambda: verifier.measure(source.paint(attempts)), size)

    return largest_worthwhile(rate, lambda: memory.used() <= _FULL, _LARGEST[device])


def largest_worthwhile(rate: Callable[[int], float], fits: Callable[[], bool], largest: int) -> int:
    """Double a batch as long as it fits and is worth it.

    Args:
        rate: tries a size, and returns images a second.
        fits: tells whether the size tried last leaves enough memory.
        largest: the largest size that is tried.

    Returns:
        A power of two, at most `largest`.
    """
    size, best = 1, rate(1)
    while 2 * size <= largest:
        try:
            found = rate(2 * size)
        except Exception as error:
            if is_out_of_memory(error):
                break
            raise
        if found < _GROWTH * best or not fits():
            break
        size, best = 2 * size, found
    return size


def _rate(make: Callable[[], object], size: int) -> float:
    """Return images a second: the first batch of a shape does not count, kernels are chosen."""
    make()
    batches, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < _TIMED:
        make()
        batches += 1
    return batches * size / spent


def _first_attempts(plan: Plan, number: int) -> Sequence[Attempt]:
    samples = (plan.sample(index % plan.samples) for index in range(number))
    return [plan.attempt(spec, 0) for spec in samples]
