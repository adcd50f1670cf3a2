"""The shortfall of a dataset against what was asked: samples without an accepted image, by stratum.

A dataset is whole when each sample that was asked for has an accepted image.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from synthgen.dataset.markers import ShardMarker, ShortStratum

_SHOWN = 12
"""Strata that are named at most."""


def total_short(markers: Iterable[ShardMarker]) -> dict[str, ShortStratum]:
    """Add up what shards lack, by stratum: the one that lacks most first.

    A stratum's sums are over the shards that lack samples of it, not over those that have all.
    """
    parts: dict[str, list[ShortStratum]] = {}
    for marker in markers:
        for name, lack in marker.short.items():
            parts.setdefault(name, []).append(lack)
    sums = {name: _sum(lacks) for name, lacks in parts.items()}
    return dict(sorted(sums.items(), key=lambda item: (-item[1].short, item[0])))


def describe_short(short: Mapping[str, ShortStratum], lacking: int) -> list[str]:
    """Say which strata fell short, of how many samples and why, a line each.

    Args:
        short: what `total_short` returns.
        lacking: samples without an accepted image; older markers do not tell their strata.
    """
    names = list(short)[:_SHOWN]
    lines = [f"{name}: {describe_stratum(short[name])}" for name in names]
    if more := len(short) - len(names):
        left = sum(lack.short for lack in list(short.values())[_SHOWN:])
        lines.append(f"… and {more} more strata: {left} short")
    if unknown := lacking - sum(lack.short for lack in short.values()):
        lines.append(f"strata not recorded: {unknown} short")
    return lines


def describe_stratum(lack: ShortStratum) -> str:
    """Say how many samples a stratum lacks, and what became of its images."""
    images = f"{lack.accepted} of {lack.images} images accepted"
    return f"{lack.short} short; {images} ({describe_rejected(lack.rejected)})"


def describe_rejected(rejected: Mapping[str, int]) -> str:
    """Say why images were rejected, the most frequent reason first."""
    reasons = sorted(rejected.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {reason}" for reason, count in reasons)


def _sum(lacks: Iterable[ShortStratum]) -> ShortStratum:
    asked = accepted = images = 0
    rejected: Counter[str] = Counter()
    for lack in lacks:
        asked, accepted, images = (
            asked + lack.asked,
            accepted + lack.accepted,
            images + lack.images,
        )
        rejected.update(lack.rejected)
    return ShortStratum(asked=asked, accepted=accepted, images=images, rejected=dict(rejected))
