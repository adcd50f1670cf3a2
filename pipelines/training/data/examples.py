"""What models learn from: images with captions and AUs, wherever they come from."""

import logging
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from PIL.Image import Image

from pipelines.fineface.prompts import ENDS, token_counts
from pipelines.training.data.config import DatasetData, ProceduralData
from pipelines.training.data.dataset_examples import DatasetExamples
from pipelines.training.data.procedural_examples import ProceduralExamples

_log = logging.getLogger(__name__)

_LOOKED_AT = 10_000
"""Captions whose length is looked at before a training, at most; a tenth where there is no end."""


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

    def aus(self, index: int) -> Float[np.ndarray, " aus"]:
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


def warn_of_cut_captions(examples: Examples, tokenizer: Any, count: int | None = None) -> None:
    """Say how many captions are longer than the text encoder reads: what lies beyond is not seen.

    Args:
        examples: what is learned from; its first captions are looked at.
        tokenizer: the text encoder's.
        count: how many of them are learned from; None: all.
    """
    there = examples.count
    looked_at = _LOOKED_AT // 10 if there is None else min(there, _LOOKED_AT)
    if count is not None:
        looked_at = min(looked_at, count)
    captions = [examples.caption(index) for index in range(looked_at)]
    room = tokenizer.model_max_length - ENDS
    long = [count for count in token_counts(tokenizer, captions) if count > room]
    if long:
        _log.warning(
            f"{len(long):,} of the first {looked_at:,} captions have more than {room} tokens "
            f"besides begin and end (the longest {max(long):,}); what lies beyond is not learned"
        )
