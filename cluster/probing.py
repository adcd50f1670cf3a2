"""Batch size `auto` found on a device, and running out of its memory."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from PIL.Image import Image

from pipelines.interfaces import ImageSource
from pipelines.loading import pick_device
from samplers.plan import Plan
from samplers.spec import Attempt, SampleSpec
from synthgen.errors import RunError

_MARKS = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "DefaultCPUAllocator: can't allocate memory",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that the device's memory is exhausted."""
    # Only a process that has loaded torch can have torch's error.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(mark in str(error) for mark in _MARKS)


class DeviceMemory:
    """The memory of a device that one worker may use.

    Args:
        device: torch device, such as `cpu` or `cuda`; of a CPU's memory nothing is said.
        share: share of a GPU that the worker has [0–1].
    """

    def __init__(self, device: str, share: float = 1.0) -> None:
        self._device = device
        self._share = min(share, 1.0)

    def forget(self) -> None:
        """Begin to measure anew, and give back what is kept for later."""
        if self._device == "cpu":
            return
        import torch

        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self._device)

    def used(self) -> float:
        """Return the largest share in use since `forget`; 1 is all that the worker may use."""
        if self._device == "cpu":
            return 0.0
        import torch

        free, total = torch.cuda.mem_get_info(self._device)
        allowed = min(total * self._share, free + torch.cuda.memory_reserved(self._device))
        return torch.cuda.max_memory_reserved(self._device) / allowed


@contextlib.contextmanager
def naming_batch_size(size: int, doing: str) -> Iterator[None]:
    """Turn a lack of memory into an error that a user can mend.

    A smaller batch is not taken silently: its shape decides bits.

    Args:
        size: images of the batch.
        doing: what is done to them: `paint` or `measure`.

    Raises:
        RunError: if the device's memory is exhausted.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        mend = (
            f"set pipeline.batch_size: {size // 2}"
            if size > 1
            else "take a device with more memory, a smaller pipeline.dtype, or smaller images"
        )
        raise RunError(
            f"the device has not enough memory to {doing} a batch at pipeline.batch_size {size}; "
            f"{mend}"
        ) from error


_GROWTH = 1.1
"""A batch twice as large must give this many times as many images a second."""

_FULL = 0.8
"""Share of the memory that a batch may use: painting and measuring overlap in a run."""

_LARGEST = {"cpu": 64, "cuda": 128}
"""A larger one would mostly pad: `torch.compile` also keeps but eight shapes."""

_TIMED = 0.5
"""Time for which a size is tried, at least [s]."""


Measuring = Callable[[Sequence[Image], Sequence[SampleSpec]], object]
"""Measures a batch by all checks of a run."""


def probe_batch_size(
    source: ImageSource, measure: Measuring, plan: Plan, share: float = 1.0
) -> int:
    """Try batches of a run's first samples, each twice as large; nothing is written.

    Args:
        source: what paints.
        measure: what measures; both are timed.
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
        specs = [attempt.spec for attempt in attempts]
        return _rate(lambda: measure(source.generate(attempts), specs), size)

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
