"""The fuse of a run (`verify.fuse`): it ends a run whose images cannot pass.

What it decides is a function of the configuration alone. A shard looks at its own images, in their
order. The driver looks at whole shards in the order of the plan, the first ones first, whichever
was committed when: so the same shard ends the run, with the same sentence, whatever the number of
actors.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from samplers.plan import Plan
from samplers.spec import Shard
from synthgen.dataset.markers import ShardMarker
from synthgen.dataset.strata import describe_rejected
from synthgen.errors import RunError

_SHARE = 0.05
"""Least share of the images that a stratum must take to end a run: a rare one that cannot pass
costs little, and the summary of the run tells of it."""

_ERROR = "error"


class FuseError(RunError):
    """The images of a stratum, or of all, cannot pass."""


class ShardFuse:
    """Counts what became of images, stratum by stratum, and blows where none can pass.

    Args:
        limit: `verify.fuse`; None: it never blows.
        where: what the images counted are of, for the sentence.
    """

    def __init__(self, limit: int | None, where: str) -> None:
        self._limit = limit
        self._where = where
        self._images = 0
        self._passing: set[str] = set()
        self._rejected: dict[str, Counter[str]] = {}

    def accepted(self, stratum: str) -> None:
        """Count an accepted image."""
        self._images += 1
        self._passing.add(stratum)
        self._rejected.pop(stratum, None)

    def rejected(self, stratum: str, reason: str) -> None:
        """Count an image that misses the policy.

        Raises:
            FuseError: if this stratum cannot pass, or none can.
        """
        self._images += 1
        if stratum not in self._passing:
            self._rejected.setdefault(stratum, Counter())[reason] += 1
            check(
                self._limit,
                self._rejected,
                stratum,
                self._images,
                self._where,
                any_passed=bool(self._passing),
            )


class RunFuse:
    """Adds up the shards of a run in the order of its plan.

    Args:
        limit: `verify.fuse`; None: it never blows.
        plan: the run.
        shards: its shards, in order.
    """

    def __init__(self, limit: int | None, plan: Plan, shards: Iterable[Shard]) -> None:
        self._limit = limit
        self._plan = plan
        self._shards = list(shards)
        self._waiting: dict[tuple[str, int], ShardMarker] = {}
        self._counted: list[ShardMarker] = []
        self._images = self._accepted = 0
        self._passing: set[str] = set()
        self._rejected: dict[str, Counter[str]] = {}

    def committed(self, markers: Iterable[ShardMarker]) -> None:
        """Take in whole shards; each counts when all before it do.

        Raises:
            FuseError: if the shards so far have so many images of a stratum, or of all, and none
                accepted, that none will be.
        """
        if self._limit is None:
            return
        self._waiting.update({marker.key: marker for marker in markers})
        while len(self._counted) < len(self._shards):
            shard = self._shards[len(self._counted)]
            marker = self._waiting.pop((shard.split, shard.number), None)
            if marker is None:
                return
            self._count(marker)

    def _count(self, marker: ShardMarker) -> None:
        self._counted.append(marker)
        self._images += marker.attempts - marker.errors
        self._accepted += marker.accepted
        for stratum, lack in marker.short.items():
            if lack.accepted:
                self._passing.add(stratum)
                self._rejected.pop(stratum, None)
            elif stratum not in self._passing:
                reasons = {why: n for why, n in lack.rejected.items() if why != _ERROR}
                self._rejected.setdefault(stratum, Counter()).update(reasons)
                self._check(stratum)

    def _check(self, stratum: str) -> None:
        shards = len(self._counted)
        where = "the first shard" if shards == 1 else f"the first {shards} shards"
        try:
            check(
                self._limit,
                self._rejected,
                stratum,
                self._images,
                where,
                any_passed=self._accepted > 0,
            )
        except FuseError:
            # Markers name only the strata that lack something: whether this one had all that was
            # asked for in an earlier shard is looked up in the plan, now that it matters.
            if not self._passed(stratum):
                raise
            self._passing.add(stratum)
            del self._rejected[stratum]

    def _passed(self, stratum: str) -> bool:
        for shard, marker in zip(self._shards, self._counted, strict=False):
            if stratum not in marker.short:
                specs = self._plan.specs(shard.split, shard.start, shard.stop)
                if any(spec.stratum == stratum for spec in specs):
                    return True
        return False


def check(
    limit: int | None,
    rejected: Mapping[str, Mapping[str, int]],
    stratum: str,
    images: int,
    where: str,
    *,
    any_passed: bool,
) -> None:
    """Blow the fuse if a stratum that never passed, or all strata together, had their chance.

    Args:
        limit: `verify.fuse`.
        rejected: stratum without an accepted image → reason → rejected images.
        stratum: the one that had another image rejected.
        images: images of all strata, accepted ones too.
        where: what they are of.
        any_passed: whether any of these was accepted.

    Raises:
        FuseError: if so.
    """
    if limit is None:
        return
    own = sum(rejected[stratum].values())
    if own >= limit and own >= _SHARE * images:
        raise FuseError(_sentence(limit, f"of {stratum!r} ", own, rejected[stratum], where))
    if images >= limit and not any_passed:
        total: Counter[str] = Counter()
        for reasons in rejected.values():
            total.update(reasons)
        raise FuseError(_sentence(limit, "", images, total, where))


def _sentence(limit: int, of: str, images: int, rejected: Mapping[str, int], where: str) -> str:
    return (
        f"none of {images} images {of}in {where} was accepted ({describe_rejected(rejected)}), and "
        f"verify.fuse is {limit}: change the policy, what is asked for or the weights and begin "
        "anew (--overwrite, or another output.path), or go on regardless with verify.fuse: null"
    )
