"""The learner of a training: parameters, optimiser, averages, one step."""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pipelines.training.processes import ONE
from pipelines.training.settings import Cycle, TrainingSettings, computes_bfloat16
from synthgen.errors import ConfigError, TrainingError

_log = logging.getLogger(__name__)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from torch's CPU generator by a seed; after the block it is as it was before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def moving_average(network: nn.Module, decay: float) -> AveragedModel:
    """Make an average that follows a network: its weights and its batch statistics.

    Early on it follows faster than `decay` says, so that it forgets the start.

    Args:
        network: the network to follow; it is copied.
        decay: share of the average that a step keeps in the long run [0, 1).
    """

    def follow(averages: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        step = int(count) - 1
        share = 1 - min(decay, (1 + step) / (10 + step))
        for average, value in zip(averages, current, strict=True):
            if average.is_floating_point():
                average.lerp_(value, share)
            else:
                average.copy_(value)

    average = AveragedModel(network, multi_avg_fn=follow, use_buffers=True)
    average.module.eval().requires_grad_(False)
    average.n_averaged += 1  # the untrained network is the first of those that are averaged
    return average


def learning_rate(step: int, cycles: Sequence[Cycle]) -> float:
    """Return the learning rate of a step, counted from 0 over all cycles; after the last one 0."""
    for cycle in cycles:
        if step >= cycle.steps:
            step -= cycle.steps
            continue
        warm = cycle.warmup * cycle.steps
        if step < warm:
            return cycle.learning_rate * ((step + 1) / (warm + 1))
        if cycle.schedule == "constant":
            return cycle.learning_rate
        done = (step - warm) / max(cycle.steps - warm, 1)
        return cycle.learning_rate * (0.5 * (1 + math.cos(math.pi * done)))
    return 0.0


def parameter_groups(
    parameters: Iterable[nn.Parameter], weight_decay: float
) -> list[dict[str, Any]]:
    """Part the parameters: matrices and kernels decay, biases and norms do not."""
    parameters = list(parameters)
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


class Learner(ABC):
    """Learns a network with AdamW, clipped gradients and a moving average.

    All that a step changes is in `state()`, and what a step draws is a function of the seed and the
    step alone: a training that goes on from a checkpoint ends in the same bits.

    Args:
        settings: how it is learned.
        cycles: the steps.
        network: what is learned, of float32 weights; parameters without gradients stay.
        device: torch device.

    Attributes:
        step: steps that are done.
        network: the network that learns.
        processes: those that share each step; one unless a training sets it.

    Raises:
        ConfigError: if the device cannot compute in the configured number format.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        cycles: Sequence[Cycle],
        network: nn.Module,
        device: torch.device,
    ) -> None:
        if settings.dtype == "float16" and device.type != "cuda":
            raise ConfigError(
                f"dtype float16 needs a GPU, not the device {device}: use bfloat16 or float32"
            )
        if settings.dtype == "bfloat16" and not computes_bfloat16(device):
            _log.warning(
                "dtype bfloat16: this CPU emulates it (%s, no AVX-512), and may take some ten "
                "times as long as with dtype float32",
                torch.backends.cpu.get_cpu_capability(),
            )
        self.settings = settings
        self.cycles = cycles
        self.device = device
        self.network = network.to(device).train()
        self._average = moving_average(self.network, settings.ema_decay)
        if device.type == "cuda":  # its convolutions want channels last; files want them first
            self.network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._parameters = [p for p in self.network.parameters() if p.requires_grad]
        decay = settings.optimizer.weight_decay
        self._optimizer = torch.optim.AdamW(parameter_groups(self._parameters, decay), fused=True)
        self._scaler = torch.amp.GradScaler(device.type, enabled=settings.dtype == "float16")
        self.step = 0
        self.processes = ONE
        if settings.compile:
            for module in self.compiled():
                module.compile()  # in place: the average, made before, stays as it is

    @property
    def average(self) -> Any:
        """Moving average of the network, in evaluation mode."""
        return self._average.module

    @abstractmethod
    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Return the losses of a batch on the device: `loss`, which is learned, and its parts."""

    def parts(self, batch: Any) -> Sequence[Any]:
        """Cut a batch, a NamedTuple of tensors, into `settings.accumulate` parts, on the device."""
        cut = [tensor.to(self.device).chunk(self.settings.accumulate) for tensor in batch]
        return [type(batch)(*parts) for parts in zip(*cut, strict=True)]

    def drawn(self, part: Any) -> Any:
        """Return a part of a batch with all that its losses draw from torch's generator.

        What is drawn lies in rows like the part's own, so that processes may share it; `losses`
        takes it too. A training whose recipe is `shared` has this.
        """
        raise NotImplementedError(f"{type(self).__name__} learns in one process")

    def compiled(self) -> Sequence[nn.Module]:
        """Return the modules whose calls `settings.compile` compiles; by default the network."""
        return [self.network]

    def learn(self, batch: Any) -> dict[str, float]:
        """Do one step on a batch and return its losses.

        Raises:
            TrainingError: if the loss is not finite; the network is then as it was.
        """
        rate = learning_rate(self.step, self.cycles)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(self.settings.seed + self.step)  # a function of the step alone
        found = self._gradients(batch)
        self._scaler.unscale_(self._optimizer)
        norm = nn.utils.clip_grad_norm_(self._parameters, self.settings.optimizer.clip)
        self._check_finite(found["loss"], norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._average.update_parameters(self.network)
        self.step += 1
        return {**found, "gradient norm": float(norm), "learning rate": rate}

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on besides the configuration."""
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self._average.module.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.network.load_state_dict(state["network"])
        self._average.module.load_state_dict(state["average"])
        self._average.n_averaged.fill_(state["step"] + 1)
        self._optimizer.load_state_dict(state["optimizer"])
        self._scaler.load_state_dict(state["scaler"])
        self.step = state["step"]

    def autocast(self) -> torch.autocast:
        """Return the context in which the network computes."""
        dtype = getattr(torch, self.settings.dtype)
        return torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32)

    def _gradients(self, batch: Any) -> dict[str, float]:
        self._optimizer.zero_grad(set_to_none=True)
        parts = self.parts(batch)
        pieces = self.processes.pieces(len(parts))
        if self.processes.count > 1:  # all are drawn, in order, whoever computes them
            parts = self.processes.own([self.drawn(part) for part in parts])
        sums: dict[str, float] = {}
        for part in parts:
            found = self.losses(part)
            self._scaler.scale(found["loss"] / pieces).backward()
            for name, value in found.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) / pieces
        return self.processes.add(self._parameters, sums)

    def _check_finite(self, loss: float, norm: Tensor) -> None:
        # A scaler that is still looking for its scale makes gradients overflow, and skips the step.
        gradient = 0.0 if self._scaler.is_enabled() else float(norm)
        if not math.isfinite(loss + gradient):
            what = "gradient" if math.isfinite(loss) else "loss"
            raise TrainingError(
                f"step {self.step}: the {what} is not finite (loss {loss:g}); a lower learning "
                "rate or dtype: float32 may help; the last checkpoint is in place"
            )
