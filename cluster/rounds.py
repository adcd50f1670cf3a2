"""Rounds of a shard: the samples that still need an image, their attempts and replacements.

Pure bookkeeping: nothing here depends on time or on where the work is done.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from PIL.Image import Image

from cluster.fuse import ShardFuse
from samplers.plan import Plan
from samplers.spec import Attempt, SampleSpec, Shard
from synthgen.config import VerifyConfig
from synthgen.dataset.markers import ShortStratum
from synthgen.dataset.schema import Reject, Row
from synthgen.dataset.strata import describe_rejected
from synthgen.errors import RunError

NOISES = 16
"""Images of one AU vector after which a replacement that would repeat it is not made: it differs in
noise alone, and what passes one time in ten has passed with four chances in five by then."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt and its verdict.

    Attributes:
        attempt: the attempt.
        measured: column of a check → what was found.
        row: the row that it would make; None where no image could be made or kept.
        reject: why it was not accepted; None where it was.
        distance: how far the image is from keeping the policy; ∞ where that is not known.
        picture: the image of a rejected attempt, where some of these are to be kept.
    """

    attempt: Attempt
    measured: Mapping[str, Any]
    row: Row | None
    reject: Reject | None
    distance: float
    picture: Image | None = None


@dataclass(slots=True)
class _Open:
    """A sample without an accepted image."""

    spec: SampleSpec
    number: int = 0
    best: Outcome | None = None

    def awaits(self, attempt: Attempt) -> bool:
        """Return whether an attempt at this position is the next one."""
        return (attempt.spec.replacement, attempt.number) == (self.spec.replacement, self.number)


@dataclass(slots=True)
class _Tally:
    """Counts of a stratum so far."""

    asked: int = 0
    accepted: int = 0
    images: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    def lack(self) -> ShortStratum:
        return ShortStratum(
            asked=self.asked,
            accepted=self.accepted,
            images=self.images,
            rejected=dict(sorted(self.rejected.items())),
        )


class ShardRounds:
    """The samples of one shard on their way, round by round.

    Attributes:
        rejects: attempts that were not accepted.
        missing: samples without an image.
        attempted: attempts that were needed.
        painted: images of all batches, those included that only filled one up.
    """

    def __init__(self, plan: Plan, shard: Shard, verify: VerifyConfig) -> None:
        self._plan = plan
        self._verify = verify
        specs = plan.specs(shard.split, shard.start, shard.stop)
        self._open = {spec.position: _Open(spec) for spec in specs}
        self._strata: dict[str, _Tally] = {}
        for spec in specs:
            self._strata.setdefault(spec.stratum, _Tally()).asked += 1
        self._fuse = ShardFuse(verify.fuse, f"shard {shard.split}-{shard.number:05d}")
        self._rows: dict[int, Row] = {}
        self.rejects: list[Reject] = []
        self.missing: list[str] = []
        self.attempted = 0
        self.painted = 0

    @property
    def rows(self) -> list[Row]:
        """The rows so far, in the split's order."""
        return [self._rows[position] for position in sorted(self._rows)]

    def short(self) -> dict[str, ShortStratum]:
        """Return the strata that lack accepted samples so far."""
        return {
            name: tally.lack()
            for name, tally in sorted(self._strata.items())
            if tally.accepted < tally.asked
        }

    def attempts(self, batch: int) -> list[Attempt]:
        """Return this round's attempts: one for each open sample, in the split's order.

        What is left of the last batch is filled with what would come next of the same samples,
        should this round's be rejected; there may be too few of these.

        Args:
            batch: images of a batch.
        """
        waiting = [self._coming(self._open[position]) for position in sorted(self._open)]
        whole_batches = len(waiting) + -len(waiting) % batch
        self.painted += whole_batches
        return list(islice(_in_turn(waiting), whole_batches))

    def record(self, outcomes: Iterable[Outcome]) -> list[Outcome]:
        """Take in what became of this round's attempts, and return those that were needed.

        An attempt is not needed where an earlier one of its sample was accepted, or raised.

        Raises:
            RunError: if a sample is exhausted under `on_exhausted: fail`.
            FuseError: if a stratum has had so many images without one accepted that none will be.
        """
        return [outcome for outcome in outcomes if self._recorded(outcome)]

    def _coming(self, sample: _Open) -> Iterator[Attempt]:
        """Yield a sample's attempts from its next one on, its replacements' after its own."""
        spec, first = sample.spec, sample.number
        while True:
            for number in range(first, self._verify.max_attempts):
                yield self._plan.attempt(spec, number)
            replacement = self._replacement(spec)
            if replacement is None:
                return
            spec, first = replacement, 0

    def _recorded(self, outcome: Outcome) -> bool:
        """Take in an outcome if its attempt is its sample's next."""
        attempt = outcome.attempt
        sample = self._open.get(attempt.spec.position)
        if sample is None or not sample.awaits(attempt):
            return False
        stratum = attempt.spec.stratum
        tally = self._strata[stratum]
        self.attempted += 1
        tally.images += 1
        if outcome.reject is None:
            tally.accepted += 1
            self._fuse.accepted(stratum)
            self._close(sample, outcome.row)
            return True
        self.rejects.append(outcome.reject)
        tally.rejected[outcome.reject.reason] += 1
        if outcome.reject.reason == "error":
            self._close(sample, None)
        else:
            self._try_again(sample, outcome)
            self._fuse.rejected(stratum, outcome.reject.reason)
        return True

    def _try_again(self, sample: _Open, outcome: Outcome) -> None:
        if sample.best is None or outcome.distance < sample.best.distance:
            sample.best = replace(outcome, picture=None)  # which a whole shard has no room for
        sample.number += 1
        if sample.number == self._verify.max_attempts:
            self._exhausted(sample)

    def _exhausted(self, sample: _Open) -> None:
        action = self._verify.on_exhausted
        if action == "fail":
            rejected = Counter(
                reject.reason
                for reject in self.rejects
                if reject.sample_id == sample.spec.sample_id
            )
            raise RunError(
                f"{sample.spec.sample_id} ({sample.spec.stratum}) has no accepted image after "
                f"{self._verify.max_attempts} attempts ({describe_rejected(rejected)}), "
                "and verify.on_exhausted is 'fail'"
            )
        if replacement := self._replacement(sample.spec):
            self._open[sample.spec.position] = _Open(replacement)
        else:
            keep = action == "keep_best" and sample.best is not None
            self._close(sample, sample.best.row if keep and sample.best else None)

    def _replacement(self, spec: SampleSpec) -> SampleSpec | None:
        """Return the next spec of a sample's stratum; None where there is none to try.

        A stratum may have but one AU vector: then a replacement differs in noise alone, and after
        `NOISES` images of it only another vector is worth trying.
        """
        allowed = self._verify.max_replacements if self._verify.on_exhausted == "replace" else 0
        images = (spec.replacement + 1) * self._verify.max_attempts
        for number in range(spec.replacement + 1, allowed + 1):
            found = self._plan.spec(spec.split, spec.position, number)
            if found.aus != spec.aus or images < NOISES:
                return found
        return None

    def _close(self, sample: _Open, row: Row | None) -> None:
        del self._open[sample.spec.position]
        if row is None:
            self.missing.append(sample.spec.sample_id)
        else:
            self._rows[sample.spec.position] = row


def _in_turn(series: Iterable[Iterator[Attempt]]) -> Iterator[Attempt]:
    """Yield the first of each, then the second of each that has one, and so on."""
    left = deque(series)
    while left:
        one = left.popleft()
        for attempt in islice(one, 1):
            yield attempt
            left.append(one)
