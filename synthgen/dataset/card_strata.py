"""The card's section on strata: what was asked, drawn and delivered, and what drifted inside."""

from collections.abc import Mapping, Sequence
from typing import Any

from synthgen.dataset.markdown import percent, table
from synthgen.dataset.statistics import Statistics
from synthgen.dataset.strata import Stratum

_ROWS = 40
"""Strata and drifts that a card shows at most."""

_DRIFT = 0.005
"""Smallest change of a rate that is shown."""


def strata_section(statistics: Statistics, configuration: Mapping[str, Any]) -> str:
    """Write the section.

    Args:
        statistics: what is committed.
        configuration: the configuration's part of the identity.
    """
    parts = [
        "## Drawn and delivered",
        "The policy rejects some expressions more often than others. Drawn is the first spec of "
        "each sample, delivered what the samples became after all attempts and replacements.",
        _shares(statistics),
        "Inside a stratum a replacement may have other AUs than what was drawn first. "
        + _drift_text(statistics.strata),
    ]
    if drifts := _drifts(statistics.strata):
        parts.append(table(["stratum", "AU", "drawn in", "delivered in", "drift"], drifts))
    if statistics.slots:
        parts.append(_slots(statistics, configuration))
    return "\n\n".join(parts)


def stratum_share(stratum: Stratum, strata: Sequence[Stratum]) -> tuple[float, float]:
    """Return the share of a stratum among the drawn and among the delivered; NaN of nothing."""
    drawn, delivered = sum(s.drawn for s in strata), sum(s.delivered for s in strata)
    nan = float("nan")
    return (
        stratum.drawn / drawn if drawn else nan,
        stratum.delivered / delivered if delivered else nan,
    )


def _shares(statistics: Statistics) -> str:
    strata = statistics.strata
    shown = sorted(strata, key=_gap)[:_ROWS] if len(strata) > _ROWS else strata
    rows = []
    for stratum in shown:
        drawn, delivered = stratum_share(stratum, strata)
        asked = percent(stratum.asked)
        row = [stratum.name, asked, percent(drawn), percent(delivered), stratum.delivered]
        rows.append(row)
    text = table(["stratum", "quota", "drawn", "delivered", "samples"], rows)
    if len(shown) < len(strata):
        text += f"\n\nThese are the {_ROWS} of {len(strata)} strata that lost or gained most."
    return text


def _gap(stratum: Stratum) -> int:
    return -abs(stratum.delivered - stratum.drawn)


def _drift_text(strata: Sequence[Stratum]) -> str:
    drifts = _all_drifts(strata)
    if not drifts:
        return f"No AU's rate changed by {percent(_DRIFT)} or more."
    shown = "" if len(drifts) <= _ROWS else f", of which the {_ROWS} largest are shown"
    return f"These {len(drifts)} rates changed by {percent(_DRIFT)} or more{shown}:"


def _drifts(strata: Sequence[Stratum]) -> list[list[str]]:
    return [
        [name, au, percent(drawn), percent(delivered), f"{100 * (delivered - drawn):+.1f} %"]
        for name, au, drawn, delivered in _all_drifts(strata)[:_ROWS]
    ]


def _all_drifts(strata: Sequence[Stratum]) -> list[tuple[str, str, float, float]]:
    found = [
        (stratum.name, *drift)
        for stratum in strata
        for drift in stratum.drifts()
        if abs(drift[2] - drift[1]) >= _DRIFT
    ]
    return sorted(found, key=lambda drift: -abs(drift[3] - drift[2]))


def _slots(statistics: Statistics, configuration: Mapping[str, Any]) -> str:
    asked = configuration["identities"]["quotas"]
    rows = [
        [slot, value, percent(asked[slot].get(value)), percent(count / sum(counts.values()))]
        for slot, counts in statistics.slots.items()
        for value, count in sorted(counts.items())
    ]
    return table(["identity slot", "value", "quota", "delivered"], rows)
