"""One actor of the pool, as the driver sees it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError

from cluster.schedule import Task

COUNTED = ("judged", "accepted")
"""What actors count."""


@dataclass(slots=True, eq=False)
class Member:
    """An actor of the pool.

    Attributes:
        handle: the actor; used only as `handle.<method>.remote(…)`.
        avoids: the label selector that it was asked for with.
        node: id of its node; None until the cluster has placed it.
        arriving: its answer to where it is, then to what it loaded.
        ready: whether it is loaded.
        tasks: what it works.
        counting: its answer to the last question for its counts, while that is on its way.
        counts: its last answer.
        died: why it gave none, where it is dead.
    """

    handle: Any
    avoids: Mapping[str, str]
    node: str | None = None
    arriving: ray.ObjectRef | None = None
    ready: bool = False
    tasks: dict[ray.ObjectRef, Task] = field(default_factory=dict)
    counting: ray.ObjectRef | None = None
    counts: dict[str, int] = field(default_factory=dict)
    died: RayError | None = None

    def takes(self, in_flight: int) -> bool:
        """Return whether it may be given a task beside this many that it has."""
        alone = any(task.alone for task in self.tasks.values())
        return self.ready and len(self.tasks) == in_flight and not alone


class Tally:
    """The images judged and accepted by all actors there ever were, without waiting for any."""

    def __init__(self) -> None:
        self._gone: dict[str, int] = dict.fromkeys(COUNTED, 0)

    def keep(self, member: Member) -> None:
        """Keep the counts of an actor that leaves the pool."""
        self._gone = _sum([self._gone, member.counts])

    def total(self, members: Iterable[Member]) -> dict[str, int]:
        """Take in the answers that have come, ask again, and return the sums."""
        ready = [member for member in members if member.ready]
        asked = {member.counting: member for member in ready if member.counting is not None}
        if asked:
            done, _ = ray.wait(list(asked), num_returns=len(asked), timeout=0)
            for ref in done:
                _take_in(asked[ref], ref)
        for member in ready:
            if member.counting is None and member.died is None:
                member.counting = member.handle.counts.remote()
        return _sum([self._gone, *(member.counts for member in ready)])


def _take_in(member: Member, ref: ray.ObjectRef) -> None:
    member.counting = None
    try:
        member.counts = ray.get(ref)
    except RayError as error:
        member.died = error


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    known = list(counts)
    return {key: sum(each.get(key, 0) for each in known) for key in COUNTED}
