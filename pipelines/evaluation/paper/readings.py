"""Readings of the datasets of a protocol: what judges measure, kept shard by shard.

Measurements lie beside the datasets, a file for each shard and judge, named by a hash of the
shard's data and of the judge: a stopped evaluation goes on from them, and a further judge measures
what is there.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from PIL.Image import Image
from tqdm import tqdm

from pipelines.blendshapes.fitted_map import load_map
from pipelines.blendshapes.landmarker import FaceLandmarker
from pipelines.evaluation.judges import AUJudge, ImageEmbedder
from pipelines.evaluation.paper.prompts import PaperPrompt
from pipelines.evaluation.paper.runs import PaperRun
from pipelines.evaluation.paper.statistics import Measured
from pipelines.pictures import open_picture
from pipelines.training.files import write_whole, writing
from samplers.priors import build_prior
from synthgen.action_units import AU_COUNT, AUS
from synthgen.dataset import Storage, layout, read_markers
from synthgen.dataset.parquet import read_columns
from synthgen.errors import DatasetError, PictureError
from synthgen.foreign import excerpt

_BATCH = 32

LEAST_R = 0.65
"""Correlation from which a blendshape map is taken to see an AU, as the check `blendshapes` has."""


@runtime_checkable
class Meter(Protocol):
    """Turns images into rows of numbers."""

    def identity(self) -> str:
        """Return what its numbers are a function of."""
        ...

    def read(self, images: Sequence[Image]) -> Float[np.ndarray, "n k"]:
        """Return a row for each RGB image; NaN where there is nothing to measure."""
        ...


class LandmarkerJudge:
    """Google's FaceLandmarker as a judge of AUs, by a fitted map of its blendshapes.

    An AU is the mean of both sides. Those that the map does not see are NaN.

    Args:
        file: `face_landmarker.task`.

    Raises:
        WeightsError: if the file is missing or of another kind.
        MissingDependencyError: if MediaPipe is not installed.
    """

    def __init__(self, file: Path) -> None:
        self._reader = FaceLandmarker(file, "landmarker (--landmarker)")
        self._map = load_map("drawn")
        self.name = "FaceLandmarker"
        self.weights: Mapping[str, str] = {
            **self._reader.files,
            f"map {self._map.name}": self._map.sha256,
        }
        visible = self._map.visible(LEAST_R)
        self.sees = tuple(name for name in AUS if name in visible)

    def measure(self, images: Sequence[Image]) -> Float[np.ndarray, "n aus"]:
        """Measure AU intensities [0–5] of RGB images; NaN where there is no face."""
        return np.stack([self._aus(image) for image in images])

    def _aus(self, image: Image) -> Float[np.ndarray, " aus"]:
        found = np.full(AU_COUNT, np.nan, np.float32)
        if (face := self._reader.read(image)) is not None:
            both = self._map.by_side(face.blendshapes[None].astype(np.float64))[:, 0].mean(0)
            for name in self.sees:
                found[AUS.index(name)] = both[self._map.aus.index(name)]
        return found


def seen_by(judge: AUJudge) -> tuple[str, ...]:
    """Return the AUs that a judge sees: all, unless it says otherwise."""
    return getattr(judge, "sees", AUS)


@dataclass(frozen=True, slots=True)
class JudgeMeter:
    """A judge of AUs as a meter."""

    judge: AUJudge

    def identity(self) -> str:
        """Return its name, its files and the AUs that it sees."""
        return json.dumps([self.judge.name, dict(self.judge.weights), list(seen_by(self.judge))])

    def read(self, images: Sequence[Image]) -> Float[np.ndarray, "n k"]:
        """Measure AU intensities."""
        return self.judge.measure(images)


@dataclass(frozen=True, slots=True)
class ClipMeter:
    """An image encoder as a meter."""

    embedder: ImageEmbedder

    def identity(self) -> str:
        """Return its files."""
        return json.dumps(["CLIP-I", self.embedder.weights])

    def read(self, images: Sequence[Image]) -> Float[np.ndarray, "n k"]:
        """Embed."""
        return self.embedder.embed(images)


def measure(run: PaperRun, meter: Meter, what: str, kept: Path) -> Float[np.ndarray, "rows k"]:
    """Measure all images of a run's dataset, in the order of its rows, or take what was kept.

    Args:
        run: the run, whose dataset is whole.
        meter: what measures.
        what: name for the progress bar.
        kept: folder of the measurements.

    Raises:
        DatasetError: if the dataset cannot be read.
        OutputError: if a file cannot be written.
    """
    storage = Storage(run.config.output.path)
    markers = sorted(read_markers(storage).values(), key=lambda marker: marker.key)
    parts = []
    with tqdm(total=sum(m.rows for m in markers), desc=f"{run.key}: {what}", unit="image") as bar:
        for marker in markers:
            data = layout.data_file(*marker.key)
            stamp = marker.files[data]
            text = json.dumps([stamp.sha256, meter.identity()])
            path = kept / f"{sha256(text.encode()).hexdigest()}.npy"
            parts.append(_shard(storage, data, marker.rows, meter, path))
            bar.update(marker.rows)
    return np.concatenate(parts)


def _shard(
    storage: Storage, data: str, rows: int, meter: Meter, path: Path
) -> Float[np.ndarray, "rows k"]:
    if (kept := _read(path, rows)) is not None:
        return kept
    found = np.concatenate([meter.read(images) for images in _pictures(storage, data)])
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(path) as partial, partial.open("wb") as file:
        np.save(file, found, allow_pickle=False)
    return found


def _read(path: Path, rows: int) -> Float[np.ndarray, "rows k"] | None:
    """Return what was kept; None where it is not there, or is not whole."""
    if not path.is_file():
        return None
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None  # measured anew
    return found if found.ndim == 2 and len(found) == rows else None


def _pictures(storage: Storage, data: str) -> Iterator[list[Image]]:
    for batch in read_columns(storage, data, ["sample_id", "image"], batch_rows=_BATCH):
        yield [open_row(row).convert("RGB") for row in batch.to_pylist()]


def rows_by_file(run: PaperRun) -> list[tuple[str, int]]:
    """Return the data file and the row in it of each row of a run's dataset, in their order."""
    markers = read_markers(Storage(run.config.output.path)).values()
    return [
        (layout.data_file(*marker.key), row)
        for marker in sorted(markers, key=lambda marker: marker.key)
        for row in range(marker.rows)
    ]


