"""Memory of the device that a process computes on: how much is in use, and when it ran out."""

import sys

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
