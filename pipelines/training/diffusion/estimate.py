"""Memory and speed of a training before it begins: a step is done and followed, nothing is kept."""

import math
import time
import weakref
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pipelines.training.data.examples import examples_of
from pipelines.training.diffusion.base import FrozenBase, find_base, load_base
from pipelines.training.diffusion.latents import LatentBatch
from pipelines.training.learner import Learner
from pipelines.training.processes import Processes, check_shares, started
from pipelines.training.recipe import Recipe, Settings
from pipelines.training.settings import Cycle, TrainingSettings, pick_training_device
from pipelines.weight_files import read_model_config
from synthgen.action_units import ActionUnitSet
from synthgen.config.loading import load_section

_ADAM = 2
"""Numbers that AdamW keeps of each parameter that learns."""

_TIMED = 2
"""Steps that are timed, after one that is not."""


class LivePeak(TorchDispatchMode):
    """Follows the bytes of all tensors that are made while it is entered, on any device.

    Attributes:
        peak: the most bytes of them that there were at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._now = 0
        self._known: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for each in tree_leaves((args, kwargs)):
            self._note(each, made=False)  # what was there before counts nothing, nor views of it
        found = func(*args, **(kwargs or {}))
        for each in tree_leaves(found):
            self._note(each, made=True)
        return found

    def _note(self, value: Any, made: bool) -> None:
        if not isinstance(value, Tensor):
            return
        storage = value.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        size = self._known[key] = storage.nbytes() if made else 0
        self._now += size
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self._now -= self._known.pop(key, 0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Memory of one process and the time of a step.

    Attributes:
        frozen: bytes of weights that stay, by their formats.
        learned: parameters that learn.
        kept: bytes of parameters, gradients, AdamW's moments and the average, by their formats.
        passing: bytes of what one part's forward and backward pass made at once, measured, without
            gradients.
        seconds: time of one part's forward, backward and optimizer step, measured.
        rows: examples in that part.
    """

    frozen: int
    learned: int
    kept: int
    passing: int
    seconds: float
    rows: int

    @property
    def memory(self) -> int:
        """Bytes that a process needs besides what torch itself and its device take."""
        return self.frozen + self.kept + self.passing

    def lines(
        self,
        settings: TrainingSettings,
        cycles: Sequence[Cycle],
        count: int,
        parts: int,
        device: torch.device,
    ) -> list[str]:
        """Return the estimate of a training in words.

        Args:
            settings: settings of the training.
            cycles: its steps.
            count: its processes.
            parts: parts of a step that each process computes.
            device: where it was measured.
        """
        steps = sum(cycle.steps for cycle in cycles)
        step = parts * self.seconds
        alone, together = self.rows / self.seconds, settings.batch_size / step
        hours = steps * step / 3600
        several = f", in {count} processes {together:.3g} (reckoned: as many times)"
        return [
            f"steps: {steps:,} of {settings.batch_size}; each of {count} process(es) computes "
            f"{parts} part(s) of {self.rows}",
            f"learns: {self.learned:,} parameters",
            f"memory of a process: {_told(self.memory)} = {_told(self.frozen)} of frozen weights + "
            f"{_told(self.kept)} of weights that learn, their average, gradients and AdamW's "
            f"moments (both reckoned from shapes) + {_told(self.passing)} of activations (measured "
            f"on one part, {settings.dtype} on {device.type})",
            f"speed: {alone:.3g} images/s in one process (measured, on {device})"
            + (several if count > 1 else ""),
            f"time: {hours:.3g} h for all steps (reckoned), without latents and sheets",
        ]


