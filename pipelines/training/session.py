"""A training session: steps, checkpoints, interruptions, continued to the bit."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
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
    """

    def __init__(self) -> None:
        self.asked = False
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
        if self.asked:
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
    """

    name: str
    learner: Learner
    folder: Path
    fingerprint: dict[str, Any]
    batches: Callable[[int, int], Iterable[Any]]
    sheet: Callable[[], Image | None] = lambda: None

    def resume(self) -> None:
        """Go on from the folder's checkpoint, if there is one.

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
            bar = tqdm(total=total, initial=learner.step, desc=self.name, unit="step")
            with bar, Curves(self.folder, learner.step) as curves:
                self._learn(last, curves, bar)
        return learner.step == total

    def _learn(self, last: int, curves: Curves, bar: Any) -> None:
        learner, settings = self.learner, self.learner.settings
        with Interruption() as interruption:
            for batch in self.batches(learner.step, last):
                found = learner.learn(batch)
                step = learner.step
                bar.update()
                if step % settings.log_every == 0:
                    bar.set_postfix(loss=f"{found['loss']:.4f}")
                    curves.add(step, found)
                if step % settings.sample_every == 0 and (sheet := self.sheet()) is not None:
                    curves.show(step, sheet)
                if step % settings.checkpoint_every == 0 or step == last or interruption.asked:
                    state = learner.state()
                    content = {"training": self.name, "config": self.fingerprint, "state": state}
                    save_checkpoint(self.folder / CHECKPOINT, content)
                    curves.draw()
                if interruption.asked:
                    raise KeyboardInterrupt


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
