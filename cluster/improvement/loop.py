"""The loop: rounds of training, looking, asking, making, each found again after a stop."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from cluster.driver import ExecutorName, generate
from cluster.improvement.aim import Aim, aim_at, check_can_aim, with_aim
from cluster.improvement.exams import Exams, summary_of
from cluster.improvement.ledger import CONTROL, IMPROVED, Ledger
from cluster.improvement.purposes import count_purposes, write_purposes
from pipelines.recognition.confusions import Confusions, find_confusions
from pipelines.recognition.evaluate import Recognisers, people_of, train_recognisers
from pipelines.recognition.examples import Selection
from pipelines.recognition.gain import gain_of
from pipelines.recognition.labels import one_hot
from pipelines.recognition.lesson import FREE, FerEvaluation
from pipelines.recognition.scores import score_expressions
from pipelines.training.files import write_text_whole, writing
from samplers.plan import build_plan
from samplers.priors import build_prior
from samplers.randomness import derive_seed
from synthgen.config import RunConfig, dump_config, load_config
from synthgen.dataset import Storage
from synthgen.errors import ConfigError, OutputError
from synthgen.foreign import counted

Say = Callable[[str], None]

_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Improvement:
    """A loop; what it makes is a function of this and of what it names.

    Attributes:
        config: configuration of the first dataset, and of the prior that the control keeps.
        training: how recognisers learn and what they are tested on; its `dataset` is not used, its
            `mixed` is learned in each round too.
        rounds: rounds after the first dataset, at most.
        samples: samples of a round.
        focus: part of a round that goes where confusions are (0, 1].
        patience: rounds in a row without a gain that end the loop.
        control: whether as many images of the unchanged prior are made and learned beside.
        holdout: dataset, folder or share of the test's people that nothing is chosen by.
        holdout_split: split of the holdout.
    """

    config: RunConfig
    training: FerEvaluation
    rounds: int = 3
    samples: int = 1
    focus: float = 0.5
    patience: int = 1
    control: bool = False
    holdout: str | None = None
    holdout_split: str | None = None

    def made_of(self) -> dict[str, Any]:
        """Return what a loop that goes on must have begun with; `rounds` may be raised."""
        training = asdict(self.training)
        recipe = {k: v for k, v in training.pop("recipe").items() if k not in FREE}
        own = {k: getattr(self, k) for k in ("samples", "focus", "patience", "control")}
        asked = {"holdout": self.holdout, "holdout_split": self.holdout_split}
        del training["dataset"]
        training["mixed"] = list(training["mixed"])
        return {
            "configuration": self.config.identity(),
            "first_samples": self.config.samples,
            **own,
            **asked,
            "training": training,
            "recipe": recipe,
        }

    def open_exams(self) -> Exams:
        """Look at the test and the holdout.

        Raises:
            ConfigError, DatasetError: see `Exams.open`.
        """
        return Exams.open(
            self.training.test,
            self.training.test_split,
            self.holdout,
            self.holdout_split,
            build_prior(self.config.expressions).categories,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """Recognisers of a round and arm, and which pictures of the test they call right."""

    trained: Recognisers
    right: Bool[np.ndarray, "S n"]
    people: list[str]


def improve(
    settings: Improvement, to: Path, executor: ExecutorName = "ray", say: Say = lambda _: None
) -> Ledger:
    """Run a loop, or go on with one; the ledger is written after each step.

    Args:
        settings: the loop.
        to: its folder: configurations, datasets, trainings, ledger.
        executor: `ray`, or `inline` for this process.
        say: takes a line for each step.

    Raises:
        ConfigError: if the configuration cannot ask for what is confused, the options do not fit,
            or the folder holds another loop.
        DatasetError, WeightsError, OutputError, TrainingError, RunError: as `generate` and
            `train_recognisers`.
    """
    check_can_aim(settings.config)
    exams = settings.open_exams()
    ledger = Ledger.open(to, settings.made_of())
    ledger.data["test"] = summary_of(exams.test)
    ledger.data["holdout"] = None if exams.holdout is None else summary_of(exams.holdout)
    return _Loop(settings, to, exams, ledger, executor, say).run()


class _Loop:
    def __init__(
        self,
        settings: Improvement,
        to: Path,
        exams: Exams,
        ledger: Ledger,
        executor: ExecutorName,
        say: Say,
    ) -> None:
        self._settings, self._to, self._exams = settings, to, exams
        self._ledger, self._say = ledger, say
        self._executor: ExecutorName = executor
        self._first = settings.config.output.path
        self._seed = settings.training.seed

    def run(self) -> Ledger:
        """Go through the rounds; what was done before is found again."""
        self._ledger.end(None)
        best = last = self._first_round()
        vain = 0
        for number in range(1, self._settings.rounds + 1):
            aim = self._aim(number, last)
            if aim is None:
                return self._end(
                    f"before round {number}: the test shows nothing confused of which it has "
                    "enough pictures"
                )
            last, vain, best = self._round(number, aim, best, vain)
            if vain >= self._settings.patience:
                return self._end(
                    f"after round {number}: {counted(vain, 'round')} in a row without a gain that "
                    "shows"
                )
        return self._end(f"after round {self._settings.rounds}: all rounds are done")

    def _first_round(self) -> _Judged:
        self._make(0, IMPROVED, self._settings.config, None)
        judged = self._learn(0, IMPROVED)
        self._ledger.save()
        return judged

    def _round(
        self, number: int, aim: Aim, best: _Judged, vain: int
    ) -> tuple[_Judged, int, _Judged]:
        config = self._written(number, IMPROVED, aim)
        self._make(number, IMPROVED, config, aim)
        if self._settings.control:
            self._make(number, CONTROL, self._written(number, CONTROL, Aim(())), None)
        judged = self._learn(number, IMPROVED)
        gain = gain_of(judged.right, best.right, judged.people, self._seed)
        entry = self._ledger.round(number)
        entry["gain"] = {**asdict(gain), "shown": gain.shown}
        if self._settings.control:
            control = self._learn(number, CONTROL)
            over = gain_of(judged.right, control.right, judged.people, self._seed)
            entry["over_control"] = asdict(over)
            entry["holdout_over_control"] = self._held_gain(judged, control)
        self._ledger.save()
        self._say(f"round {number}: gain {100 * gain.value:+.1f} points "
                  f"({100 * gain.low:+.1f} to {100 * gain.high:+.1f})")  # fmt: skip
        better = judged.right.mean() > best.right.mean()
        return judged, 0 if gain.shown else vain + 1, judged if better else best

    def _end(self, why: str) -> Ledger:
        self._ledger.end(why)
        return self._ledger

    def _aim(self, number: int, last: _Judged) -> Aim | None:
        """Return what a round asks for, as the ledger has it or by what is confused now."""
        entry = self._ledger.round(number - 1)
        confusions = self._confusions(last)
        entry["confusions"] = asdict(confusions)
        asked = self._ledger.find(number)
        if asked is not None and asked.get("aim"):
            return Aim.read(asked["aim"])
        aim = aim_at(confusions, self._settings.config, self._settings.focus)
        if aim is not None:
            self._ledger.round(number)["aim"] = asdict(aim)
        self._ledger.save()
        return aim

    def _confusions(self, judged: _Judged) -> Confusions:
        trained = judged.trained
        tested = trained.lesson.tested
        return find_confusions(
            tested.faces(),
            trained.shown(),
            trained.probabilities(trained.logits),
            trained.lesson.vocabulary.categories,
            tested.source.aus,
            self._seed,
        )

    def _written(self, number: int, arm: str, aim: Aim) -> RunConfig:
        """Write the configuration of a round, or find the same one again, and read it."""
        config = self._settings.config
        folder = self._folder(number, arm)
        own = with_aim(
            config,
            aim,
            name=f"{config.name[:_LONGEST_NAME]}-{arm}-{number}",
            seed=derive_seed(config.seed, "improve/seed", number),
            samples=self._settings.samples,
            output={"path": (folder / "data").as_posix()},
        )
        path, text = folder / "config.yaml", dump_config(own)
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise OutputError(
                f"{path} is not what the ledger says; put it back or delete it, or take another "
                "--to"
            )
        with writing(path):
            folder.mkdir(parents=True, exist_ok=True)
            write_text_whole(path, text)
        build_plan(own)
        return load_config(path)

    def _folder(self, number: int, arm: str) -> Path:
        return self._to / f"{'round' if arm == IMPROVED else arm}-{number}"

    def _make(self, number: int, arm: str, config: RunConfig, aim: Aim | None) -> None:
        entry = self._ledger.arm(number, arm)
        if entry.get("made") and Storage(config.output.path).exists(".synthgen/run.json"):
            return
        what = "the first dataset" if number == 0 else f"{arm} {number}"
        self._say(f"{what}: {counted(config.samples, 'sample')} to {config.output.path}")
        made = generate(config, self._executor)
        entry.update(
            dataset=config.output.path,
            configuration=None if number == 0 else f"{self._folder(number, arm).name}/config.yaml",
            samples=made.rows,
            images=made.attempts,
            accepted=made.accepted,
        )
        if aim is not None:
            entry["purposes"] = count_purposes(config, aim)
            write_purposes(config, aim, self._folder(number, arm) / "images.csv")
        entry["made"] = True
        self._ledger.save()

    def _learn(self, number: int, arm: str) -> _Judged:
        """Train on all that an arm has so far, and write what its recognisers get right."""
        further = [
            (self._folder(n, arm) / "data").as_posix() for n in range(1, number + 1)
        ]  # fmt: skip
        settings = self._settings.training
        asked = replace(settings, dataset=self._first, mixed=(*further, *settings.mixed))
        self._say(f"{arm} {number}: {counted(settings.seeds, 'training')}")
        trained = train_recognisers(asked, self._to / "models", self._exams.tested())
        self._exams.refuse_learned(trained.lesson.learned)
        shown, told = trained.shown(), trained.probabilities(trained.logits)
        entry = self._ledger.arm(number, arm)
        entry["learned"] = sum(len(one.places) for one in trained.lesson.learned)
        entry["test"] = self._scores(trained, shown, told, trained.people())
        if (held := self._exams.holdout) is not None:
            told_held = trained.probabilities(trained.read(held))
            entry["holdout"] = self._scores(trained, _categories(held), told_held, people_of(held))
        self._ledger.save()
        right, people = _right(trained, shown, told, trained.people())
        return _Judged(trained, right, people)

    def _scores(
        self,
        trained: Recognisers,
        shown: Sequence[str | None],
        told: Float[np.ndarray, "S n C"],
        people: Sequence[str],
    ) -> dict[str, Any]:
        categories = trained.lesson.vocabulary.categories
        found = score_expressions(shown, told, categories, people, self._seed)
        if found is None:
            raise ConfigError(
                "the pictures of the test show none of the categories that were learned: "
                f"{', '.join(categories)}"
            )
        return {
            "pictures": found.pictures,
            "accuracy": {**asdict(found.accuracy), "spread": _finite(found.accuracy.spread)},
            "macro_f1": asdict(found.macro_f1),
            "recall": {name: c.recall.estimate.value for name, c in found.categories.items()},
        }

    def _held_gain(self, judged: _Judged, control: _Judged) -> dict[str, Any] | None:
        held = self._exams.holdout
        if held is None:
            return None
        shown, people = _categories(held), people_of(held)
        sides = [
            _right(one.trained, shown, one.trained.probabilities(one.trained.read(held)), people)
            for one in (judged, control)
        ]
        return asdict(gain_of(sides[0][0], sides[1][0], sides[0][1], self._seed))


def _categories(selection: Selection) -> list[str | None]:
    return [face.category for face in selection.faces()]


def _right(
    trained: Recognisers,
    shown: Sequence[str | None],
    told: Float[np.ndarray, "S n C"],
    people: Sequence[str],
) -> tuple[Bool[np.ndarray, "S m"], list[str]]:
    """Return what is called right, of the pictures with a category that was learned."""
    truth = one_hot(shown, trained.lesson.vocabulary.categories)
    kept = truth.any(1)
    right = told[:, kept].argmax(2) == truth[kept].argmax(1)
    return right, [person for person, keep in zip(people, kept, strict=True) if keep]


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
