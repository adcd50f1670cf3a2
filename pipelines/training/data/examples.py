"""What models learn from: images with captions and AUs, wherever they come from."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from PIL.Image import Image

from pipelines.training.data.config import DatasetData, ProceduralData
from pipelines.training.data.dataset_examples import DatasetExamples
from pipelines.training.data.procedural_examples import ProceduralExamples


@runtime_checkable
class Examples(Protocol):
    """Examples by index, from 0 on; each is the same whenever it is asked for."""

    @property
    def count(self) -> int | None:
        """Number of examples; None: without end."""
        ...

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What the examples are a function of besides their configuration and seed."""
        ...

    def image(self, index: int) -> Image:
        """Return an image: RGB, square, of the configured side."""
        ...

    def caption(self, index: int, telling: int = 0) -> str:
        """Return what it shows; another telling may use other words."""
        ...

    def aus(self, index: int) -> Float[np.ndarray, " 12"]:
        """Return its AU intensities [0–5]; NaN where the data have none."""
        ...


def examples_of(data: ProceduralData | DatasetData, seed: int, held_out: bool = False) -> Examples:
    """Open the examples of a training.

    Args:
        data: where they come from.
        seed: seed of the training.
        held_out: those that are not learned from: other identities, or the split `held_out`.

    Raises:
        DatasetError: if there is no such dataset, or it is empty or lacks a column.
    """
    if isinstance(data, ProceduralData):
        return ProceduralExamples(data, seed, held_out)
    return DatasetExamples(data, held_out)
