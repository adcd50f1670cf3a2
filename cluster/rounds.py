"""Which samples of a shard still need an image: rounds, attempts, replacements.

Pure bookkeeping: nothing here depends on time, on batches or on where the work is done.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from samplers.plan import Plan
from samplers.spec import Attempt, SampleSpec, Shard
from synthgen.config import VerifyConfig
from synthgen.errors import RunError
from synthgen.schema import Reject, Row


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt.

    Attributes:
        attempt: the attempt.
        measured: what the verifier found, 12 intensities; None where there was no face.
        row: the row that it would make; None where no image could be made or kept.
        reject: why it was not accepted; None where it was.
        distance: how far the image is from keeping the policy; ∞ where that is not known.
    """

    attempt: Attempt
    measured: tuple[float, ...] | None
    row: Row | None
    reject: Reject | None
    distance: float


@dataclass(slots=True)
class _Open:
    """A sample without an accepted image."""

    spec: SampleSpec
    number: int = 0
    best: Outcome | None = None


class ShardRounds:
    """The samples of one shard on their way, round by round."""

    def __init__(self, plan: Plan, shard: Shard, verify: VerifyConfig) -> None:
        self._plan = plan
        self._verify = verify
        specs = plan.specs(shard.split, shard.start, shard.stop)
        self._open = {spec.position: _Open(spec) for spec in specs}
        self._rows: dict[int, Row] = {}
        self.rejects: list[Reject] = []
        self.missing: list[str] = []
        self.attempted = 0

    @property
    def rows(self) -> list[Row]:
        """The rows so far, in the split's order."""
        return [self._rows[position] for position in sorted(self._rows)]

    def attempts(self) -> list[Attempt]:
        """Return this round's attempts: one for each open sample, in the split's order."""
        waiting = (self._open[position] for position in sorted(self._open))
        return [self._plan.attempt(sample.spec, sample.number) for sample in waiting]

    def record(self, outcomes: Iterable[Outcome]) -> None:
        """Take in what became of this round's attempts.

        Raises:
            RunError: if a sample is exhausted under `on_exhausted: fail`.
        """
        for outcome in outcomes:
            sample = self._open[outcome.attempt.spec.position]
            self.attempted += 1
            if outcome.reject is None:
                self._close(sample, outcome.row)
            elif outcome.reject.reason == "error":
                self.rejects.append(outcome.reject)
                self._close(sample, None)
            else:
                self.rejects.append(outcome.reject)
                self._try_again(sample, outcome)

    def _try_again(self, sample: _Open, outcome: Outcome) -> None:
        if sample.best is None or outcome.distance < sample.best.distance:
            sample.best = outcome
        sample.number += 1
        if sample.number == self._verify.max_attempts:
            self._exhausted(sample)

    def _exhausted(self, sample: _Open) -> None:
        action = self._verify.on_exhausted
        if action == "fail":
            raise RunError(
                f"{sample.spec.sample_id} ({sample.spec.stratum}) has no accepted image after "
                f"{self._verify.max_attempts} attempts, and verify.on_exhausted is 'fail'"
            )
        if action == "replace" and sample.spec.replacement < self._verify.max_replacements:
            self._replace(sample)
        else:
            keep = action == "keep_best" and sample.best is not None
            self._close(sample, sample.best.row if keep and sample.best else None)

    def _replace(self, sample: _Open) -> None:
        spec = sample.spec
        replacement = self._plan.spec(spec.split, spec.position, spec.replacement + 1)
        self._open[spec.position] = _Open(replacement)

    def _close(self, sample: _Open, row: Row | None) -> None:
        del self._open[sample.spec.position]
        if row is None:
            self.missing.append(sample.spec.sample_id)
        else:
            self._rows[sample.spec.position] = row
