"""Fit of the map from FaceLandmarker's blendshapes to AUs, on drawn faces.

Nothing is trained by gradients: people are drawn, read by FaceLandmarker, and fitted by ridge
regression. The correlations that the file carries are of people whom the regression did not see.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field
from tqdm import tqdm

from pipelines.blendshapes.fitted_map import (
    SIDES,
    map_content,
    side_features,
    side_values,
    tells,
)
from pipelines.blendshapes.landmarker import Face, FaceLandmarker, FaceReader
from pipelines.evaluation.outside_statistics import FOLDS, cross_validated, fitted_ridge
from pipelines.evaluation.statistics import pearson
from pipelines.faceid.drawn import drawn_person
from pipelines.procedural import render
from pipelines.procedural.drawn_aus import aus_of_edition
from pipelines.procedural.renderer import renderer_version
from pipelines.training.data.config import ExpressiveFaces
from pipelines.training.data.drawing import draw_aus, in_another_picture
from pipelines.training.provenance import OUR_LICENCE, write_card
from pipelines.training.session import training_folder
from synthgen.config.loading import load_section
from synthgen.errors import WeightsError

FILE = "blendshape_map.json"

DEAD = 0.05
"""A blendshape that is below this in every face counts for nothing."""

FIRST_PERSON = 2**33
"""Number of the first drawn person of a map: past those whom stores and evaluations draw."""

LEAST_FACES = 20
"""Faces that a map is fitted to at least."""


class MapFaces(ExpressiveFaces):
    """Drawn people to fit the map to, each in several pictures."""

    people: int = Field(default=600, ge=10, le=100_000, description="Drawn people.")
    pictures: int = Field(default=4, ge=1, le=100, description="Pictures of each of them.")
    edition: Literal[1, 2] = Field(
        default=1,
        exclude_if=lambda edition: edition == 1,
        description="Edition of the drawings, whose AUs the map is fitted to.",
    )
    size: int = Field(default=128, ge=64, le=1024, description="Side of a picture [pixels].")


class BlendshapeMapConfig(MapFaces):
    """A fit of the map."""

    seed: int = Field(ge=0, lt=2**63, description="Seed of expressions and pictures [0, 2^63).")
    landmarker: str = Field(
        min_length=1, description="Your own face_landmarker.task of Google's FaceLandmarker."
    )


def fit_blendshape_map(config: str | Path, to: str | Path, overrides: Sequence[str] = ()) -> Path:
    """Fit the map and write its file.

    Args:
        config: YAML file of a `BlendshapeMapConfig`.
        to: folder of the file `blendshape_map.json`.
        overrides: `key=value`.

    Returns:
        The file.

    Raises:
        ConfigError: if the configuration does not hold.
        WeightsError: if FaceLandmarker's file is missing or another, or hardly finds a face.
        MissingDependencyError: if mediapipe is not installed.
        OutputError: if the file cannot be written.
    """
    settings = load_section(config, BlendshapeMapConfig, overrides)
    reader = FaceLandmarker(Path(settings.landmarker))
    content = fitted_content(
        settings, reader, lambda faces: tqdm(faces, "drawn", unit="face", disable=None)
    )
    command = f"synthgen train blendshape-map {Path(config).name} --to {Path(to).name}"
    with training_folder(to) as folder:
        file = folder / FILE
        write_card(file, {"command": command, **content})
    return file


def fitted_content(
    settings: BlendshapeMapConfig,
    reader: FaceReader,
    told: Callable[[range], Iterable[int]] = lambda faces: faces,
) -> dict[str, Any]:
    """Draw, read and fit.

    Args:
        settings: whom and what to draw.
        reader: reads the pictures.
        told: wraps the numbers of the pictures, as a bar does.

    Returns:
        The content of a map's file.

    Raises:
        WeightsError: if the reader finds fewer than `LEAST_FACES` faces.
    """
    faces: list[Face] = []
    asked: list[np.ndarray] = []
    people: list[int] = []
    total, aus_drawn = settings.people * settings.pictures, aus_of_edition(settings.edition)
    for number in told(range(total)):
        person = number // settings.pictures
        aus = draw_aus(
            settings.seed,
            "blendshape map",
            number,
            settings.expressions,
            settings.intensity,
            aus_drawn,
        )
        drawn_one = drawn_person(FIRST_PERSON + person, settings.edition)
        identity = in_another_picture(drawn_one, number)
        if (face := reader.read(render(identity, aus, settings.size))) is not None:
            faces.append(face)
            asked.append(aus)
            people.append(person)
    if len(faces) < LEAST_FACES:
        raise WeightsError(
            f"{next(iter(reader.files), 'the landmarker')} finds {len(faces)} faces in {total} "
            f"drawn ones; a map needs {LEAST_FACES} at least"
        )
    shapes = np.stack([face.blendshapes for face in faces])
    drawn = np.stack(asked).astype(np.float64)
    codes = np.unique(people, return_inverse=True)[1]
    return {
        "what": "ridge regression from the blendshapes of Google's FaceLandmarker to AUs",
        "licence": OUR_LICENCE,
        "data": f"procedural faces: {settings.people} drawn people, {settings.pictures} pictures "
        "of each",
        "renderer": renderer_version(settings.edition),
        "landmarker": reader.files,
        "packages": reader.packages,
        "configuration": settings.model_dump(mode="json", exclude={"landmarker"}),
        "faces": {"drawn": total, "found": len(faces)},
        "r": f"Pearson correlation of the mean of both sides with the drawn intensity, in {FOLDS} "
        "parts that share no person",
        **fit(shapes, drawn, codes, aus_drawn.names, settings.seed),
    }


def fit(
    shapes: Float[np.ndarray, "n 52"],
    drawn: Float[np.ndarray, "n k"],
    people: Int[np.ndarray, " n"],
    aus: Sequence[str],
    seed: int,
) -> dict[str, Any]:
    """Fit the map to faces.

    Args:
        shapes: blendshapes of the faces.
        drawn: intensity of each AU in them.
        people: number of the person whom each shows, from 0.
        aus: the AUs.
        seed: deals people to the parts of the cross-validation.

    Returns:
        See `map_content`; the correlation is that of what is predicted of people left out.
    """
    sides = [side_values(shapes.astype(np.float64), side) for side in SIDES]
    highest = np.concatenate(sides).max(axis=0)
    highest[highest < DEAD] = 0.0
    both = np.concatenate([side_features(values, highest) for values in sides])
    targets, whose = np.concatenate([drawn, drawn]), np.concatenate([people, people])
    weights, constant = np.zeros((both.shape[1], len(aus))), np.zeros(len(aus))
    r = []
    for place, au in enumerate(aus):
        mine, target = tells(au), targets[:, [place]]
        found = cross_validated(both[:, mine], target, whose, seed).reshape(2, -1)
        r.append(pearson(drawn[:, place], found.mean(axis=0)))
        fitted, constant[[place]] = fitted_ridge(both[:, mine], target)
        weights[mine, place] = fitted[:, 0]
    return map_content(aus, r, weights, constant, highest)
