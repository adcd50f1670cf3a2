"""Findings on a card: people by face embeddings, and strata drawn and delivered."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from synthgen.dataset.markdown import percent, table
from synthgen.dataset.statistics import FaceStatistics, Statistics
from synthgen.dataset.strata import DRIFT, Drift, Stratum, drifts


def faces_section(faces: FaceStatistics | None) -> list[str]:
    """Write the section as Markdown; nothing where no faces were embedded."""
    if faces is None:
        return []
    other = "neutral image of its identity" if faces.neutral else "person asked for"
    rows = [
        [f"image and {other}, mean", faces.similarity],
        [f"image and {other}, least", faces.least_similarity],
        ["two images of one identity, mean (consistency)", faces.consistency],
        ["two images of two identities, mean", faces.others],
        ["image and anybody who must not appear, largest", faces.forbidden],
    ]
    shown = [[what, f"{value:.3f}"] for what, value in rows if not math.isnan(value)]
    parts = [
        "## Identities",
        f"Cosines of face embeddings; those of pairs are over the first {faces.compared} images.",
        table(["similarity of", "cosine"], shown),
    ]
    if not math.isnan(faces.rank1):
        parts.append(
            f"For {percent(faces.rank1)} of them, the nearest other image shows the same identity "
            "(rank-1)."
        )
    if faces.without_face:
        parts.append(f"Images passed over, with no face found in them: {faces.without_face}.")
    return ["\n\n".join(parts)]


def faces_line(faces: FaceStatistics | None) -> list[str]:
    """Say the most in one line; nothing where no faces were embedded."""
    if faces is None:
        return []
    other = "neutral image of the identity" if faces.neutral else "person asked for"
    values = {
        f"to the {other}": faces.similarity,
        "within an identity": faces.consistency,
        "to others": faces.others,
        "to the forbidden, at most": faces.forbidden,
    }
    said = [f"{value:.3f} {what}" for what, value in values.items() if not math.isnan(value)]
    rank = [] if math.isnan(faces.rank1) else [f"rank-1 {percent(faces.rank1)}"]
    return [f"identities: similarity {', '.join([*said, *rank])}"] if said or rank else []


_ROWS = 40
"""Strata and drifts that a card shows at most."""


def strata_section(statistics: Statistics, configuration: Mapping[str, Any]) -> str:
    """Write the section.

    Args:
        statistics: what is committed.
        configuration: the configuration's part of the identity.
    """
    found = drifts(statistics.strata, [au.name for au in statistics.aus])
    parts = [
        "## Drawn and delivered",
        "The policy rejects some expressions more often than others. Drawn is the first spec of "
        "each sample, delivered what the samples became after all attempts and replacements.",
        _shares(statistics),
        "Inside a stratum a replacement may have other AUs than what was drawn first. "
        + _drift_text(found),
    ]
    if found:
        parts.append(_drift_table(found))
    if statistics.slots:
        parts.append(_slots(statistics, configuration))
    return "\n\n".join(parts)


def _shares(statistics: Statistics) -> str:
    strata = statistics.strata
    shown = sorted(strata, key=_gap)[:_ROWS] if len(strata) > _ROWS else strata
    drawn = max(sum(stratum.drawn for stratum in strata), 1)
    rows = [
        [
            stratum.name,
            percent(stratum.asked),
            percent(stratum.drawn / drawn),
            percent(stratum.delivered / max(statistics.total, 1)),
            stratum.delivered,
        ]
        for stratum in shown
    ]
    text = table(["stratum", "quota", "drawn", "delivered", "samples"], rows)
    if len(shown) < len(strata):
        text += f"\n\nThese are the {_ROWS} of {len(strata)} strata that lost or gained most."
    return text


def _gap(stratum: Stratum) -> int:
    return -abs(stratum.delivered - stratum.drawn)


def _drift_text(found: Sequence[Drift]) -> str:
    if not found:
        return f"No AU's rate changed by {percent(DRIFT)} or more."
    shown = "" if len(found) <= _ROWS else f", of which the {_ROWS} largest are shown"
    return f"Rates that changed by {percent(DRIFT)} or more: {len(found)}{shown}."


def _drift_table(found: Sequence[Drift]) -> str:
    rows = [
        [d.stratum, d.au, percent(d.drawn), percent(d.delivered), f"{100 * d.change:+.1f} %"]
        for d in found[:_ROWS]
    ]
    return table(["stratum", "AU", "drawn in", "delivered in", "drift"], rows)


def _slots(statistics: Statistics, configuration: Mapping[str, Any]) -> str:
    asked = configuration["identities"]["quotas"]
    rows = [
        [slot, value, percent(asked[slot].get(value)), percent(count / sum(counts.values()))]
        for slot, counts in statistics.slots.items()
        for value, count in sorted(counts.items())
    ]
    return table(["identity slot", "value", "quota", "delivered"], rows)
