"""Drawn portraits as examples: image, caption and AUs as a function of an index."""

from typing import Any

import numpy as np
from jaxtyping import Float
from PIL.Image import Image

from pipelines.procedural import RENDERER_VERSION, Identity, random_identity, render
from pipelines.training.data.captions import describe
from pipelines.training.data.config import ProceduralData
from pipelines.training.data.expressions import draw_aus
from samplers.randomness import uniforms

HELD_OUT = 2**40
"""Identity seed of the first held-out face; training takes identity seeds from 0 on."""


class ProceduralExamples:
    """Portraits without end: example i is a function of (data, seed, i).

    Args:
        data: what is drawn.
        seed: seed of the run.
        held_out: draw identities that no training sees, other expressions and other captions.
    """

    count = None

    def __init__(self, data: ProceduralData, seed: int, held_out: bool = False) -> None:
        self._data = data
        self._seed = seed
        self._stage = "held-out" if held_out else "train"
        self._first = HELD_OUT if held_out else 0
        self.fingerprint: dict[str, Any] = {"renderer": RENDERER_VERSION}

    def identity(self, index: int) -> Identity:
        """Return who example `index` shows."""
        return random_identity(seed=self._first + index)

    def aus(self, index: int) -> Float[np.ndarray, " aus"]:
        """Return the AUs of an example."""
        data, stage = self._data, f"faces/{self._stage}"
        return draw_aus(self._seed, stage, index, data.expressions, data.intensity)

    def image(self, index: int) -> Image:
        """Draw the portrait of an example."""
        return render(self.identity(index), self.aus(index).tolist(), size=self._data.size)

    def caption(self, index: int, telling: int = 0) -> str:
        """Describe an example; each telling uses other words."""
        stage = f"captions/{self._stage}/{telling}"
        draws = uniforms(self._seed, stage, index, index + 1, 2)[0]
        expression = self.aus(index) if draws[0] < self._data.expression_words else None
        return describe(self.identity(index), int(draws[1] * 2**53), expression)