def open_row(row: dict[str, Any]) -> Image:
    """Open the picture of a row.

    Raises:
        DatasetError: if it is damaged.
    """
    try:
        return open_picture(row["image"]["bytes"])
    except PictureError as error:
        raise DatasetError(f"the image of {row['sample_id']} is damaged: {error}") from error


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """Places of a run's rows in the protocol.

    Attributes:
        places: for each prompt, in the evaluation's order, the row of its neutral face and of each
            image with AUs, in the order of the grid; [P, 1 + C], or [P, 1] of neutral faces alone.
        asked: AU vectors of the images with AUs, the same for each prompt; [C, 12].
    """

    places: np.ndarray
    asked: Float[np.ndarray, "C A"]


def order_of(run: PaperRun, prompts: Sequence[PaperPrompt]) -> Order:
    """Find each image of the protocol in a run's dataset.

    Raises:
        DatasetError: if one is missing, as after a failure that the run told of.
    """
    storage = Storage(run.config.output.path)
    rows: dict[tuple[str, tuple[float, ...]], int] = {}
    number = 0
    for marker in sorted(read_markers(storage).values(), key=lambda marker: marker.key):
        file = layout.data_file(*marker.key)
        for batch in read_columns(storage, file, ["prompt", "aus"]):
            for row in batch.to_pylist():
                rows[row["prompt"], tuple(row["aus"])] = number
                number += 1
    cells = [(0.0,) * AU_COUNT, *_in_grid(run)]
    for prompt in prompts:
        for cell in cells:
            if (prompt.text, cell) not in rows:
                raise DatasetError(
                    f"{storage.url} has no image of {excerpt(prompt.text)!r} with the AUs "
                    f"{_said(cell)}; `synthgen inspect` tells which samples are missing"
                )
    places = np.array([[rows[prompt.text, cell] for cell in cells] for prompt in prompts])
    return Order(places, np.array(cells[1:], np.float64).reshape(-1, AU_COUNT))


def _in_grid(run: PaperRun) -> list[tuple[float, ...]]:
    """Return the AU vectors that a run asks each prompt for, in their order; of the plain one none.

    The neutral face comes beside them.
    """
    each = run.config.identities.expressions_per_identity
    drawn = build_prior(run.config.expressions).sample(int(each), seed=run.config.seed)
    return [tuple(map(float, vector)) for vector in drawn if vector.any()]


def _said(cell: tuple[float, ...]) -> str:
    named = [f"{name}={value:g}" for name, value in zip(AUS, cell, strict=True) if value]
    return " ".join(named) or "all at 0"


def measured(
    readings: Float[np.ndarray, "rows A"],
    order: Order,
    levels: tuple[float, ...],
    sees: tuple[str, ...],
) -> Measured:
    """Arrange the readings of a run by prompt, AU and level."""
    arranged = readings[order.places]  # [P, 1 + C, A]
    singles = AU_COUNT * len(levels)
    return Measured(
        levels=levels,
        neutral=arranged[:, 0],
        singles=arranged[:, 1 : 1 + singles].reshape(-1, AU_COUNT, len(levels), AU_COUNT),
        combined=arranged[:, 1 + singles :],
        asked=order.asked[singles:],
        sees=sees,
    )
