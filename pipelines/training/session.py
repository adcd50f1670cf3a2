"""A training session: steps, checkpoints, interruptions, continued to the bit."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from PIL.Image import Image
from tqdm import tqdm

from pipelines.checkpoints import read_pickled_tensors
from pipelines.training.curves import Curves
from pipelines.training.files import write_whole
from pipelines.training.learner import Learner
from pipelines.training.processes import ONE, Processes
from pipelines.training.provenance import check_same
from synthgen import termination
from synthgen.errors import OutputError, WeightsError


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint so that a crash leaves the old one or the new one, never half of one.

    Raises:
        OutputError: if it cannot be written, as on a full disk; the old one stays.
    """
    with write_whole(path) as partial, partial.open("wb") as file:
        torch.save(content, file)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint: tensors and plain values alone, no code.

    Raises:
        WeightsError: if the file is not a checkpoint.
    """
    content = read_pickled_tensors(path)
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds {type(content).__name__}; a checkpoint holds a dict")
    return content


class Interruption:
    """While it is entered, the first Ctrl-C or SIGTERM is only noted; a second one raises at once.

    Outside of the main thread, where Python has no signals, it notes nothing.

    Args:
        passed_on: whether a launcher passes each signal on, so that a second one says nothing new.
    """

    def __init__(self, passed_on: bool = False) -> None:
        self.asked = False
        self._passed_on = passed_on
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            termination.note()
        if self.asked and not self._passed_on:
            raise KeyboardInterrupt
        self.asked = True


CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True, slots=True)
class Session:
    """One training in its folder.

    Attributes:
        name: name of the training, such as `vae`.
        learner: what learns.
        folder: folder for checkpoints, curves and sheets.
        fingerprint: everything that the weights are a function of; a checkpoint of another is
            refused.
        batches: first step and last step → batches between them.
        sheet: draws a sample sheet of the learner's average, if there are sheets.
        processes: those that share the training; the first of them writes.
    """

    name: str
    learner: Learner
    folder: Path
    fingerprint: dict[str, Any]
    batches: Callable[[int, int], Iterable[Any]]
    sheet: Callable[[], Image | None] = lambda: None
    processes: Processes = ONE

    def resume(self) -> None:
        """Go on from the folder's checkpoint, if there is one.

        Another number of processes than it was written by goes on, and is told: batches and noise
        are the same, but gradients are added in another order.

        Raises:
            OutputError: if it is of another training.
            WeightsError: if it cannot be read.
        """
        path = self.folder / CHECKPOINT
        if path.exists():
            content = load_checkpoint(path)
            if (name := content.get("training", self.name)) != self.name:
                raise OutputError(
                    f"{path} is of a training of {name}, not of {self.name}; "
                    "train into another folder"
                )
            check_same(content["config"], self.fingerprint, path, type(self.learner.settings))
            self.learner.restore(content["state"])
            before, now = content.get("processes", 1), self.processes.count
            if before != now and self.processes.first:
                tqdm.write(
                    f"{path} was written by {before} process(es), now there are {now}: batches and "
                    "noise stay what they are, but gradients are added in another order, so the "
                    "curve may differ in its last digits"
                )
        self.processes.check_alike(self.learner.step, self.fingerprint)

    def train(self, stop_at: int | None = None) -> bool:
        """Learn to the last step, or to `stop_at`; tell whether the last step is done.

        Raises:
            TrainingError: if the loss is not finite.
            OutputError: if a checkpoint, a curve or a sheet cannot be written.
            KeyboardInterrupt: at Ctrl-C, when the step is done and a checkpoint is written.
        """
        learner = self.learner
        total = sum(cycle.steps for cycle in learner.cycles)
        last = total if stop_at is None else min(stop_at, total)
        if learner.step < last:
            first = self.processes.first
            bar = tqdm(
                total=total, initial=learner.step, desc=self.name, unit="step", disable=not first
            )
            with bar, Curves(self.folder, learner.step) if first else nullcontext() as curves:
                self._learn(last, curves, bar)
        return learner.step == total

    def _learn(self, last: int, curves: Curves | None, bar: Any) -> None:
        learner, processes = self.learner, self.processes
        with Interruption(passed_on=processes.count > 1) as interruption:
            for batch in self.batches(learner.step, last):
                found = learner.learn(batch)
                bar.update()
                if curves is not None:
                    self._show(found, curves, bar)
                asked = processes.any(interruption.asked)  # all end after the same step
                due = learner.step % learner.settings.checkpoint_every == 0 or learner.step == last
                if curves is not None and (due or asked):
                    self._save()
                    curves.draw()
                if asked and processes.any(asked):  # when all is written: torchrun kills the rest
                    raise KeyboardInterrupt
            if processes.any(interruption.asked):  # while the last checkpoint was written
                raise KeyboardInterrupt

    def _show(self, found: dict[str, float], curves: Curves, bar: Any) -> None:
        settings, step = self.learner.settings, self.learner.step
        if step % settings.log_every == 0:
            bar.set_postfix(loss=f"{found['loss']:.4f}")
            curves.add(step, found)
        if step % settings.sample_every == 0 and (sheet := self.sheet()) is not None:
            curves.show(step, sheet)

    def _save(self) -> None:
        content = {
            "training": self.name,
            "config": self.fingerprint,
            "state": self.learner.state(),
            "processes": self.processes.count,
        }
        save_checkpoint(self.folder / CHECKPOINT, content)


@contextmanager
def training_folder(path: str | Path) -> Iterator[Path]:
    """Make the folder of a training; one that a refused training leaves empty goes again.

    Raises:
        OutputError: if it cannot be made.
    """
    folder = Path(path)
    made = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _remove_empty(made)
        raise OutputError(f"cannot make the folder {path}: {error.strerror}") from error
    try:
        yield folder
    except BaseException:
        _remove_empty(made)
        raise


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders, the innermost first, until one is not empty."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()
