"""Pictures of rejected attempts that a shard keeps: of each reason those that missed most."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from PIL.Image import Image

from cluster.batches import encode_sample
from cluster.rounds import Outcome
from synthgen.config import RunConfig
from synthgen.dataset.schema import Reject, RejectImage


class WorstRejects:
    """Collects the worst rejected attempts of a shard.

    What is kept depends neither on the order nor on the batches in which attempts come.

    Args:
        config: how many of each reason are kept, and how pictures are encoded.
    """

    def __init__(self, config: RunConfig) -> None:
        self._most = config.verify.keep_reject_images
        self._config = config
        self._kept: defaultdict[str, list[RejectImage]] = defaultdict(list)

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Take in attempts; an image is encoded only if it is among the worst so far."""
        for outcome in outcomes if self._most else ():
            if outcome.reject is not None and outcome.picture is not None:
                self._offer(outcome, outcome.reject, outcome.picture)

    def kept(self) -> list[RejectImage]:
        """Return what is kept: by reason, the worst first, then by sample, spec and attempt."""
        return [each for reason in sorted(self._kept) for each in self._kept[reason]]

    def _offer(self, outcome: Outcome, reject: Reject, picture: Image) -> None:
        kept = self._kept[reject.reason]
        offered = RejectImage(reject=reject, image=b"", distance=outcome.distance)
        if len(kept) == self._most and _rank(kept[-1]) < _rank(offered):
            return
        encoded = encode_sample(picture, self._config, outcome.attempt.spec)
        kept.append(replace(offered, image=encoded))
        kept.sort(key=_rank)
        del kept[self._most :]


def _rank(kept: RejectImage) -> tuple[float, str, int, int]:
    """Order pictures, the worst first; infinite is worst, and nearer ones follow by their names."""
    reject = kept.reject
    return -kept.distance, reject.sample_id, reject.replacement, reject.attempt
