"""Purposes of the images of a round: the cell of each, as its quotas dealt it out."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cluster.improvement.aim import Aim
from pipelines.recognition.examples import Face
from pipelines.recognition.synthetic import SyntheticFaces
from pipelines.training.files import write_text_whole
from samplers.priors import build_prior
from synthgen.config import RunConfig


def write_purposes(config: RunConfig, aim: Aim, to: Path) -> None:
    """Write a row for each image of a round: its id, split, cell, and values of slots asked for.

    Raises:
        DatasetError: if the dataset cannot be read.
        OutputError: if the file cannot be written.
    """
    slots = list(dict.fromkeys(slot.slot for slot in aim.slots))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["sample_id", "split", "made_for", *slots])
    for face, cell in _dealt(config):
        values = dict(face.slots)
        writer.writerow([face.name, face.split, cell, *(values.get(slot, "") for slot in slots)])
    write_text_whole(to, text.getvalue())


def count_purposes(config: RunConfig, aim: Aim) -> dict[str, int]:
    """Return name of a cell, or of a slot's value asked for, → images that were kept.

    Raises:
        DatasetError: if the dataset cannot be read.
    """
    dealt = list(_dealt(config))
    found = Counter(cell for _, cell in dealt)
    for slot in aim.slots:
        name = f"{slot.slot} {slot.value!r}"
        found[name] = sum(dict(face.slots).get(slot.slot) == slot.value for face, _ in dealt)
    return dict(found)


def _dealt(config: RunConfig) -> Iterator[tuple[Face, str]]:
    """Yield each image that was kept, and the name of its cell."""
    prior = build_prior(config.expressions)
    cells = prior.quota_cells()
    faces = SyntheticFaces(config.output.path).faces
    if cells is None:
        yield from ((face, "") for face in faces)
        return
    known = [*prior.categories, None]
    labels = np.array([known.index(face.category) for face in faces], dtype=np.int64)
    blank = np.zeros(len(prior.action_units), np.float32)
    aus = np.array([blank if face.aus is None else face.aus for face in faces])
    names = [*cells.names[: len(cells.levels)], "other"]
    for face, number in zip(faces, cells.numbers(aus, labels), strict=True):
        yield face, names[int(number)]
