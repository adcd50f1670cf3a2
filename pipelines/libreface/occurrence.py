"""AUs of which LibreFace tells only whether they are there: its detection head, judged.

Of AU7, AU10, AU14, AU23 and AU24 the published weights measure no intensity. Where a run asks for
them, the second head of the same file says with which probability each is there, and a policy
compares; the other AUs are measured and judged as ever.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL.Image import Image

from pipelines.interfaces import Verifier
from pipelines.libreface.check import ASKED_FOR, ActionUnitCheck
from pipelines.libreface.network import DETECTED_AUS
from pipelines.libreface.section import LibreFacePolicy
from pipelines.libreface.verifier import LibreFaceVerifier
from pipelines.policy import Verdict, joined
from samplers.spec import SampleSpec
from synthgen.action_units import MAX_INTENSITY, ActionUnitSet
from synthgen.dataset.schema import AUS_MEASURED, Feature, vector_feature

AU_OCCURRENCE = "au_occurrence"
"""Column: the probability of each AU of `DETECTED_AUS`; null where there is no face."""

OCCURRENCE = "occurrence"
"""Reason of an image in which an AU is not there that was asked for, or the other way round."""


class OccurrenceCheck(Verifier):
    """Measures AUs where the network knows intensities, and tells of others whether they are there.

    Args:
        reader: what measures.
        policy: the bounds.
        aus: the AUs of the run.
        occurring: those of them that are judged by occurrence; they have no measured intensity.
    """

    plain_reasons = True

    def __init__(
        self,
        reader: LibreFaceVerifier,
        policy: LibreFacePolicy,
        aus: ActionUnitSet,
        occurring: Sequence[str],
    ) -> None:
        self.name = reader.name
        self._reader = reader
        self._policy = policy
        self._aus = aus
        self._occurring = tuple(occurring)
        self._measured = ActionUnitSet(aus.without(occurring))
        self._places = [aus.index(name) for name in self._measured.names]
        self._check = ActionUnitCheck(reader, policy, self._measured)

    @property
    def columns(self) -> Mapping[str, Feature]:
        """Return those of the AU check, with vectors of all AUs, and the probabilities."""
        return {
            **self._check.columns,
            AUS_MEASURED: vector_feature(len(self._aus)),
            AU_OCCURRENCE: vector_feature(len(DETECTED_AUS)),
        }

    def measure(
        self, images: Sequence[Image], specs: Sequence[SampleSpec]
    ) -> list[Mapping[str, Any]]:
        """Measure a batch; nothing is known of images without a face."""
        rows = self._check.measure(images, [self._without_others(spec) for spec in specs])
        found = self._reader.occurrences(images)
        return [
            {
                **row,
                AUS_MEASURED: self._whole(row[AUS_MEASURED]),
                AU_OCCURRENCE: None if np.isnan(chances).any() else tuple(map(float, chances)),
            }
            for row, chances in zip(rows, found, strict=True)
        ]

    def verdict(self, spec: SampleSpec, measured: Mapping[str, Any]) -> Verdict:
        """Judge what is measured by the bounds, and the rest by occurrence."""
        whole, chances = measured[AUS_MEASURED], measured[AU_OCCURRENCE]
        known = None if whole is None else tuple(whole[place] for place in self._places)
        own = self._check.verdict(self._without_others(spec), {**measured, AUS_MEASURED: known})
        if chances is None:
            return own
        misses = [
            miss
            for name in self._occurring
            if (
                miss := judge_occurrence(
                    name,
                    spec.aus[self._aus.index(name)],
                    chances[DETECTED_AUS.index(name)],
                    self._policy,
                )
            )
        ]
        return joined([own, *misses])

    def fingerprint(self) -> dict[str, Any]:
        """Return what the measurements are a function of."""
        return self._check.fingerprint()

    def _without_others(self, spec: SampleSpec) -> SampleSpec:
        """Return the spec as the AU check can measure it."""
        aus = tuple(spec.aus[place] for place in self._places)
        conditions = {**spec.conditions, "aus": aus}
        return replace(spec, conditions=conditions, action_units=self._measured)

    def _whole(self, measured: Sequence[float] | None) -> tuple[float | None, ...] | None:
        """Return a vector of all AUs of the run, with None for those without an intensity."""
        if measured is None:
            return None
        whole: list[float | None] = [None] * len(self._aus)
        for place, value in zip(self._places, measured, strict=True):
            whole[place] = value
        return tuple(whole)


def judge_occurrence(
    name: str, asked: float, chance: float, policy: LibreFacePolicy
) -> Verdict | None:
    """Judge one AU by the probability that it is there; None where it is as it was asked for.

    Args:
        name: the AU.
        asked: intensity asked for; between 0 and 1 nothing is judged, so faint is what is asked.
        chance: the probability [0–1].
        policy: the bounds.
    """
    least, most = policy.min_occurrence, policy.max_occurrence
    if asked >= ASKED_FOR and least is not None and chance < least:
        return Verdict.reject(
            OCCURRENCE,
            f"{name} is there with a probability of {chance:.2f} where {asked:.2f} was asked for; "
            f"the least allowed is {least:g}",
            MAX_INTENSITY * (least - chance),
        )
    if asked <= 0 and most is not None and chance > most:
        return Verdict.reject(
            OCCURRENCE,
            f"{name} is there with a probability of {chance:.2f} without being asked for; at most "
            f"{most:g} is allowed",
            MAX_INTENSITY * (chance - most),
        )
    return None
