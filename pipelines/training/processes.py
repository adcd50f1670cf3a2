"""Processes of one training, as torchrun starts them: each computes its share of every batch.

All know the whole batch and all random numbers of a step; each takes its rows of them, and the
gradients are added. So a step is a function of its number and not of how many compute it, but for
the order in which numbers are added.
"""

import json
import math
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.rendezvous import rendezvous

from pipelines.training.settings import TrainingSettings
from synthgen.errors import ConfigError, TrainingError
from synthgen.errors import SynthgenError as UserError
from synthgen.foreign import first_line

Settings = TypeVar("Settings", bound=TrainingSettings)

_CPU = torch.device("cpu")

_PATIENCE = timedelta(hours=2)
"""Time for which processes wait for one that draws a sheet, writes, or does not answer."""

_POLL = 0.1
"""Seconds between two looks at what the first process has noted."""

_PREPARED, _BEGUN, _FAILED = "synthgen/prepared", "synthgen/begun", "synthgen/failed"


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those of a training; by default the only one.

    Attributes:
        number: its number [0, count).
        count: how many there are.
        device: where it computes.
        store: notes that all of them read; None where there is one.
    """

    number: int = 0
    count: int = 1
    device: torch.device = _CPU
    store: Any = None

    @property
    def first(self) -> bool:
        """True for the one that writes and says what all have to say."""
        return self.number == 0

    def own(self, parts: Sequence[Any]) -> list[Any]:
        """Take this process's share of the parts of a batch.

        Whole parts where their number allows it, else equal rows of each part.

        Args:
            parts: NamedTuples of tensors [rows, …], or of None; rows of each as `check_shares` asks
                for.
        """
        sharing = self._sharing(len(parts))
        group, place = divmod(self.number, sharing)
        each = len(parts) * sharing // self.count
        mine = parts[group * each : (group + 1) * each]
        return [_rows(part, place, sharing) for part in mine] if sharing > 1 else list(mine)

    def pieces(self, parts: int) -> int:
        """Return into how many pieces all processes together cut a batch of so many parts."""
        return parts * self._sharing(parts)

    def _sharing(self, parts: int) -> int:
        """Return how many processes share a part."""
        return self.count // math.gcd(parts, self.count)

    def add(self, parameters: Sequence[nn.Parameter], sums: dict[str, float]) -> dict[str, float]:
        """Add up the gradients of all processes, in place, and values by name, which it returns.

        Raises:
            TrainingError: if another process has ended.
        """
        if self.count == 1:
            return sums
        gradients = [each.grad for each in parameters if each.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        self._exchange(flat)
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        values = torch.tensor(list(sums.values()), dtype=torch.float64, device=self.device)
        self._exchange(values)
        return dict(zip(sums, values.tolist(), strict=True))

    def any(self, told: bool) -> bool:
        """Tell whether any process says yes.

        Raises:
            TrainingError: if another process has ended.
        """
        if self.count == 1:
            return told
        found = torch.tensor([int(told)], device=self.device)
        self._exchange(found)
        return bool(found.item())

    def _exchange(self, tensor: Tensor) -> None:
        try:
            distributed.all_reduce(tensor)
        except RuntimeError as error:
            raise TrainingError(
                f"process {self.number} of {self.count} lost the others "
                f"({first_line(error, 120)}): one of them has ended; the last checkpoint stays, "
                "and the same command continues from it"
            ) from error

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Let the first process do the block before the others: what it writes, they find.

        Raises:
            SystemExit: in the others, if it fails in the first, which says why.
        """
        if self.count > 1 and not self.first:
            if self._noted(_PREPARED) != "done":
                raise SystemExit(2)
            yield
            return
        try:
            yield
        except BaseException:
            self._note(_PREPARED, "failed")
            raise
        self._note(_PREPARED, "done")

    def placed(self, settings: Settings) -> Settings:
        """Return settings with the device that is this process's own."""
        return (
            settings
            if self.count == 1
            else settings.model_copy(update={"device": str(self.device)})
        )

    def check_sees(self, folder: Path) -> None:
        """Refuse a process that does not see the folder that the first one has made.

        Raises:
            ConfigError: if it is not there.
        """
        if not self.first and not folder.is_dir():
            raise ConfigError(
                f"process {self.number} of {self.count}, on {socket.gethostname()}, does not see "
                f"{folder}, where process 0 writes: all processes need a folder that they all see"
            )

    def check_alike(self, step: int, fingerprint: Mapping[str, Any]) -> None:
        """Refuse processes of which one would learn something else, or from another step.

        Args:
            step: step that it goes on from.
            fingerprint: what its weights are a function of.

        Raises:
            ConfigError: if it differs from the first process.
        """
        begun = json.dumps([step, fingerprint], sort_keys=True, default=str)
        if self.first:
            self._note(_BEGUN, begun)
        elif self._noted(_BEGUN) != begun:
            raise ConfigError(
                f"process {self.number} of {self.count}, on {socket.gethostname()}, is at step "
                f"{step} and finds another checkpoint, base or data than process 0: all "
                "processes need the same files and one folder that all of them see"
            )

    def _note(self, key: str, text: str) -> None:
        if self.store is not None:
            self.store.set(key, text)

    def _noted(self, key: str) -> str:
        while not self.store.check([key]):  # no blocking call: Ctrl-C comes through
            time.sleep(_POLL)
        return self.store.get(key).decode()

    def _fails_first(self) -> bool:
        try:
            return self.store.add(_FAILED, 1) == 1
        except RuntimeError:  # the notes are gone with the launcher: nobody else can speak
            return True