def _told(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def estimate(learner: Learner, frozen: Sequence[nn.Module], batch: Any, rows: int) -> Estimate:
    """Do steps on one part of a batch and measure them.

    Args:
        learner: a learner that is thrown away afterwards; its batch is one part.
        frozen: modules beside it; what of them learns is not counted twice.
        batch: one part, of any content.
        rows: its examples.
    """
    parameters = list(learner.network.parameters())
    own = {id(each) for each in parameters}
    still = [each for one in frozen for each in one.parameters() if id(each) not in own]
    learning = [each for each in parameters if each.requires_grad]
    gradients = _bytes(learning)
    learner.learn(batch)  # the first step makes what stays
    seconds = _timed(lambda: learner.learn(batch), learner.device)
    with LivePeak() as followed:
        learner.learn(batch)
    return Estimate(
        frozen=_bytes(still),
        learned=sum(each.numel() for each in learning),
        kept=2 * _bytes(parameters) + (1 + _ADAM) * gradients,
        passing=max(followed.peak - gradients, 0),
        seconds=seconds,
        rows=rows,
    )


class MeasurableRecipe(Recipe[Settings]):
    """A training beside a base, whose steps can be measured before it begins."""

    @classmethod
    def base_dtype(cls, dtype: torch.dtype) -> torch.dtype:
        """Return the number format that the base is loaded in: that of the computation."""
        return dtype

    @classmethod
    @abstractmethod
    def trial(
        cls, config: Settings, base: FrozenBase, device: torch.device, aus: ActionUnitSet
    ) -> Learner:
        """Make a learner of the diffusion loss alone.

        Args:
            config: a training of one part a step, without a reading loss.
            base: the base, on the device.
            device: torch device.
            aus: AUs of the examples.
        """

    @classmethod
    def trial_batch(cls, batch: LatentBatch) -> Any:
        """Return a batch of its own kind, of any content, made of one of latents."""
        return batch

    @classmethod
    def uncounted(cls, config: Settings) -> list[str]:
        """Return lines about what no step shows, besides reading."""
        return []


def estimate_training(
    recipe: type[MeasurableRecipe[Any]], config_path: str | Path, overrides: Sequence[str] = ()
) -> list[str]:
    """Estimate what a training takes, from some steps on made latents; nothing is written.

    Of several processes that torchrun started the first alone estimates.

    Args:
        recipe: the training.
        config_path: its YAML file.
        overrides: `key=value`, as for `load_section`.

    Returns:
        Lines to print; each figure says whether it is measured or reckoned.

    Raises:
        SynthgenError: if the configuration, the data or the base do not serve, or the base is not
            on this machine.
    """
    number, count = started()
    if number:
        return []
    config: Any = load_section(config_path, recipe.settings, overrides)
    check_shares(config, count)
    torch.set_num_threads(config.threads)
    device, dtype = pick_training_device(config.device), getattr(torch, config.dtype)
    folder = find_base(config.base, config.revision, fetch=False)
    base = load_base(folder, device, recipe.base_dtype(dtype), config.attention)
    examples = examples_of(config.data, config.seed)
    levels = read_model_config(folder / "vae" / "config.json")["block_out_channels"]
    side = config.data.size // 2 ** (len(levels) - 1)
    shape = (int(base.unet.config["in_channels"]), side, side)
    pieces = Processes(count=count).pieces(config.accumulate)
    rows = config.batch_size // pieces
    part = config.model_copy(update={"batch_size": rows, "accumulate": 1})
    reads = getattr(config, "reading", None) is not None  # some trainings have no such key
    if reads:
        plain = config.cycles[0].model_copy(update={"painted": 0.0})
        part = part.model_copy(update={"reading": None, "cycles": (plain,)})
    learner = recipe.trial(part, base, device, examples.action_units)
    tokens = base.tokenizer([""] * rows, padding="max_length", return_tensors="pt").input_ids
    batch = LatentBatch(
        torch.zeros(rows, *shape), tokens, torch.zeros(rows, len(examples.action_units))
    )
    found = estimate(learner, (base.unet, base.text_encoder), recipe.trial_batch(batch), rows)
    lines = found.lines(config, config.cycles, count, pieces // count, device)
    wanted = examples.count if config.examples is None else config.examples
    if wanted is not None:
        size = 2 * math.prod(shape)
        lines.append(
            f"latents: {wanted:,} × {size / 1e3:.0f} kB = {wanted * size / 1e9:.2f} GB on the disk "
            "(reckoned)"
        )
    lines += recipe.uncounted(config)
    if reads:
        lines.append("the reader's loss and painted steps are not counted")
    return lines


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(each.numel() * each.element_size() for each in tensors)


def _timed(step: Callable[[], object], device: torch.device) -> float:
    """Return the shortest time of a step [s]."""
    times = []
    for _ in range(_TIMED):
        begun = time.perf_counter()
        step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begun)
    return min(times)
