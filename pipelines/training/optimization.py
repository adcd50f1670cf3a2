"""The learning rate of each step, and which parameters decay."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from torch import nn

from pipelines.training.settings import Cycle

CycleType = TypeVar("CycleType", bound=Cycle)


def learning_rate(step: int, cycles: Sequence[Cycle]) -> float:
    """Return the learning rate of a step, counted from 0 over all cycles; after the last one 0."""
    for cycle in cycles:
        if step < cycle.steps:
            return cycle.learning_rate * _share(step, cycle)
        step -= cycle.steps
    return 0.0


def cycle_at(cycles: Sequence[CycleType], step: int) -> CycleType:
    """Return the cycle of a step, counted from 0 over all cycles; after the end the last one."""
    for cycle in cycles:
        if step < cycle.steps:
            return cycle
        step -= cycle.steps
    return cycles[-1]


def parameter_groups(
    parameters: Iterable[nn.Parameter], weight_decay: float
) -> list[dict[str, Any]]:
    """Part the parameters: matrices and kernels decay, biases and norms do not."""
    parameters = list(parameters)
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _share(step: int, cycle: Cycle) -> float:
    warm = cycle.warmup * cycle.steps
    if step < warm:
        return (step + 1) / (warm + 1)
    if cycle.schedule == "constant":
        return 1.0
    done = (step - warm) / max(cycle.steps - warm, 1)
    return 0.5 * (1 + math.cos(math.pi * done))
