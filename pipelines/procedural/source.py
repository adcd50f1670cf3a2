"""Drawn portraits as an image source of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL.Image import Image

from pipelines.interfaces import ImageSource
from pipelines.procedural.drawn_aus import aus_of_edition
from pipelines.procedural.identity import Identity, identity_from_text
from pipelines.procedural.label_columns import LABEL_COLUMNS
from pipelines.procedural.landmarks import labels_of
from pipelines.procedural.renderer import render, renderer_version
from pipelines.procedural.section import ProceduralConfig
from samplers.spec import Attempt
from synthgen.action_units import MAX_INTENSITY, MIN_INTENSITY
from synthgen.dataset.schema import Feature

_TURN = (0.017, 0.052)
"""Angles by which a head is turned where a person shows an expression again [radians]."""

_INACTIVE_NOISE = 0.35
"""Noise of AUs that were not asked for, relative to that of those that were; half-normal."""


class ProceduralSource(ImageSource):
    """Paints attempts without a model; an `ImageSource`.

    The prompt names traits of the person, the identity seed decides the rest. What is shown is what
    was asked for plus `config.au_noise` times a normal draw keyed by the seed of the attempt's
    noise: under `noise: identity`, the first attempts of a person have the same draw. Without noise
    an expression that a person shows again would be the same image: pose and light differ a little.
    """

    name = "procedural"

    def __init__(self, config: ProceduralConfig) -> None:
        self.config = config
        self._label_columns = [LABEL_COLUMNS[label] for label in config.labels]

    def generate(self, attempts: Sequence[Attempt]) -> list[Image]:
        """Paint one portrait for each attempt, in order."""
        return [self._paint(attempt) for attempt in attempts]

    @property
    def columns(self) -> Mapping[str, Feature]:
        """Return those of the labels that the configuration asks for."""
        return {column.name: column.feature(self.config.edition) for column in self._label_columns}

    @property
    def only_in_data(self) -> frozenset[str]:
        """Return those that say where things are in an image."""
        return frozenset(column.name for column in self._label_columns if not column.in_rejects)

    @property
    def descriptions(self) -> Mapping[str, str]:
        """Return order, units and sides of the labels."""
        edition = self.config.edition
        return {column.name: column.description(edition) for column in self._label_columns}

    def labels(self, attempts: Sequence[Attempt]) -> list[dict[str, list[float]]]:
        """Return the exact labels of the portraits of attempts, which need not be painted."""
        return [self._labels(attempt) for attempt in attempts]

    def fingerprint(self) -> dict[str, Any]:
        """Return what the images are a function of besides the attempt."""
        packages = ("skia-python", "numpy", "pillow")
        versions = {package: version(package) for package in packages}
        versions["procedural-renderer"] = renderer_version(self.config.edition)
        return {"weights": {}, "licences": {}, "versions": versions}

    def _paint(self, attempt: Attempt) -> Image:
        return render(*self._shown(attempt), self.config.size)

    def _labels(self, attempt: Attempt) -> dict[str, list[float]]:
        identity, aus = self._shown(attempt)
        labels = labels_of(identity, aus, self.config.size)
        return {column.name: list(column.values(labels, aus)) for column in self._label_columns}

    def _shown(self, attempt: Attempt) -> tuple[Identity, list[float]]:
        """Return who is painted for an attempt, and with which AUs of the edition."""
        spec = attempt.spec
        identity = identity_from_text(spec.prompt, spec.identity_seed, self.config.edition)
        if attempt.repeats:
            identity = photographed_again(identity, attempt.seed)
        asked = spec.aus_of(aus_of_edition(self.config.edition))
        return identity, noisy_aus(asked, self.config.au_noise, attempt.noise_seed).tolist()


def photographed_again(identity: Identity, seed: int) -> Identity:
    """Turn a person's head by one to three degrees about each axis, in another warmth of light."""
    generator = np.random.Generator(np.random.Philox(key=seed % 2**128))
    sides, sizes = generator.integers(0, 2, 3) * 2 - 1, generator.uniform(*_TURN, 3)
    yaw, pitch, roll = (sides * sizes).tolist()
    warmth = min(max(identity.warmth + float(generator.uniform(-0.2, 0.2)), -1.0), 1.0)
    return replace(
        identity,
        yaw=identity.yaw + yaw,
        pitch=identity.pitch + pitch,
        roll=identity.roll + roll,
        warmth=warmth,
    )


def noisy_aus(requested: Sequence[float], noise: float, seed: int) -> Float[np.ndarray, " aus"]:
    """Draw what an imperfect model would show for a request.

    Args:
        requested: AU vector.
        noise: standard deviation [intensity] on the AUs that are asked for; the others get the
            absolute value of a draw with 0.35 times that deviation.
        seed: seed of the draw.

    Returns:
        The AU vector shown, within [0, 5] but where the request itself lies outside.
    """
    asked = np.asarray(requested, np.float64)
    draw = np.random.Generator(np.random.Philox(key=seed % 2**128)).standard_normal(len(asked))
    shown = asked + noise * np.where(asked != 0, draw, _INACTIVE_NOISE * np.abs(draw))
    clipped = np.clip(shown, MIN_INTENSITY, MAX_INTENSITY)
    return np.where((asked < MIN_INTENSITY) | (asked > MAX_INTENSITY), shown, clipped)
