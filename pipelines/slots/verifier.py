"""Measures whether images show what the slots of their identities name."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from PIL.Image import Image

from pipelines.interfaces import Verifier
from pipelines.policy import Verdict
from pipelines.slots.readers import AttributesReader, ClipReader, SlotReader, SlotReading
from pipelines.slots.section import AttributesConfig, SlotsCheck, SlotsPolicy
from samplers.spec import SampleSpec
from synthgen.dataset.schema import (
    Feature,
    slot_probability,
    slot_read,
    slot_right,
    value_feature,
)

if TYPE_CHECKING:
    from synthgen.config.run import RunConfig

PROBABILITY_WEIGHT = 5.0
"""Weight of a probability missed against an AU intensity missed, when rejected images are ranked: a
slot that is all wrong counts as an AU of 5 that is not there."""

_READ = "read"
"""Key of a measurement that is no column: slot → the whole reading."""


class SlotsVerifier(Verifier):
    """Reads the slots of images, and judges them by a policy.

    A measurement is a function of its image and its spec alone.

    Args:
        reader: what reads.
        slots: the slots that it reads.
        policy: the bounds.
    """

    name = "slots"
    by_batch = False

    def __init__(
        self,
        reader: SlotReader,
        slots: Sequence[str],
        policy: SlotsPolicy = SlotsPolicy(),  # noqa: B008 - immutable
    ) -> None:
        self._reader = reader
        self._slots = tuple(slots)
        self._policy = policy

    @property
    def columns(self) -> Mapping[str, Feature]:
        """Return three columns a slot: what was read, how probable it is, whether it is right."""
        found: dict[str, Feature] = {}
        for slot in self._slots:
            found[slot_read(slot)] = value_feature("string")
            found[slot_probability(slot)] = value_feature("float32")
            found[slot_right(slot)] = value_feature("bool")
        return found

    def measure(
        self, images: Sequence[Image], specs: Sequence[SampleSpec]
    ) -> list[Mapping[str, Any]]:
        """Read images, one at a time; null where a slot's value leaves open what it is about."""
        return [
            self._columns(self._reader.read(image, spec, self._slots))
            for image, spec in zip(images, specs, strict=True)
        ]

    def verdict(self, spec: SampleSpec, measured: Mapping[str, Any]) -> Verdict:
        """Judge one image; see `judge_slots`."""
        return judge_slots(spec.identity, measured[_READ], self._policy)

    def check(self, spec: SampleSpec) -> None:
        """Refuse a spec whose values the reader cannot tell apart."""
        self._reader.check(spec, self._slots)

    def fingerprint(self) -> dict[str, Any]:
        """Return what measurements are a function of."""
        return self._reader.fingerprint()

    def _columns(self, readings: Mapping[str, SlotReading | None]) -> Mapping[str, Any]:
        found: dict[str, Any] = {_READ: readings}
        for slot in self._slots:
            reading = readings[slot]
            found[slot_read(slot)] = None if reading is None else reading.value
            found[slot_probability(slot)] = None if reading is None else reading.probability
            found[slot_right(slot)] = None if reading is None else reading.right
        return found


def judge_slots(
    asked: Mapping[str, str], readings: Mapping[str, SlotReading | None], policy: SlotsPolicy
) -> Verdict:
    """Judge one image; the reason is the first slot that is wrong.

    Args:
        asked: slot → value.
        readings: slot → what was read, None where there was nothing to judge.
        policy: the bounds.
    """
    misses = []
    for slot in policy.refuse:
        if (reading := readings[slot]) is None:
            continue
        least = policy.min_probability
        if not reading.right:
            excess = max(reading.probability, least or 0.0) - reading.asked
            detail = (
                f"the slot {slot} is read as {reading.value!r} ({reading.probability:.2f}); "
                f"{asked[slot]!r} ({reading.asked:.2f}) was asked for"
            )
        elif least is not None and reading.asked < least:
            excess = least - reading.asked
            detail = (
                f"the slot {slot} is read as {asked[slot]!r} with a probability of "
                f"{reading.asked:.2f}; the least allowed is {least:g}"
            )
        else:
            continue
        misses.append((slot, detail, excess))
    if not misses:
        return Verdict.accept()
    reason, detail, _ = misses[0]
    total = math.fsum(excess for _, _, excess in misses)
    return Verdict.reject(reason, detail, PROBABILITY_WEIGHT * total)


def load_verifier(
    section: SlotsCheck, slots: Sequence[str], device: str, run: "RunConfig"
) -> SlotsVerifier:
    """Load a reader, and what judges by it.

    Args:
        section: the check.
        slots: the slots that it reads.
        device: torch device.
        run: the run whose images it looks at.

    Raises:
        WeightsError: if weights are missing or do not fit.
    """
    if isinstance(section.reader, AttributesConfig):
        reader: SlotReader = AttributesReader.from_config(section.reader, run.identities, device)
    else:
        reader = ClipReader.from_config(section.reader, run.identities, device)
    return SlotsVerifier(reader, slots, section.policy)
