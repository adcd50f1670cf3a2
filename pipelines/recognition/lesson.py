"""Lesson of recognisers: what is learned of which faces, by which network, tested on which."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from pipelines.recognition.examples import (
    TRAIN,
    UNSPLIT,
    Face,
    FaceSource,
    Selection,
    select,
    test_preference,
)
from pipelines.recognition.folders import PictureFolder
from pipelines.recognition.labels import Targets, Vocabulary, targets
from pipelines.recognition.network import Design, design
from pipelines.recognition.synthetic import SyntheticFaces
from pipelines.recognition.training import Recipe
from synthgen.choices import FaceLabels
from synthgen.errors import ConfigError, DatasetError
from synthgen.foreign import excerpt

FREE = ("device", "workers")
"""Settings of learning that weights are not a function of; the kind of device is told apart."""

_NEW, _FINE_TUNED = (30, 1e-3), (10, 5e-5)
"""Epochs and learning rate of a network that is made anew, and of one with weights."""


@dataclass(frozen=True, slots=True)
class FerEvaluation:
    """A training and its test; the figures are a function of this and of what it names.

    Attributes:
        dataset: folder or URL of the dataset to learn from, or a folder of others' pictures.
        test: likewise, to test on.
        mixed: further ones to learn from.
        labels: what is learned of synthgen datasets.
        test_labels: what counts as true in a synthgen dataset.
        split: split to learn from.
        test_split: split to test on; None: `test`, else `validation`, else all there is.
        limit: pictures of the dataset at most, drawn by the seed; None: all.
        mixed_limit: the same of each further one.
        model: `resnet`, `vit`, or the folder or Hub id of an image classifier.
        revision: branch, tag or commit on the Hub.
        size: pixels of a side; None: what the model takes.
        epochs: None: 30 for a new network, 10 for one with weights.
        learning_rate: None: 1e-3 for a new network, 5e-5 for one with weights.
        recipe: the other settings of learning.
        seed: seed of the first training, of the draws and of the intervals.
        seeds: number of trainings; their seeds follow one another.
    """

    dataset: str
    test: str
    mixed: tuple[str, ...] = ()
    labels: FaceLabels = "requested"
    test_labels: Literal["requested", "measured"] = "requested"
    split: str = TRAIN
    test_split: str | None = None
    limit: int | None = None
    mixed_limit: int | None = None
    model: str = "resnet"
    revision: str | None = None
    size: int | None = None
    epochs: int | None = None
    learning_rate: float | None = None
    recipe: Recipe = Recipe()  # noqa: RUF009 - it is frozen
    seed: int = 0
    seeds: int = 1

    def command(self) -> str:
        """Return the command that finds the same figures, without where things lie."""
        words = ["synthgen evaluate fer", Path(self.dataset).name, f"--test {Path(self.test).name}"]
        words += [f"--mix {Path(place).name}" for place in self.mixed]
        usual = FerEvaluation(self.dataset, self.test)
        for name, option in _OPTIONS.items():
            if (value := getattr(self, name)) != getattr(usual, name):
                words.append(f"{option} {value}")
        for name, value in asdict(self.recipe).items():
            if name not in FREE and value != getattr(usual.recipe, name):
                words.append(f"--{name.replace('_', '-')} {value}")
        return " ".join(words)


_OPTIONS = {
    "labels": "--labels",
    "test_labels": "--test-labels",
    "split": "--split",
    "test_split": "--test-split",
    "limit": "--limit",
    "mixed_limit": "--mix-limit",
    "model": "--model",
    "revision": "--revision",
    "size": "--size",
    "epochs": "--epochs",
    "learning_rate": "--learning-rate",
    "seed": "--seed",
    "seeds": "--seeds",
}


@dataclass(frozen=True, slots=True)
class Lesson:
    """Everything that trainings of some seeds share.

    Attributes:
        learned: faces to learn from, by source.
        tested: faces to test on.
        vocabulary: what is told of a face.
        answers: what is true of the tested ones.
        recipe: how it is learned, complete.
        design: the network.
        left_out: of each selection and of the test, reason → pictures.
    """

    learned: tuple[Selection, ...]
    tested: Selection
    vocabulary: Vocabulary
    answers: Targets
    recipe: Recipe
    design: Design
    left_out: tuple[dict[str, int], ...]


def prepare(settings: FerEvaluation, tested_on: Callable[[Face], bool] | None = None) -> Lesson:
    """Read labels and look the network up; nothing is trained and no picture is read.

    Args:
        settings: what is learned and tested.
        tested_on: whether a picture of the test is tested on; None: each is.

    Raises:
        ConfigError, DatasetError, WeightsError: see `evaluate_fer`.
    """
    places = [settings.dataset, *settings.mixed]
    learned = tuple(
        _selected(open_source(place), settings.split).limited(
            settings.mixed_limit if number else settings.limit, settings.seed
        )
        for number, place in enumerate(places)
    )
    source = open_source(settings.test)
    wanted = (settings.test_split,) if settings.test_split else test_preference(source)
    tested = select(source, wanted, "--test-split")
    if tested_on is not None:
        tested = tested.only([tested_on(face) for face in tested.faces()])
    _refuse_learned(settings, places, learned, tested)
    vocabulary = Vocabulary.of(learned, settings.recipe.au_weight > 0)
    found, left_out = [], []
    for selection in learned:
        said = targets(selection, vocabulary, settings.labels).said()
        found.append(selection.only(said.tolist()))
        left_out.append(_omitted(selection, said, "without a label"))
        if not found[-1].places:
            raise DatasetError(f"{selection.source.name} has no face with a label to learn")
    answers = targets(tested, vocabulary, settings.test_labels)
    said = answers.said()
    left_out.append(_omitted(tested, said, "of no category that was learned"))
    if not said.any():
        raise DatasetError(
            f"{source.name} has no face of what is learned "
            f"({', '.join((*vocabulary.categories, *vocabulary.aus))}); nothing can be tested"
        )
    found_design = design(settings.model, settings.size, settings.revision)
    epochs, rate = _NEW if found_design.folder is None else _FINE_TUNED
    recipe = replace(
        settings.recipe,
        epochs=epochs if settings.epochs is None else settings.epochs,
        learning_rate=rate if settings.learning_rate is None else settings.learning_rate,
    )
    return Lesson(
        learned=tuple(found),
        tested=tested.only(said.tolist()),
        vocabulary=vocabulary,
        answers=Targets(answers.categories[said], answers.aus[said]),
        recipe=recipe,
        design=found_design,
        left_out=tuple(left_out),
    )


def open_source(place: str) -> FaceSource:
    """Look at a synthgen dataset, by folder or URL, or at a folder or file of others' pictures.

    Raises:
        DatasetError: if there is nothing, or nothing that is known.
    """
    path = Path(place).expanduser()
    if "://" in place or (path / ".synthgen").is_dir():
        return SyntheticFaces(place)
    if not path.exists():
        raise DatasetError(f"there is no dataset or folder {excerpt(place)}")
    return PictureFolder(path)


def _selected(source: FaceSource, split: str) -> Selection:
    one = len({face.split for face in source.faces}) == 1
    return select(source, (split, *((UNSPLIT,) if one else ())), "--split")


def _refuse_learned(
    settings: FerEvaluation, places: Sequence[str], learned: Sequence[Selection], tested: Selection
) -> None:
    for place, selection in zip(places, learned, strict=True):
        same = os.path.realpath(place) == os.path.realpath(settings.test)
        if same and set(selection.places) & set(tested.places):
            raise ConfigError(
                f"{selection.source.name} would be tested on pictures that are learned (split "
                f"{tested.split}); choose another --test or --test-split"
            )


def _omitted(selection: Selection, said: np.ndarray, reason: str) -> dict[str, int]:
    missing = int((~said).sum())
    return {**selection.source.left_out, **({reason: missing} if missing else {})}
