"""Evaluation of a dataset by judges from outside: what was asked for, read by others' networks.

Whoever changes a model may look at these figures; no training may use them. Where a judge took part
in choosing the images, as a check of their run, the page and the figures say so.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32
from PIL.Image import Image
from pydantic import TypeAdapter

from pipelines.blendshapes.landmarker import BLENDSHAPES, FaceLandmarker
from pipelines.evaluation.gallery import files_section, write_document
from pipelines.evaluation.outside_judges import (
    DEAD,
    EMBEDDING,
    OWN_BLENDSHAPES,
    Recogniser,
    chose,
    load_landmarker,
)
from pipelines.evaluation.outside_statistics import (
    FOLDS,
    RESAMPLES,
    Estimate,
    codes_of,
    cross_validated,
    rank1,
    verification,
)
from pipelines.evaluation.statistics import pearson
from pipelines.pictures import open_picture
from synthgen.action_units import FACS, MAX_INTENSITY, MIN_INTENSITY, check_facs
from synthgen.dataset import RunRecord, layout, reached, read_markers, read_record
from synthgen.dataset.markdown import number, percent, table
from synthgen.dataset.parquet import read_columns
from synthgen.dataset.statistics import in_order_of_splits, read_statistics
from synthgen.errors import ActionUnitError, ConfigError, DatasetError, PictureError
from synthgen.foreign import first_line, regular_file, shown

_BATCH = 64

_LARGEST_FIGURES = 2**20
"""Size of a file of figures at most [bytes]."""


@dataclass(frozen=True, slots=True)
class OutsideEvaluation:
    """An evaluation; its page is a function of this and of the files that it names.

    Attributes:
        dataset: folder or URL of the dataset.
        landmarker: `face_landmarker.task`; None: expressions are not judged.
        recogniser: folder of dlib's two files; None: people are not judged.
        limit: accepted images that are judged at most: the first ones of the dataset.
        seed: of the folds and of the bootstrap.
    """

    dataset: str
    landmarker: Path | None = None
    recogniser: Path | None = None
    limit: int = 1200
    seed: int = 0

    def command(self) -> str:
        """Return the command that makes the page again, without where files lie."""
        words = [f"synthgen evaluate outside {Path(self.dataset).name}"]
        if self.landmarker is not None:
            words.append(f"--landmarker {self.landmarker.name}")
        if self.recogniser is not None:
            words.append(f"--recogniser {self.recogniser.name}")
        usual = OutsideEvaluation(self.dataset)
        if self.limit != usual.limit:
            words.append(f"--limit {self.limit}")
        if self.seed != usual.seed:
            words.append(f"--seed {self.seed}")
        return " ".join(words)


class Sample(NamedTuple):
    """An accepted row: its picture, the AUs asked for, clipped to [0, 5], and the person."""

    image: Image
    aus: Float[np.ndarray, " aus"]
    person: str


class Reading(NamedTuple):
    """Numbers that judges read in a picture; None where one finds no face, or is not asked."""

    aus: Float[np.ndarray, " aus"]
    person: str
    shapes: dict[str, float] | None
    embedding: Float32[np.ndarray, "128"] | None


@dataclass(frozen=True, slots=True)
class AUReading:
    """One AU, as blendshapes tell it; correlations are with the intensity asked for.

    Attributes:
        blendshapes: those that name its movement, of which the mean is taken.
        asked: faces in which it is asked for.
        own: correlation of its own blendshapes; NaN where it has none, or all of them are dead.
        ridge: correlation of ridge regressions of all blendshapes, across people.
    """

    blendshapes: tuple[str, ...]
    asked: int
    own: float
    ridge: float


@dataclass(frozen=True, slots=True)
class Expressions:
    """Expressions, read by FaceLandmarker.

    Attributes:
        judge: package and version.
        files: its file → sha256.
        images: images that were looked at.
        faces: those in which a face was found; the others are left out.
        aus: AU → how it is read.
        selected: whether it took part in choosing the images.
    """

    judge: str
    files: dict[str, str]
    images: int
    faces: int
    aus: dict[str, AUReading]
    selected: bool = False


@dataclass(frozen=True, slots=True)
class People:
    """People, told apart by dlib's recogniser.

    Attributes:
        judge: package and version.
        files: its files → sha256.
        images: images that were looked at.
        faces: those in which a face was found; the others are left out.
        people: identities with a face.
        auc: of telling pairs of one identity from pairs of two.
        rank1: share of images whose nearest other image shows the same identity.
        rank1_chance: the same, of a judge that guesses.
        selected: whether it took part in choosing the images.
    """

    judge: str
    files: dict[str, str]
    images: int
    faces: int
    people: int
    auc: Estimate
    rank1: Estimate
    rank1_chance: float
    selected: bool = False


@dataclass(frozen=True, slots=True)
class Outside:
    """Findings of both judges.

    Attributes:
        command: the command that finds it again.
        name: name of the dataset.
        checksum: its data's.
        images: accepted images that were judged.
        accepted: accepted images that it holds.
        seed: of the folds and of the bootstrap.
        expressions: None where they were not judged.
        people: None where they were not judged.
    """

    command: str
    name: str
    checksum: str
    images: int
    accepted: int
    seed: int
    expressions: Expressions | None
    people: People | None


def evaluate_outside(settings: OutsideEvaluation, to: str | Path) -> tuple[str, Path, Path]:
    """Judge a dataset, and write the page and, beside it, the figures as JSON.

    Args:
        settings: what is judged, and by whom.
        to: Markdown file to write; the figures go to the same name with the ending `.json`.

    Returns:
        The tables, the page, and the file of the figures.

    Raises:
        ConfigError: if there is no judge, or `to` ends in `.json`.
        WeightsError: if a judge's file is missing or of another kind.
        MissingDependencyError: if a judge's package is not installed.
        DatasetError: if there is no dataset, it is corrupt, or it has no accepted image.
        OutputError: if a file cannot be written.
    """
    page = Path(to)
    figures = page.with_suffix(".json")
    if page == figures:
        raise ConfigError(
            f"--to {page} ends in .json, as the figures do that are written beside the page; "
            "name a Markdown file"
        )
    found = judge_outside(settings)
    body = tables(found)
    write_document(figures, json.dumps(_plain(asdict(found)), indent=1) + "\n")
    write_document(page, document(found, body))
    return body, page, figures


def judge_outside(settings: OutsideEvaluation) -> Outside:
    """Judge a dataset.

    Raises:
        ConfigError, WeightsError, MissingDependencyError, DatasetError: see `evaluate_outside`.
    """
    if settings.landmarker is None and settings.recogniser is None:
        raise ConfigError(
            "no judge is given; name --landmarker FILE (face_landmarker.task), "
            "--recogniser FOLDER (dlib's files), or both"
        )
    landmarker = settings.landmarker and load_landmarker(settings.landmarker)
    recogniser = settings.recogniser and Recogniser(settings.recogniser)
    storage = reached(settings.dataset)
    record, statistics = read_record(storage), read_statistics(storage)
    read = [
        Reading(
            aus=one.aus,
            person=one.person,
            shapes=landmarker and _shapes(landmarker, one.image),
            embedding=recogniser and recogniser.read(one.image),
        )
        for one in accepted_samples(settings.dataset, settings.limit)
    ]
    if not read:
        raise DatasetError(f"{storage.url} has no accepted image; there is nothing to judge")
    return Outside(
        command=settings.command(),
        name=str(record.configuration.get("name", "")),
        checksum=statistics.checksum,
        images=len(read),
        accepted=statistics.accepted,
        seed=settings.seed,
        expressions=landmarker and _expressions(read, record, landmarker, settings.seed),
        people=recogniser and _people(read, record, recogniser, settings.seed),
    )


def read_outside(path: str | Path, checksum: str) -> Outside:
    """Read the figures of an earlier evaluation of a dataset.

    Args:
        path: JSON file that `evaluate_outside` wrote.
        checksum: that of the dataset's data, to which the figures must belong.

    Raises:
        ConfigError: if the file is missing, holds no such figures, or those of other data.
    """
    regular_file(path, "the file of figures", ConfigError, _LARGEST_FIGURES)
    try:
        figures = json.loads(Path(path).read_bytes())
        judged = {key: _with_nan(value) if value else value for key, value in figures.items()}
        found = TypeAdapter(Outside).validate_python(judged)
        for name in found.expressions.aus if found.expressions else ():
            check_facs(name)
    except (ValueError, AttributeError, RecursionError, ActionUnitError) as error:
        raise ConfigError(
            f"{path} does not hold what `synthgen evaluate outside` writes beside its page "
            f"({first_line(error)})"
        ) from error
    if found.checksum != checksum:
        raise ConfigError(
            f"{path} judges data with the checksum {shown(found.checksum)}; that of this dataset "
            f"is {checksum!r}: judge it by `synthgen evaluate outside`"
        )
    return found


def accepted_samples(url: str, most: int) -> Iterator[Sample]:
    """Yield accepted rows, and those that no check has looked at, in the order of the splits.

    Args:
        url: where the dataset lies.
        most: rows to yield at most.

    Raises:
        DatasetError: if there is no dataset, or it is corrupt.
    """
    storage = reached(url)
    columns = ["sample_id", "image", "aus", "identity_id", "accepted"]
    left = most
    for marker in in_order_of_splits(read_record(storage), read_markers(storage).values()):
        file = layout.data_file(*marker.key)
        for batch in read_columns(storage, file, columns, batch_rows=_BATCH):
            for row in batch.to_pylist():
                if left and row["accepted"] is not False:
                    yield _sample(row)
                    left -= 1
            if not left:
                return


def _sample(row: dict[str, Any]) -> Sample:
    try:
        image = open_picture(row["image"]["bytes"])
    except PictureError as error:
        raise DatasetError(f"the image of {row['sample_id']} is damaged: {error}") from error
    aus = np.clip(np.array(row["aus"], np.float64), MIN_INTENSITY, MAX_INTENSITY)
    return Sample(image, aus, row["identity_id"])


def _shapes(judge: FaceLandmarker, image: Image) -> dict[str, float] | None:
    face = judge.read(image)
    return None if face is None else dict(zip(BLENDSHAPES, face.blendshapes.tolist(), strict=True))


def _expressions(
    read: Sequence[Reading], record: RunRecord, judge: FaceLandmarker, seed: int
) -> Expressions:
    names = record.schema.aus
    seen = [one for one in read if one.shapes is not None]
    asked = np.array([one.aus for one in seen], np.float64).reshape(len(seen), len(names))
    shapes = [one.shapes for one in seen if one.shapes is not None]
    return Expressions(
        judge=f"mediapipe {judge.packages['mediapipe']}",
        files=judge.files,
        selected=chose(record, judge.files, "blendshapes"),
        images=len(read),
        faces=len(seen),
        aus=au_readings(names, asked, shapes, [one.person for one in seen], seed),
    )


def au_readings(
    names: Sequence[str],
    asked: Float[np.ndarray, "n aus"],
    shapes: Sequence[dict[str, float]],
    people: Sequence[str],
    seed: int,
) -> dict[str, AUReading]:
    """Correlate each AU with its own blendshapes, and with ridge regressions of all of them.

    Args:
        names: the AUs.
        asked: intensities asked for, 0 to 5.
        shapes: for each face, name → value of each blendshape.
        people: whom each face is to show; no regression sees the people that it predicts.
        seed: of the folds.
    """
    order = sorted(shapes[0]) if shapes else []
    columns = np.array([[face[name] for name in order] for face in shapes], np.float64)
    columns = columns.reshape(len(shapes), len(order))
    predicted = cross_validated(columns, asked, codes_of(people), seed)
    found = {}
    for place, name in enumerate(names):
        mine = tuple(shape for shape in OWN_BLENDSHAPES.get(name, ()) if shape in order)
        own = columns[:, [order.index(shape) for shape in mine]]
        alive = mine and own.max() >= DEAD
        found[name] = AUReading(
            blendshapes=mine,
            asked=int((asked[:, place] > 0).sum()),
            own=pearson(asked[:, place], own.mean(1)) if alive else math.nan,
            ridge=pearson(asked[:, place], predicted[:, place]),
        )
    return found


def _people(read: Sequence[Reading], record: RunRecord, judge: Recogniser, seed: int) -> People:
    seen = [one for one in read if one.embedding is not None]
    people = codes_of([one.person for one in seen])
    faces = np.array([one.embedding for one in seen], np.float64).reshape(len(seen), EMBEDDING)
    nearest, chance = rank1(faces, people, seed)
    return People(
        judge=judge.package,
        files=judge.files,
        selected=chose(record, judge.files),
        images=len(read),
        faces=len(seen),
        people=len(set(people.tolist())),
        auc=verification(faces, people, seed),
        rank1=nearest,
        rank1_chance=chance,
    )


def document(found: Outside, body: str) -> str:
    """Write the page.

    Args:
        found: what was found.
        body: its tables.
    """
    judges = [judge for judge in (found.expressions, found.people) if judge is not None]
    files = {name: sha256 for judge in judges for name, sha256 in judge.files.items()}
    head = (
        f"# {found.name or 'A dataset'}, judged from outside\n\n"
        f"Made by `{found.command}` from data with the checksum {found.checksum}: "
        f"{found.images} of {found.accepted} accepted images.\n\n"
        "- The judges are networks that others trained on photographs. No training uses them. "
        f"{_on_selection(found)}\n"
        "- An image in which a judge finds no face is left out of its figures, and counted.\n"
        f"- Intervals: 95 %, percentile bootstrap over people, {RESAMPLES} draws, seed "
        f"{found.seed}."
    )
    return "\n\n".join([head, body, files_section(files)]) + "\n"


def _on_selection(found: Outside) -> str:
    who = {"FaceLandmarker": found.expressions, "The recogniser": found.people}
    named = [name for name, one in who.items() if one is not None and one.selected]
    if not named:
        return "No check of this dataset used them: they judge, and selected nothing."
    return f"{' and '.join(named)} took part in choosing these images, as said below."


@dataclass(frozen=True, slots=True)
class Section:
    """Figures of a judge.

    Attributes:
        title: who judges what.
        text: how it is read, as Markdown.
        head: names of the columns.
        rows: the table.
    """

    title: str
    text: str
    head: Sequence[str]
    rows: Sequence[Sequence[object]]


def sections(found: Outside) -> list[Section]:
    """Return the figures, a section for each judge."""
    parts = []
    if found.expressions is not None:
        parts.append(_expressions_section(found.expressions))
    if found.people is not None:
        parts.append(_people_section(found.people))
    return parts


def tables(found: Outside) -> str:
    """Write the tables, a section for each judge."""
    return "\n\n".join(
        f"## {part.title}\n\n{part.text}\n\n{table(part.head, part.rows)}"
        for part in sections(found)
    )


def _expressions_section(found: Expressions) -> Section:
    rows = [
        [
            name,
            FACS[name],
            one.asked,
            ", ".join(one.blendshapes) or "–",
            number(one.own),
            number(one.ridge),
        ]
        for name, one in found.aus.items()
    ]
    return Section(
        f"Expressions, read by FaceLandmarker ({found.judge})",
        f"{_faces(found)} r is the correlation with the intensity asked for: of the mean of the "
        "AU's own blendshapes, and of a ridge regression of all of them, cross-validated in "
        f"{FOLDS} parts that share no person. A dash: nobody asked for it, there is none, or it is "
        f"dead (below {DEAD:g} in every face).",
        ["AU", "", "asked for in", "own blendshapes", "own r", "ridge r"],
        rows,
    )


def _people_section(found: People) -> Section:
    rows = [
        ["verification AUC", number(found.auc.value), _interval(found.auc, number), number(0.5)],
        [
            "rank-1",
            percent(found.rank1.value),
            _interval(found.rank1, percent),
            percent(found.rank1_chance),
        ],
    ]
    return Section(
        f"People, recognised by {found.judge}",
        f"{_faces(found)} People: {found.people}. AUC: how often two images of one `identity_id` "
        "are nearer than two of different ones; rank-1: how often an image's nearest other image "
        "shows the same one.",
        ["figure", "value", "95 %", "by chance"],
        rows,
    )


def _faces(found: Expressions | People) -> str:
    share = percent(found.faces / found.images)
    circle = (
        "**This judge took part in choosing these images, as a check of the run: the figures say "
        "how that check works, not how the images are.** "
        if found.selected
        else ""
    )
    return f"{circle}Faces found: {share} ({found.faces} of {found.images} images)."


def _interval(found: Estimate, written: Callable[[float], str]) -> str:
    return f"{written(found.low)} to {written(found.high)}"


def _plain(value: Any) -> Any:
    """Return values as JSON has them: null for NaN."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _with_nan(value: Any) -> Any:
    """Return JSON values as `_plain` was given them: NaN for null."""
    if isinstance(value, dict):
        return {key: _with_nan(one) for key, one in value.items()}
    return math.nan if value is None else value