ONE = Processes()
"""The only process of a training."""


def started() -> tuple[int, int]:
    """Return the number of this process and how many a launcher started; (0, 1) without one."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    return (int(os.environ.get("RANK", "0")), count) if count > 1 else (0, 1)


@contextmanager
def launched() -> Iterator[Processes]:
    """Meet the processes that torchrun, or a launcher that sets the same variables, started.

    Of an error that several processes have, the first alone is said: the others end with exit
    code 2.

    Raises:
        ConfigError: if the launcher's variables are incomplete.
    """
    number, count = started()
    if count == 1:
        yield ONE
        return
    try:
        store, number, count = next(rendezvous("env://", timeout=_PATIENCE))
    except ValueError as error:
        raise ConfigError(
            f"WORLD_SIZE is {count}, but the processes cannot meet: {first_line(error)}; start "
            "them by torchrun"
        ) from error
    processes = Processes(number, count, store=store)
    try:
        yield processes
    except UserError as error:
        if not processes._fails_first():
            raise SystemExit(2) from error
        raise
    if distributed.is_initialized():
        distributed.destroy_process_group()


def joined(processes: Processes, settings: TrainingSettings) -> Processes:
    """Let processes exchange gradients, each on the device that is its own.

    Args:
        processes: those that were launched.
        settings: settings of the training.

    Raises:
        ConfigError: if the batch cannot be shared evenly, or a process has no GPU of its own.
    """
    if processes.count == 1:
        return processes
    check_shares(settings, processes.count)
    device = _own_device(settings.device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group(
        backend,
        store=processes.store,
        rank=processes.number,
        world_size=processes.count,
        timeout=_PATIENCE,
    )
    return replace(processes, device=device)


def check_shares(settings: TrainingSettings, count: int) -> None:
    """Refuse a batch of which processes would not compute equal shares.

    Raises:
        ConfigError: with what it must be a multiple of.
    """
    whole = math.lcm(settings.accumulate, count)
    if settings.batch_size % whole:
        raise ConfigError(
            f"batch_size is {settings.batch_size}; with accumulate {settings.accumulate} and "
            f"{count} processes it must be a multiple of {whole}: it counts the examples of a "
            "step in all processes together"
        )


def _own_device(name: str) -> torch.device:
    wanted = "cuda" if name == "auto" and torch.cuda.is_available() else name.replace("auto", "cpu")
    if wanted == "cpu":
        return torch.device("cpu")
    if wanted != "cuda":
        raise ConfigError(
            f"device is {name!r}; with several processes it must be auto, cpu or cuda: each takes "
            "a GPU of its own"
        )
    place, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if place >= there:
        raise ConfigError(
            f"process {place} of this machine has no GPU of its own: there are {there}; start "
            f"torchrun with --nproc-per-node {there or 1}, or set device=cpu"
        )
    return torch.device("cuda", place)


def _rows(part: Any, place: int, of: int) -> Any:
    """Return equal rows of each tensor of a NamedTuple."""
    return type(part)(*(None if each is None else each.chunk(of)[place] for each in part))
