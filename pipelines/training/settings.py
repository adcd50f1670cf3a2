"""Settings that all trainings share, and the device."""

from collections.abc import Sequence
from typing import Literal, TypeVar

import torch
from pydantic import Field, model_validator

from synthgen.choices import NumberFormat
from synthgen.config.base import Section
from synthgen.errors import ConfigError


def pick_training_device(name: str) -> torch.device:
    """Return the device that a configuration names.

    Raises:
        ConfigError: if this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"device {name!r} is not there; there is {_devices()}") from error
    return device


def computes_bfloat16(device: torch.device) -> bool:
    """Tell whether a device computes in bfloat16 itself; a CPU without AVX-512 or SVE emulates it.

    Emulated convolutions are up to a hundred times slower than those of float32.
    """
    return device.type != "cpu" or torch.backends.cpu.get_cpu_capability().startswith(
        ("AVX512", "SVE")
    )


def _devices() -> str:
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return ", ".join(["auto", "cpu", *gpus])


class OptimizerConfig(Section):
    """AdamW."""

    weight_decay: float = Field(default=0.01, ge=0, le=1, description="Decoupled weight decay.")
    clip: float = Field(default=1.0, gt=0, description="Largest norm of the gradient.")


class Cycle(Section):
    """Steps in which the learning rate rises linearly and then falls to zero along a cosine."""

    steps: int = Field(ge=1, le=10**8, description="Optimisation steps.")
    learning_rate: float = Field(default=1e-4, gt=0, le=1, description="Highest learning rate.")
    warmup: float = Field(default=0.05, ge=0, le=1, description="Share of the steps that warm up.")
    schedule: Literal["cosine", "constant"] = Field(
        default="cosine", description="What the learning rate does after the warm-up."
    )


AnyCycle = TypeVar("AnyCycle", bound=Cycle)


def cycle_at(cycles: Sequence[AnyCycle], step: int) -> AnyCycle:
    """Return the cycle of a step, counted from 0 over all cycles; after the end the last one."""
    for cycle in cycles:
        if step < cycle.steps:
            return cycle
        step -= cycle.steps
    return cycles[-1]


class TrainingSettings(Section):
    """Settings of learning, whatever the model."""

    seed: int = Field(ge=0, lt=2**63, description="Seed of everything that is drawn [0, 2^63).")
    batch_size: int = Field(default=16, ge=1, le=65536, description="Examples in a step.")
    accumulate: int = Field(
        default=1, ge=1, le=1024, description="Parts that a batch is computed in, to save memory."
    )
    optimizer: OptimizerConfig = Field(default=OptimizerConfig(), description="AdamW.")
    ema_decay: float = Field(
        default=0.999,
        ge=0,
        lt=1,
        description="Decay of the average of the weights that is exported.",
    )
    device: str = Field(
        default="auto",
        description="Torch device, such as cpu, cuda or cuda:1; auto: a GPU where there is one, "
        "else the CPU.",
    )
    dtype: NumberFormat = Field(
        default="float32",
        description="Number format of the computation; weights stay float32; float16 needs a GPU.",
    )
    compile: bool = Field(
        default=False, description="Compile the network (torch.compile) before it learns."
    )
    threads: int = Field(
        default=1, ge=1, le=1024, description="CPU threads of the training process."
    )
    workers: int = Field(
        default=1, ge=0, le=256, description="Processes that read or draw examples; 0: none extra."
    )
    checkpoint_every: int = Field(default=200, ge=1, description="Steps between two checkpoints.")
    log_every: int = Field(default=20, ge=1, description="Steps between two points of a curve.")
    sample_every: int = Field(default=1000, ge=1, description="Steps between two sample sheets.")

    @model_validator(mode="after")
    def _whole_parts(self) -> "TrainingSettings":
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of accumulate {self.accumulate}"
            )
        return self


FREE = frozenset({"device", "workers", "checkpoint_every", "log_every", "sample_every", "held_out"})
"""Keys that the weights are not a function of."""
