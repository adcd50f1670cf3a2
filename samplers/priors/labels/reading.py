"""The user's wishes for reading labels: their scale, their missing codes, the sides of a face."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from samplers.priors.labels.cells import read_cell
from synthgen.config.priors.empirical import LabelScale, LabelSides
from synthgen.errors import LabelsError

_SCALES: dict[str | None, LabelScale | None] = {
    None: None,
    "5": 5,
    "1": 1,
    "100": 100,
    "occurrence": "occurrence",
}
_SIDES: dict[str, LabelSides] = {"mean": "mean", "max": "max", "refuse": "refuse"}


@dataclass(frozen=True, slots=True)
class Reading:
    """The user's word on labels beside their format.

    Attributes:
        scale: scale of the values; None: found from them.
        missing: numbers that stand for "not coded".
        missing_texts: texts that do, in lower case.
        sides: what becomes of columns of the left and the right.
    """

    scale: LabelScale | None = None
    missing: tuple[float, ...] = ()
    missing_texts: frozenset[str] = frozenset()
    sides: LabelSides = "refuse"

    @classmethod
    def parse(cls, scale: str | None, missing: Sequence[str], sides: str) -> "Reading":
        """Read what a command line says.

        Raises:
            LabelsError: if 0 is to be a missing code.
        """
        return cls.of(_SCALES[scale], missing, _SIDES[sides])

    @classmethod
    def of(
        cls,
        scale: LabelScale | None = None,
        missing: Sequence[str | int | float] = (),
        sides: LabelSides = "refuse",
    ) -> "Reading":
        """Tell the missing codes that are numbers from those that are texts.

        Raises:
            LabelsError: if 0 is one of them.
        """
        numbers = {code: read_cell(str(code)) for code in missing}
        found = [number for number in numbers.values() if number is not None]
        if 0 in found:
            raise LabelsError("0 cannot be a missing code: it says that an AU is absent")
        return cls(
            scale,
            tuple(number for number in found if math.isfinite(number)),
            frozenset(
                str(code).strip().lower() for code, number in numbers.items() if number is None
            ),
            sides,
        )


AS_IT_STANDS = Reading()
"""A table on the scale that its values show, without missing codes or sides."""
