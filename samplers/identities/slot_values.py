"""Slot values drawn for each identity alone: scene and clothes of people from a store."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from samplers.randomness import uniforms


@dataclass(frozen=True)
class SlotValues:
    """Values of template slots, drawn by weight; several identities may have the same.

    Attributes:
        seed: seed of the run.
        slots: slot → value → weight above 0, in order of the template.
    """

    seed: int
    slots: dict[str, dict[str, float]]

    def of(self, number: int) -> dict[str, str]:
        """Return slot → value of the identity of a number."""
        return {slot: self._value(slot, number) for slot in self.slots}

    @cached_property
    def _sorted(self) -> dict[str, tuple[list[str], np.ndarray]]:
        """Values of each slot and where their shares end.

        Sorted, so that the order of the values in the file decides nothing.
        """
        slots = {slot: dict(sorted(values.items())) for slot, values in self.slots.items()}
        return {
            slot: (list(values), np.cumsum(list(values.values()))) for slot, values in slots.items()
        }

    def _value(self, slot: str, number: int) -> str:
        values, edges = self._sorted[slot]
        place = uniforms(self.seed, f"identities/slot/{slot}", number, number + 1, 1)[0, 0]
        return values[int(np.searchsorted(edges, place * edges[-1], side="right"))]
