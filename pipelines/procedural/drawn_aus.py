"""The AUs that drawn faces show; loads no skia."""

from typing import Literal

from synthgen.action_units import AUS, DEFAULT_AUS, ActionUnitSet

DRAWN_AUS = ActionUnitSet.of([*AUS, "AU7", "AU10", "AU14", "AU23", "AU24", "AU43"])
"""The AUs of the second edition of the drawings; the first has the 12."""

SIDED_AUS = DRAWN_AUS.without(["AU9", "AU17", "AU23", "AU24", "AU25", "AU26"])
"""Those of them that one half of a face can show without the other."""


def aus_of_edition(edition: int) -> ActionUnitSet:
    """Return the AUs that an edition of the drawings shows."""
    return DEFAULT_AUS if edition == 1 else DRAWN_AUS


def edition_of(aus: ActionUnitSet) -> Literal[1, 2]:
    """Return the first edition of the drawings that shows some AUs; the last, if none shows all."""
    return 2 if aus.without(DEFAULT_AUS.names) else 1
