"""Arithmetic of a call, and of a GPU at its limit."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

BF16_TFLOPS: Mapping[str, float] = {
    "B200": 2250,
    "H200 NVL": 835,
    "H200": 989,
    "H100 NVL": 835,
    "H100 PCIe": 756,
    "H100": 989,
    "A100": 312,
    "A40": 150,
    "A30": 165,
    "A10": 125,
    "L40S": 362,
    "L4": 121,
    "RTX 4090": 165,
    "RTX 3090": 71,
}
"""Part of a GPU's name → dense bfloat16 [TFLOP/s] as its maker states; the first that fits."""


def bf16_peak(name: str) -> float | None:
    """Return what a GPU of a name can do in bfloat16 at most [TFLOP/s]; None where not known."""
    words = name.replace("-", " ").split()
    for known, limit in BF16_TFLOPS.items():
        if set(known.split()) <= set(words):
            return limit
    return None


def count_flops(work: Callable[[], object]) -> dict[str, int]:
    """Return the floating point operations of a call: products and sums of matrices and kernels.

    Norms, activations and sums of tensors count nothing, as is usual.

    Returns:
        Name of a module's class → operations in it; `Global` → all of them.
    """
    with FlopCounterMode(display=False, custom_mapping=_attention_on_cpu()) as counter:
        work()
    counts = counter.get_flop_counts().items()
    return {name: sum(operations.values()) for name, operations in counts}


def _attention_on_cpu() -> dict[Any, Any]:
    """Return what torch's own table lacks: the CPU's fused attention."""

    def count(query: Any, key: Any, value: Any, *_: object, **__: object) -> int:
        return sdpa_flop_count(query, key, value)

    return {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: count}
