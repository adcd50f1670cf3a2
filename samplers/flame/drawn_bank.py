"""The bank `mini`: drawn faces whose 55 numbers and AUs are known exactly, made by no network.

It is a function of the AUs that it is to tell, and quick to make, so that no file is kept of it.
Faces are alike on both sides: AUs of a request have none.
"""

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from jaxtyping import Float64

from samplers.flame.bank import Bank, BankAbout
from samplers.flame.drawn import APART, CODED_AUS, EXTRACTOR, drawn_numbers
from samplers.priors.emotions import prototype_table
from samplers.randomness import uniforms
from synthgen.action_units import MAX_INTENSITY, ActionUnitSet
from synthgen.config.priors.flame import MINI_BANK
from synthgen.errors import BankError

FACES = 4000
"""Faces of the bank."""

_SEED, _STAGE = 18, "flame/mini-bank"

_REST, _EMOTIONS = 0.05, 0.60
"""Share of the faces at rest and of those that show an emotion; the others show any AUs."""

_ACTIVE = 2.5
"""AUs that one of the others shows on average, as far as there are enough."""

_WEAKEST = 0.25
"""Lowest intensity of an active AU; the highest is 5."""


def drawn_bank(action_units: ActionUnitSet = CODED_AUS, faces: int = FACES) -> Bank:
    """Make a bank of drawn faces that show some AUs and no others.

    A twentieth of the faces is at rest. Three fifths show the emotions of the prior `emotions` with
    their variants, all as often, the others any of the AUs, each by itself; intensities are uniform
    from 0.25 to 5. AUs that no face shows together stay apart. More faces keep the earlier ones.

    Args:
        action_units: the AUs that the bank tells, of those of the second edition of the drawings.
        faces: number of faces.

    Raises:
        BankError: if drawn faces do not show one of the AUs.
    """
    if others := action_units.without(CODED_AUS.names):
        raise BankError(
            f"the bank {MINI_BANK!r} does not hold {', '.join(others)}; drawn faces show "
            f"{', '.join(CODED_AUS.names)}"
        )
    width = len(CODED_AUS)  # whatever AUs are told, so that the draws of each are its own
    draws = uniforms(_SEED, _STAGE, 0, faces, 2 + 2 * width)
    kind, category, active, position = np.split(draws, [1, 2, 2 + width], axis=1)
    chances = _chances(kind[:, 0], category[:, 0], action_units)
    intensities = _WEAKEST + (MAX_INTENSITY - _WEAKEST) * position
    shown = np.where(active < chances, intensities, 0.0)
    for pair in APART:
        one, other = (CODED_AUS.index(name) for name in pair)
        both = (shown[:, one] > 0) & (shown[:, other] > 0)
        weaker = np.where(shown[:, one] < shown[:, other], one, other)
        shown[np.flatnonzero(both), weaker[both]] = 0.0
    aus = shown.astype(np.float32)
    numbers = drawn_numbers(aus)
    told = aus[:, [CODED_AUS.index(name) for name in action_units.names]]
    rows = zip(numbers, told, strict=True)
    return Bank.build(
        numbers,
        told,
        action_units,
        [sha256(flame.tobytes() + row.tobytes()).hexdigest() for flame, row in rows],
        BankAbout(
            extractor=EXTRACTOR,
            measurer="drawing",
            text="drawn expressions, alike on both sides; numbers and AUs are those of the drawing",
        ),
        where=MINI_BANK,
    )


def _chances(
    kind: Float64[np.ndarray, " faces"],
    category: Float64[np.ndarray, " faces"],
    action_units: ActionUnitSet,
) -> Float64[np.ndarray, "faces aus"]:
    """Return how likely each of `CODED_AUS` is active in each face."""
    emotions = _emotions(action_units)
    alone = np.isin(CODED_AUS.names, action_units.names) * min(0.5, _ACTIVE / len(action_units))
    found = np.tile(alone, (len(kind), 1))
    feeling = (kind < _REST + _EMOTIONS) & (len(emotions) > 0)
    if len(emotions):
        found[feeling] = emotions[(category[feeling] * len(emotions)).astype(int)]
    found[kind < _REST] = 0.0
    return found


def _emotions(action_units: ActionUnitSet) -> Float64[np.ndarray, "categories aus"]:
    """Return the chances of each category whose prototype these AUs show in part at least."""
    rows: list[Sequence[float]] = []
    for prototype in prototype_table(action_units).values():
        if prototype.shown:
            chances = {**prototype.variants, **dict.fromkeys(prototype.shown, 1.0)}
            rows.append([chances.get(name, 0.0) for name in CODED_AUS.names])
    return np.array(rows).reshape(-1, len(CODED_AUS))
