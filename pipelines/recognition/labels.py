"""Labels that a recogniser learns of a face: the labels asked for, those measured, or soft ones.

Shapes: n faces, C categories, A Action Units, m requests of a dataset.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

from pipelines.recognition.examples import Face, Selection, category_order
from synthgen.action_units import ActionUnitSet
from synthgen.choices import FaceLabels
from synthgen.errors import ConfigError

LEAST_ERROR = 0.5
"""Smallest error of a verifier that is believed [AU intensity]: half a level of FACS."""

MOST_REQUESTS = 500
"""Requests of a category that a measurement is compared with at most: the first ones."""

_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Outputs of a recogniser, in order.

    Attributes:
        categories: one logit each.
        aus: one intensity each; none where none are learned.
    """

    categories: tuple[str, ...]
    aus: tuple[str, ...]

    @classmethod
    def of(cls, selections: Iterable[Selection], with_aus: bool) -> "Vocabulary":
        """Collect what some faces are labelled with.

        Raises:
            ConfigError: if fewer than two categories and no AUs are to be learned.
        """
        chosen = list(selections)
        names = [f.category for one in chosen for f in one.faces() if f.category is not None]
        aus = sorted({au for one in chosen for au in one.source.aus}) if with_aus else []
        found = cls(category_order(names), ActionUnitSet.of(aus).names if aus else ())
        if len(found.categories) < 2 and not found.aus:
            number = len(found.categories)
            raise ConfigError(
                f"{number or 'no'} category is too few to learn; a recogniser needs "
                "two at least, or AUs"
            )
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Labels as numbers.

    Attributes:
        categories: probabilities of the categories; zeros where the face has none of them.
        aus: intensities [0–5]; NaN where nobody says.
    """

    categories: Float32[np.ndarray, "n C"]
    aus: Float32[np.ndarray, "n A"]

    def said(self) -> Bool[np.ndarray, " n"]:
        """Return which faces have any label."""
        return (self.categories.sum(1) > 0) | np.isfinite(self.aus).any(1)


def targets(selection: Selection, vocabulary: Vocabulary, labels: FaceLabels) -> Targets:
    """Write the labels of some faces as numbers.

    `requested`: the category and the AUs that were asked for. `measured`: the AUs that the verifier
    found, and the category of which they are the most likely sign. `soft`: the same AUs, and the
    probability of each category, see `posterior`. A face that was not measured has none of the last
    two. Faces of others' folders have the category that they come with, whatever `labels` says.

    Raises:
        ConfigError: if `labels` wants measurements that the dataset has not.
    """
    faces = selection.faces()
    given = one_hot([face.category for face in faces], vocabulary.categories)
    if not selection.source.aus:
        nothing = np.full((len(faces), len(vocabulary.aus)), np.nan, np.float32)
        return Targets(given, nothing)
    if labels == "requested":
        return Targets(given, _spread(selection, [f.aus for f in faces], vocabulary))
    if not any(face.measured is not None for face in faces):
        raise ConfigError(
            f"--labels {labels} needs AUs that a verifier measured, and {selection.source.name} "
            "has none (verify.verifier: none?); use --labels requested"
        )
    aus = _spread(selection, [face.measured for face in faces], vocabulary)
    shares = posterior(selection, vocabulary.categories)
    if labels == "measured" and vocabulary.categories:
        best = shares.argmax(1)
        shares = np.eye(shares.shape[1], dtype=np.float32)[best] * (shares.sum(1) > 0)[:, None]
    return Targets(shares, aus)


def posterior(selection: Selection, categories: Sequence[str]) -> Float32[np.ndarray, "n C"]:
    """Return how likely each category is, by what the verifier measured.

    With the measured AUs m of a face, and the requests a of the dataset for the category c,

        d²(m, a) = Σ_k (m_k − a_k)² / s_k²
        p(c | m) = K_c / Σ_c' K_c',   K_c = mean over the requests a of c of exp(−d²(m, a) / 2)

    which is Bayes' rule with equal chances of the categories, where m is a request of the category
    and the verifier's error, normal with the deviation s_k in the AU k. s_k is the root of the mean
    squared difference of measured and requested over the faces, and at least `LEAST_ERROR`. At
    most `MOST_REQUESTS` requests of a category are compared.

    Returns:
        Rows that add up to 1; zeros for a face that was not measured, and for all of them where
        nobody asked for a category.
    """
    faces = selection.faces()
    seen = np.array([face.measured is not None for face in faces])
    found = np.zeros((len(faces), len(categories)), np.float32)
    asked = {name: _requests(faces, name) for name in categories}
    asked = {name: rows for name, rows in asked.items() if len(rows)}
    if not asked or not seen.any():
        return found
    measured = np.array([f.measured for f in faces if f.measured is not None], np.float64)
    wanted = np.array([f.aus for f in faces if f.measured is not None], np.float64)
    spread = np.maximum(np.sqrt(((measured - wanted) ** 2).mean(0)), LEAST_ERROR)
    logs = np.full((len(measured), len(categories)), -np.inf)
    for name, rows in asked.items():
        logs[:, categories.index(name)] = _log_kernel(measured / spread, rows / spread)
    shares = np.exp(logs - logs.max(1, keepdims=True))
    found[seen] = shares / shares.sum(1, keepdims=True)
    return found


def one_hot(names: Sequence[str | None], categories: Sequence[str]) -> Float32[np.ndarray, "n C"]:
    """Return a one where a face has a category; other names have none."""
    found = np.zeros((len(names), len(categories)), np.float32)
    for row, name in enumerate(names):
        if name in categories:
            found[row, categories.index(name)] = 1
    return found


def _requests(faces: Sequence[Face], category: str) -> Float[np.ndarray, "m aus"]:
    rows = [f.aus for f in faces if f.category == category and f.aus is not None]
    return np.array(rows[:MOST_REQUESTS], np.float64)


def _log_kernel(
    measured: Float[np.ndarray, "n aus"], requests: Float[np.ndarray, "m aus"]
) -> Float[np.ndarray, " n"]:
    """Return log mean exp(−d²/2) over the requests."""
    parts = []
    for start in range(0, len(measured), _CHUNK):
        some = measured[start : start + _CHUNK]
        squares = ((some[:, None] - requests) ** 2).sum(2)
        nearest = squares.min(1, keepdims=True)
        mean = np.exp(-0.5 * (squares - nearest)).mean(1)
        parts.append(np.log(mean) - 0.5 * nearest[:, 0])
    return np.concatenate(parts)


def _spread(
    selection: Selection,
    vectors: Sequence[Float32[np.ndarray, " aus"] | None],
    vocabulary: Vocabulary,
) -> Float32[np.ndarray, "n A"]:
    """Put vectors of a source's AUs into those of the vocabulary."""
    found = np.full((len(vectors), len(vocabulary.aus)), np.nan, np.float32)
    own = [selection.source.aus.index(au) for au in vocabulary.aus if au in selection.source.aus]
    places = [n for n, au in enumerate(vocabulary.aus) if au in selection.source.aus]
    for row, vector in enumerate(vectors):
        if vector is not None and places:
            found[row, places] = vector[own]
    return found
