"""Worth of a dataset: recognisers trained on it, tested on faces that none of them saw."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Image
from tqdm import tqdm

from pipelines.evaluation.gallery import write_document
from pipelines.recognition.examples import Face, Selection
from pipelines.recognition.labels import Targets, targets
from pipelines.recognition.lesson import FREE, FerEvaluation, Lesson, prepare
from pipelines.recognition.network import Design, build, read_logits
from pipelines.recognition.pixels import FacePixels, gather_pixels
from pipelines.recognition.report import Found, Used, document, figures, tables, write_drawing
from pipelines.recognition.scores import score_aus, score_expressions
from pipelines.recognition.training import (
    kept_outputs,
    kept_predictions,
    read_with,
    train_and_predict,
)
from pipelines.training.files import write_text_whole, writing
from pipelines.weight_files import file_sha256
from synthgen.errors import ConfigError, MissingDependencyError


def evaluate_fer(
    settings: FerEvaluation, to: str | Path, models: str | Path
) -> tuple[str, Path, Path]:
    """Train recognisers on a dataset, test them, and write page, figures and picture.

    Trainings that were done before are not done again, and one that was stopped goes on from its
    last whole epoch. In a launch of several processes the first one writes.

    Args:
        settings: what is learned and tested.
        to: Markdown file to write; the figures go to the same name with the ending `.json`, the
            picture, where matplotlib is installed, with `.png`.
        models: folder of the trainings: each has one of its own there.

    Returns:
        The tables, the page, and the file of the figures.

    Raises:
        ConfigError: if settings do not fit one another or the data.
        DatasetError: if a dataset or folder is missing, or is malformed.
        WeightsError: if the model cannot be loaded.
        TrainingError: if a loss is not finite.
        OutputError: if a file cannot be written.
    """
    page = Path(to)
    numbers = page.with_suffix(".json")
    if page.suffix in (".json", ".png"):
        raise ConfigError(
            f"--to {page} ends in {page.suffix}, as files do that are written beside the page; "
            "name a Markdown file"
        )
    found = train_fer(settings, models)
    body = tables(found)
    if is_first_process():
        write_document(numbers, json.dumps(figures(found), indent=1) + "\n")
        picture: Path | None = page.with_suffix(".png")
        try:
            write_drawing(found, page.with_suffix(".png"))
        except MissingDependencyError as error:
            tqdm.write(f"no picture is drawn: {error}")
            picture = None
        write_document(page, document(found, body, picture))
    return body, page, numbers


def train_fer(settings: FerEvaluation, models: str | Path) -> Found:
    """Train recognisers on a dataset and test them.

    Raises:
        ConfigError, DatasetError, WeightsError, TrainingError, OutputError: see `evaluate_fer`.
    """
    trained = train_recognisers(settings, models)
    lesson = trained.lesson
    shown, told = trained.shown(), trained.probabilities(trained.logits)
    intensities = [read_logits(one, lesson.vocabulary)[1] for one in trained.logits]
    people = trained.people()
    names = lesson.vocabulary
    return Found(
        command=settings.command(),
        used=_used(settings, lesson),
        model=_model_said(lesson.design),
        recipe={name: value for name, value in asdict(lesson.recipe).items() if name not in FREE},
        seeds=trained.seeds,
        bootstrap_seed=settings.seed,
        shared_people=_shared_people(lesson),
        expressions=score_expressions(shown, told, names.categories, people, settings.seed),
        aus=score_aus(lesson.answers.aus, np.stack(intensities), names.aus, people, settings.seed),
        versions={name: version(name) for name in ("torch", "transformers")},
    )


@dataclass(frozen=True, slots=True, eq=False)
class Recognisers:
    """Trained recognisers, a seed each, and what they tell of the test.

    Attributes:
        lesson: what they learned and were tested on.
        seeds: their seeds.
        folder: the folder of the trainings.
        logits: outputs for each tested picture, a seed each.
    """

    lesson: Lesson
    seeds: tuple[int, ...]
    folder: Path
    logits: Float[np.ndarray, "S n outputs"]

    def people(self) -> list[str]:
        """Return whom each tested picture shows; its own name where nobody says."""
        return people_of(self.lesson.tested)

    def shown(self) -> list[str | None]:
        """Return the category of each tested picture; None where it has none."""
        names = self.lesson.vocabulary.categories
        rows = self.lesson.answers.categories
        return [names[row.argmax()] if row.any() else None for row in rows]

    def probabilities(self, logits: Float[np.ndarray, "S n outputs"]) -> Float[np.ndarray, "S n C"]:
        """Return the probabilities of the categories."""
        return np.stack([read_logits(one, self.lesson.vocabulary)[0] for one in logits])

    def read(self, selection: Selection) -> Float[np.ndarray, "S n outputs"]:
        """Read further pictures with the networks; what was read before is not read again.

        Raises:
            DatasetError: if a picture is damaged.
            OutputError: if a file cannot be written.
        """
        data = sha256(json.dumps(_data(selection)).encode()).hexdigest()[:12]
        files = [self.folder / f"seed-{seed}" / f"read-{data}.npy" for seed in self.seeds]
        kept = [kept_outputs(file, len(selection.places)) for file in files]
        if any(one is None for one in kept):
            design = self.lesson.design
            pixels = gather_pixels(_pictures(selection), design.side, self.folder)
            unseen = FacePixels(pixels, design.mean, design.deviation)
            kept = [read_with(file, unseen, self.lesson.recipe) for file in files]
        return np.stack([one for one in kept if one is not None])


def people_of(selection: Selection) -> list[str]:
    """Return whom each picture shows; its own name where nobody says."""
    return [face.person or face.name for face in selection.faces()]


def train_recognisers(
    settings: FerEvaluation, models: str | Path, tested: Callable[[Face], bool] | None = None
) -> Recognisers:
    """Train recognisers, or find those that were trained before.

    Args:
        settings: what is learned and tested.
        models: folder of the trainings: each has one of its own there.
        tested: whether a picture of the test is tested on; None: each is.

    Raises:
        ConfigError, DatasetError, WeightsError, TrainingError, OutputError: see `evaluate_fer`.
    """
    lesson = prepare(settings, tested)
    folder = Path(models) / _digest(settings, lesson)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if is_first_process():
        note = json.dumps(_made_of(settings, lesson), indent=1)
        write_text_whole(folder / "made_of.json", note + "\n")
    seeds = tuple(range(settings.seed, settings.seed + settings.seeds))
    return Recognisers(lesson, seeds, folder, np.stack(_logits(lesson, settings, seeds, folder)))


def is_first_process() -> bool:
    """Return whether this process is the one that writes, of those that were launched together."""
    return int(os.environ.get("RANK", "0")) == 0


def _logits(
    lesson: Lesson, settings: FerEvaluation, seeds: Sequence[int], folder: Path
) -> list[Float[np.ndarray, "n outputs"]]:
    rows = len(lesson.tested.places)
    kept = {seed: kept_predictions(folder / f"seed-{seed}", rows) for seed in seeds}
    if all(one is not None for one in kept.values()):
        return [one for one in kept.values() if one is not None]
    side = lesson.design.side
    parts = [gather_pixels(_pictures(one), side, folder) for one in lesson.learned]
    pixels = parts[0] if len(parts) == 1 else np.concatenate(parts)
    unseen = gather_pixels(_pictures(lesson.tested), side, folder)
    labels = [targets(one, lesson.vocabulary, settings.labels) for one in lesson.learned]
    joined = Targets(
        np.concatenate([one.categories for one in labels]),
        np.concatenate([one.aus for one in labels]),
    )
    normal = (lesson.design.mean, lesson.design.deviation)
    found = []
    for seed in seeds:
        logits = kept[seed]
        if logits is None:
            logits = train_and_predict(
                build(lesson.design, lesson.vocabulary, seed),
                FacePixels(pixels, *normal, joined, seed),
                FacePixels(unseen, *normal),
                len(lesson.vocabulary.categories),
                lesson.recipe,
                seed,
                folder / f"seed-{seed}",
            )
        found.append(logits)
    return found


def _pictures(selection: Selection) -> Iterator[Image]:
    yield from tqdm(
        selection.source.pictures(selection.places),
        desc=f"read {selection.source.name}",
        total=len(selection.places),
        unit="picture",
        disable=not is_first_process(),
    )


def _made_of(settings: FerEvaluation, lesson: Lesson) -> dict[str, Any]:
    recipe = {n: v for n, v in asdict(lesson.recipe).items() if n not in FREE}
    on_gpu = torch.cuda.is_available() and lesson.recipe.device != "cpu"
    weights = sorted(lesson.design.folder.glob("*.safetensors")) if lesson.design.folder else []
    return {
        "learned": [_data(one) for one in lesson.learned],
        "tested": _data(lesson.tested),
        "labels": settings.labels,
        "outputs": [*lesson.vocabulary.categories, *lesson.vocabulary.aus],
        "model": settings.model if not weights else [file_sha256(path) for path in weights],
        "side": lesson.design.side,
        "recipe": recipe,
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "versions": {name: version(name) for name in ("torch", "transformers")},
    }


def _data(selection: Selection) -> list[str]:
    places = sha256(np.array(selection.places, "<i8").tobytes()).hexdigest()
    return [selection.source.checksum, places[:16]]


def _digest(settings: FerEvaluation, lesson: Lesson) -> str:
    return sha256(json.dumps(_made_of(settings, lesson)).encode()).hexdigest()[:12]


def _model_said(design: Design) -> str:
    what = {"resnet": "A small ResNet, made anew", "vit": "A small ViT, made anew"}
    commit = f" at {design.revision}" if design.revision else ""
    name = what.get(design.model, f"`{Path(design.model).name}`{commit}, fine-tuned")
    return f"{name}; pictures of {design.side}×{design.side}"


def _shared_people(lesson: Lesson) -> int:
    learned = {f.person for one in lesson.learned for f in one.faces() if f.person}
    return len(learned & {face.person for face in lesson.tested.faces()})


def _used(settings: FerEvaluation, lesson: Lesson) -> tuple[Used, ...]:
    parts = [*((one, "learned") for one in lesson.learned), (lesson.tested, "tested")]
    found = []
    for (selection, use), left_out in zip(parts, lesson.left_out, strict=True):
        faces = selection.faces()
        labels = settings.labels if use == "learned" else settings.test_labels
        found.append(
            Used(
                use=use,
                name=selection.source.name,
                kind=selection.source.kind,
                split=selection.split,
                labels=labels if selection.source.aus else "its own",
                pictures=len(faces),
                people=len({face.person for face in faces if face.person}),
                categories=dict(Counter(face.category for face in faces if face.category)),
                left_out=left_out,
                checksum=selection.source.checksum,
            )
        )
    return tuple(found)
