"""The card's section on strata: what was asked, drawn and delivered, and what drifted inside."""

from collections.abc import Mapping, Sequence
from typing import Any

from synthgen.dataset.markdown import percent, table
from synthgen.dataset.statistics import Statistics
from synthgen.dataset.strata import DRIFT, Drift, Stratum, drifts

_ROWS = 40
"""Strata and drifts that a card shows at most."""


def strata_section(statistics: Statistics, configuration: Mapping[str, Any]) -> str:
    """Write the section.

    Args:
        statistics: what is committed.
        configuration: the configuration's part of the identity.
    """
    found = drifts(statistics.strata)
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
