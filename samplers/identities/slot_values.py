"""Slot values drawn for each identity alone: scene and clothes of people from a store."""

from dataclasses import dataclass

import numpy as np

from samplers.randomness import uniforms


@dataclass(frozen=True, slots=True)
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

    def _value(self, slot: str, number: int) -> str:
        # Sorted, so that the order of the values in the file decides nothing.
        values = dict(sorted(self.slots[slot].items()))
        edges = np.cumsum(list(values.values()))
        place = uniforms(self.seed, f"identities/slot/{slot}", number, number + 1, 1)[0, 0]
        return list(values)[int(np.searchsorted(edges, place * edges[-1], side="right"))]
