"""A dataset against the configuration stored with it: asked, drawn, delivered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from samplers.plan import build_series, category_shares
from samplers.priors import build_prior
from synthgen.action_units import FACS
from synthgen.config import RunConfig
from synthgen.config.components import absent_components
from synthgen.config.loading import parse_document
from synthgen.config.yaml_text import read_yaml_bytes
from synthgen.dataset import Storage, layout, reached, read_markers, read_record
from synthgen.dataset.by_slot import SlotFindings
from synthgen.dataset.card.findings import faces_line
from synthgen.dataset.pace import Pace, measure_pace
from synthgen.dataset.run_record import lost_record, source_names
from synthgen.dataset.slot_text import slot_sentences, slots_line, slots_table
from synthgen.dataset.statistics import Statistics, count
from synthgen.dataset.strata import DRIFT, Drift, describe_short, drifts
from synthgen.errors import ConfigError, DatasetError
from synthgen.foreign import counted, first_line, printable
from synthgen.report.run_summary import describe_pace, describe_reasons


def stored_config(storage: Storage) -> RunConfig:
    """Read the resolved configuration of a dataset, with the place where it lies as its output.

    Components that are not on this machine are no matter until they are to be made.

    Raises:
        DatasetError: if there is none, it cannot be read, or the dataset was merged from others.
    """
    if storage.exists(layout.RUN) and (record := read_record(storage)).sources:
        raise DatasetError(
            f"{storage.url} was merged and has no configuration of its own; look at what it was "
            f"merged from: {source_names(record)}"
        )
    if not storage.exists(layout.CONFIG):
        raise DatasetError(_lack(storage))
    where = f"{storage.url}/{layout.CONFIG}"
    try:
        document = read_yaml_bytes(storage.read(layout.CONFIG), where)
        with absent_components():
            config = parse_document(replace(document, data=of_today(document.data)), where)
    except ConfigError as error:
        raise DatasetError(
            f"the stored configuration cannot be read: {first_line(error)}; if it was damaged, "
            f"`{layout.repair_command(storage.url)}` writes it again from {layout.RUN}"
        ) from error
    output = config.output.model_copy(update={"path": storage.url})
    return config.model_copy(update={"output": output})


_EARLIER = {"ids": "plain", "mark": False}
"""Keys of `output` that a stored configuration leaves out → what that means."""


def of_today(data: object) -> object:
    """Say what a stored configuration leaves out: plain ids and no marks, as earlier versions.

    The path is that of the day on which it was written: it counts for nothing, and earlier versions
    stored a password that it held.
    """
    if isinstance(data, dict) and isinstance(data.get("output"), dict):
        return {**data, "output": {**_EARLIER, **data["output"], "path": "."}}
    return data


def _lack(storage: Storage) -> str:
    if storage.exists(layout.RUN):
        return (
            f"the dataset in {storage.url} has lost {layout.CONFIG}; "
            f"`{layout.repair_command(storage.url)}` writes it again from {layout.RUN}"
        )
    return (
        lost_record(storage)
        or f"{storage.url} is not a synthgen dataset: it has no {layout.CONFIG}"
    )


STRATA = 40
"""Strata and drifts that are shown at most."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A dataset against its configuration.

    Attributes:
        url: where the dataset lies.
        statistics: what it holds.
        asked: stratum → share that the configuration asks for; a stratum of none is not there.
        rates: share of samples in which each AU is to be active: as the prior was asked, and with
            rules and quotas.
        slots: slot → value → share that the configuration asks for.
        pace: how fast it was made; None if no marker tells.
        outside: what judges from outside found, as Markdown; None where that is not asked for.
    """

    url: str
    statistics: Statistics
    asked: Mapping[str, float]
    rates: Sequence[tuple[float, float]]
    slots: Mapping[str, Mapping[str, float]]
    pace: Pace | None
    outside: str | None = None


def compare(url: str, outside: Path | None = None) -> Comparison:
    """Compare a dataset with the configuration that is stored with it.

    Args:
        url: where the dataset lies.
        outside: JSON file of what judges from outside found in it; None: there is none.

    Raises:
        DatasetError: if there is no dataset, or it is corrupt.
        ConfigError: if the stored configuration cannot be read, or the figures are not of this
            data.
    """
    storage = reached(url)
    record = read_record(storage)
    config = stored_config(storage)
    markers = read_markers(storage).values()
    statistics = count(storage, record, markers)
    # No plan: people are dealt out otherwise than in an earlier version, which may be impossible.
    prior = build_prior(config.expressions)
    series = build_series(config.identities, config.expressions, prior)
    asked = {s.name: s.asked for s in statistics.strata if s.asked is not None}
    rates = zip(*(series.share * of for of in (prior.asked_rates(), prior.rates())), strict=True)
    return Comparison(
        url=url,
        statistics=statistics,
        asked=asked or category_shares(series, prior),
        rates=tuple((float(before), float(after)) for before, after in rates),
        slots=config.identities.slot_shares(),
        pace=measure_pace(markers),
        outside=None if outside is None else _outside_block(outside, statistics.checksum),
    )


def _outside_block(path: Path, checksum: str) -> str:
    from pipelines.evaluation.outside import read_outside, tables

    found = read_outside(path, checksum)
    judged = f"judged from outside: {found.images} of {found.accepted} accepted images"
    return printable(f"{judged}\n\n{tables(found)}")


def describe_comparison(found: Comparison) -> str:
    """Write a comparison as plain text, without a newline at the end."""
    statistics = found.statistics
    blocks = [
        _head(found),
        _strata_table(found),
        _slot_table(found),
        _value_table(statistics.by_slot),
        slot_sentences(statistics.by_slot),
        _au_table(found),
        _drift_table(drifts(statistics.strata, [au.name for au in statistics.aus])),
    ]
    text = "\n\n".join("\n".join(block) for block in blocks if block)
    return text if found.outside is None else f"{text}\n\n{found.outside}"


def _head(found: Comparison) -> list[str]:
    statistics = found.statistics
    lines = [
        f"{found.url}: {counted(statistics.total, 'sample')} from "
        f"{counted(statistics.attempts, 'image')}, {len(statistics.missing)} missing"
    ]
    if statistics.unjudged:
        lines.append(f"no check has looked at {statistics.unjudged} of them: accepted is null")
    if statistics.rejected:
        lines.append(describe_reasons(statistics.rejected))
    if short := describe_short(statistics.short, statistics.lacking):
        lines += ["fell short:", *(f"  {line}" for line in short)]
    pace = [] if found.pace is None else describe_pace(found.pace)
    return [*lines, *faces_line(statistics.faces), *slots_line(statistics.by_slot), *pace]


def _strata_table(found: Comparison) -> list[str]:
    strata = found.statistics.strata[:STRATA]
    drawn = sum(stratum.drawn for stratum in found.statistics.strata)
    width = max(len("stratum"), *(len(stratum.name) for stratum in strata))
    rows = [
        f"{s.name:{width}}  {_share(found.asked.get(s.name))}"
        f"  {_share(s.drawn / drawn if drawn else None)}"
        f"  {_share(s.delivered / found.statistics.total if found.statistics.total else None)}"
        for s in strata
    ]
    more = len(found.statistics.strata) - len(strata)
    left = [f"… and {more} more"] if more else []
    head = f"{'stratum':{width}}  {'asked':>8}  {'drawn':>8}  {'delivered':>9}"
    return [head, *rows, *left]


def _slot_table(found: Comparison) -> list[str]:
    rows = []
    for slot, asked in found.slots.items():
        counts = found.statistics.slots[slot]
        total = max(sum(counts.values()), 1)
        for value in sorted({*asked, *counts}):
            share = counts.get(value, 0) / total
            rows.append((f"{slot} {value!r}", asked.get(value), share))
    if not rows:
        return []
    width = max(len("identity slot"), *(len(name) for name, _, _ in rows))
    lines = [f"{name:{width}}  {_share(asked)}  {_share(share)}" for name, asked, share in rows]
    return [f"{'identity slot':{width}}  {'asked':>8}  delivered", *lines]


def _value_table(found: SlotFindings) -> list[str]:
    head, rows = slots_table(found)
    if not rows:
        return []
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def _au_table(found: Comparison) -> list[str]:
    strata = found.statistics.strata
    aus = [au.name for au in found.statistics.aus]
    drawn = _overall([(s.drawn, s.drawn_rates) for s in strata], len(aus))
    delivered = _overall([(s.delivered, s.delivered_rates) for s in strata], len(aus))
    names = max(len(FACS[au]) for au in aus)
    rows = [
        f"{au:5} {FACS[au]:{names}}  {_share(asked)}  {_share(expected)}"
        f"  {_share(drawn[n])}  {_share(delivered[n])}"
        for n, (au, (asked, expected)) in enumerate(zip(aus, found.rates, strict=True))
    ]
    head = f"{'AU active in':{6 + names}}  {'asked':>8}  expected  {'drawn':>8}  delivered"
    return [head, *rows]


def _drift_table(found: Sequence[Drift]) -> list[str]:
    if not found:
        return [f"inside the strata no AU's rate changed by {DRIFT:.1%} or more"]
    shown = found[:STRATA]
    width = max(len("drift inside"), *(len(drift.stratum) for drift in shown))
    rows = [
        f"{drift.stratum:{width}}  {drift.au:5} {_share(drift.drawn)}  {_share(drift.delivered)} "
        f"  {drift.change:+8.1%}"
        for drift in shown
    ]
    more = [f"… and {len(found) - len(shown)} more"] if len(found) > len(shown) else []
    head = f"{'drift inside':{width}}  {'AU':5} {'drawn':>8}  {'delivered':>9}  {'change':>8}"
    return [head, *rows, *more]


def _overall(parts: Sequence[tuple[int, Sequence[float]]], aus: int) -> list[float | None]:
    total = sum(count for count, _ in parts)
    if not total:
        return [None] * aus
    return [sum(count * rates[au] for count, rates in parts) / total for au in range(aus)]


def _share(value: float | None) -> str:
    return f"{'–':>8}" if value is None else f"{value:8.1%}"
