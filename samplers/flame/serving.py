"""Requests of a run that the faces of its bank serve, counted before any work."""

from dataclasses import dataclass

import numpy as np

from samplers.plan import Plan
from synthgen.errors import ConfigError

MOST_COMPARED = 1_000_000
"""Samples whose requests are compared with a bank before a run, at most."""

_AT_ONCE = 8192

_LOOKED_AT = 500
"""Unserved requests at most among which the one that is farthest from all faces is looked for."""


@dataclass(frozen=True, slots=True)
class Served:
    """Samples whose requests were compared with the faces of a bank.

    Attributes:
        samples: how many, from the first.
        unserved: those that no face serves.
        fewest: faces that serve a request, at least, among those that are served.
        median: the same for half of them; 0 where none is served.
        faces: faces of the bank.
        bank: the file.
        method: how requests become FLAME numbers.
        fault: a sentence on the unserved; empty where each is served.
    """

    samples: int
    unserved: int
    fewest: int
    median: int
    faces: int
    bank: str
    method: str
    fault: str

    def describe(self) -> str:
        """Say it in a line, for the plan."""
        text = f"{self.bank}: {self.faces:,} faces, {self.method}"
        if self.method == "linear":
            return text
        if not self.median:
            return f"{text}; no request is served"
        text += f"; a request is served by {self.median:,} at the median, {self.fewest:,} at least"
        return f"{text}; {self.unserved:,} of {self.samples:,} by none" if self.unserved else text


def count_served(plan: Plan, most: int = MOST_COMPARED) -> Served | None:
    """Count the requests that a bank's faces serve; None where the run has no bank.

    Args:
        plan: the plan.
        most: samples that are looked at, at most, from the first.
    """
    if (renderer := plan.renderer) is None:
        return None
    samples = min(plan.samples, most)
    counts, lost = [np.empty(0, np.int64)], [np.empty((0, len(plan.action_units)), np.float32)]
    for split in plan.sizes:
        size = plan.partition.size(split, samples)
        for start in range(0, size, _AT_ONCE):
            requests = plan.requests(split, start, min(start + _AT_ONCE, size))
            kinds, kind = np.unique(requests, axis=0, return_inverse=True)
            found = renderer.serving(kinds)
            counts.append(found[kind.reshape(-1)])
            lost.append(kinds[found == 0])
    each, unserved = np.concatenate(counts), np.unique(np.concatenate(lost), axis=0)
    none, some = int((each == 0).sum()), each[each > 0]
    fault = ""
    if none:
        furthest = max(unserved[:_LOOKED_AT], key=renderer.nearest_distance)
        fault = renderer.unserved(none, samples, furthest)
    return Served(
        samples=samples,
        unserved=none,
        fewest=int(some.min()) if len(some) else 0,
        median=int(np.median(some)) if len(some) else 0,
        faces=len(renderer.bank),
        bank=renderer.bank.where,
        method=renderer.section.method,
        fault=fault,
    )


def refuse_unserved(plan: Plan) -> None:
    """Refuse a run of which a request is served by no face of its bank, before any work.

    Raises:
        ConfigError: with how many of the first `MOST_COMPARED` samples.
    """
    if (found := count_served(plan)) is not None and found.fault:
        raise ConfigError(found.fault)
