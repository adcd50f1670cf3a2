"""A training from its folder's checkpoint to its last step: curves, sheets, checkpoints."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL.Image import Image
from tqdm import tqdm

from pipelines.training.loop.checkpoint import load_checkpoint, save_checkpoint
from pipelines.training.loop.curves import Curves
from pipelines.training.loop.interruption import Interruption
from pipelines.training.loop.learner import Learner
from pipelines.training.loop.sameness import check_same
from synthgen.errors import OutputError

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True, slots=True)
class Session:
    """One training in its folder.

    Attributes:
        name: name of the training, such as `vae`.
        learner: what learns.
        folder: folder for checkpoints, curves and sheets.
        counts: what the weights are a function of; a checkpoint of another is refused.
        batches: first step and last step → batches between them.
        sheet: draws a sample sheet of the learner's average; None: no sheets.
    """

    name: str
    learner: Learner
    folder: Path
    counts: dict[str, Any]
    batches: Callable[[int, int], Iterable[Any]]
    sheet: Callable[[], Image] | None = None

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
            check_same(content["config"], self.counts, path, type(self.learner.settings))
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
        with Interruption() as interruption:
            for batch in self.batches(self.learner.step, last):
                found = self.learner.learn(batch)
                bar.update()
                self._show(found, curves, bar)
                every = self.learner.settings.checkpoint_every
                if (
                    self.learner.step % every == 0
                    or self.learner.step == last
                    or interruption.asked
                ):
                    self._save(curves)
                if interruption.asked:
                    raise KeyboardInterrupt

    def _show(self, found: dict[str, float], curves: Curves, bar: Any) -> None:
        step, settings = self.learner.step, self.learner.settings
        if step % settings.log_every == 0:
            bar.set_postfix(loss=f"{found['loss']:.4f}")
            curves.add(step, found)
        if step % settings.sample_every == 0 and self.sheet is not None:
            curves.show(step, self.sheet())

    def _save(self, curves: Curves) -> None:
        content = {"training": self.name, "config": self.counts, "state": self.learner.state()}
        save_checkpoint(self.folder / CHECKPOINT, content)
        curves.draw()


def training_folder(path: str | Path) -> Path:
    """Make the folder of a training.

    Raises:
        OutputError: if it cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {path}: {error.strerror}") from error
    return Path(path)
