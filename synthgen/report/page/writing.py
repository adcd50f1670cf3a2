"""A dataset's report as one HTML file: figures of all rows, a gallery of some, provenance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from fsspec.implementations.local import LocalFileSystem

from samplers.plan import build_series
from samplers.priors import build_prior
from synthgen.action_units import FACS
from synthgen.dataset import Storage, reached, read_markers, read_record, whole_files
from synthgen.dataset.markers import ShardMarker
from synthgen.dataset.pace import describe_stages, measure_pace
from synthgen.dataset.proportions import Proportion
from synthgen.dataset.run_record import RunRecord
from synthgen.dataset.statistics import Statistics, count, in_order_of_splits
from synthgen.errors import OutputError
from synthgen.foreign import counted, first_line
from synthgen.redaction import without_secrets
from synthgen.report.comparison import Comparison, compare, stored_config
from synthgen.report.page import charts, counting, gallery

PICTURES = 600
"""Rows that the gallery shows, unless another number is asked for; and so many rejects."""

_PEOPLE = 40
_OF_PERSON = 12
_STRATA = 40


@dataclass(frozen=True, slots=True)
class Page:
    """The page that was written.

    Attributes:
        shown: rows in the gallery.
        rows: rows of the dataset.
        rejects: pictures of rejected attempts.
        bytes: size of the page.
    """

    shown: int
    rows: int
    rejects: int
    bytes: int

    def text(self) -> str:
        """Say it in a few words."""
        rejects = f", {counted(self.rejects, 'rejected picture')}" if self.rejects else ""
        shown = f"{self.shown:,} of {counted(self.rows, 'sample')} with pictures{rejects}"
        return f"{shown}; figures of all, {self.bytes / 1e6:.1f} MB"


def write_page(url: str, to: Path, pictures: int = PICTURES, outside: Path | None = None) -> Page:
    """Write the report of a dataset as one page.

    Args:
        url: folder or URL of the dataset, merged or of one run.
        to: HTML file to write; it appears whole.
        pictures: rows, and rejected attempts, that are shown with a picture at most.
        outside: JSON file of what judges from outside found in it; None: there is none.

    Raises:
        MissingDependencyError: if a package of extra `report` is not installed.
        DatasetError: if there is no dataset, or it is corrupt.
        ConfigError: if the stored configuration cannot be read, or the figures from outside are
            not of this data.
        OutputError: if the page cannot be written.
    """
    jinja2 = charts.libraries()[1]
    storage = reached(url)
    record = read_record(storage)
    markers = in_order_of_splits(record, read_markers(storage).values())
    compared = None if record.sources else compare(url)
    statistics = compared.statistics if compared else count(storage, record, markers)
    judged = None if outside is None else _outside(outside, statistics.checksum)
    found = counting.read_attempts(storage, record, markers)
    chosen = gallery.choose(found, pictures)
    cards = gallery.row_cards(storage, record, markers, found, chosen)
    rejects = gallery.reject_cards(storage, record, markers, pictures)
    figures = _figures(storage, record, statistics, compared, found)
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("synthgen.report.page"), autoescape=True
    )
    page = templates.get_template("page.html").render(
        name=str(record.configuration.get("name", "dataset")),
        url=without_secrets(url),
        record=record,
        statistics=statistics,
        aus=[{"name": au, "says": FACS[au]} for au in found.aus],
        facts=_facts(statistics),
        shown=len(cards),
        rejects=len(rejects),
        people=_people(cards),
        figures=figures,
        stages=_stages(markers),
        weights=record.identity.get("weights", {}),
        versions=record.identity.get("versions", {}),
        configuration=yaml.safe_dump(
            _plain(record.configuration), sort_keys=False, allow_unicode=True
        ),
        data={"cards": [*cards, *rejects], "aus": list(found.aus)},
        specs={figure["id"]: figure["spec"] for part in figures.values() for figure in part},
        scripts=charts.scripts(),
        tables=_tables(statistics),
        outside=judged,
    )
    data = page.encode()
    try:
        whole_files.put(LocalFileSystem(), str(to.absolute()), data)
    except OSError as error:
        why = error.strerror or first_line(error)
        raise OutputError(f"cannot write {to}: {why}") from error
    return Page(len(cards), statistics.total, len(rejects), len(data))


def _outside(path: Path, checksum: str) -> dict[str, Any]:
    """Return what judges from outside found, in words without Markdown."""
    from pipelines.evaluation.outside import read_outside, sections

    found = read_outside(path, checksum)
    return {
        "images": found.images,
        "accepted": found.accepted,
        "sections": [
            {
                "title": part.title,
                "text": part.text.replace("**", "").replace("`", ""),
                "head": part.head,
                "rows": part.rows,
            }
            for part in sections(found)
        ],
    }


def _facts(statistics: Statistics) -> list[tuple[str, str]]:
    share = "–" if np.isnan(statistics.acceptance) else f"{statistics.acceptance:.1%}"
    unjudged = [("not judged", f"{statistics.unjudged:,}")] if statistics.unjudged else []
    return [
        ("samples", f"{statistics.total:,}"),
        ("missing", f"{len(statistics.missing):,}"),
        ("people", f"{sum(statistics.identities.values()):,}"),
        ("attempts", f"{statistics.attempts:,}"),
        ("kept", share),
        *unjudged,
        *((f"{split}", f"{rows:,}") for split, rows in statistics.rows.items()),
    ]


def _figures(
    storage: Storage,
    record: RunRecord,
    statistics: Statistics,
    compared: Comparison | None,
    found: counting.Attempts,
) -> dict[str, list[dict[str, Any]]]:
    """Return section → its figures, each with `id`, `title`, `spec`."""
    joint = dict(counting.together(found))
    if compared is not None:
        joint = {"asked": _asked_together(storage), **joint}
    kinds = ["asked", "drawn", "delivered", "measured"]
    rates = [
        {"AU": au, "of": kind, "share": round(float(joint[kind][place, place]), 5)}
        for place, au in enumerate(found.aus)
        for kind in kinds
        if kind in joint
    ]
    combinations, sets = counting.by_combination(found)
    slots = {each.name: each.first for each in statistics.by_slot.values if each.first.total}
    parts: dict[str, list[tuple[str, charts.Spec]]] = {
        "distributions": [
            ("AUs: share of images in which each is active", charts.bars(rates, "AU", kinds)),
            (
                "Intensities: drawn, delivered, measured side by side",
                charts.levels(counting.intensities(found)),
            ),
            *_strata(statistics, compared),
        ],
        "together": charts.matrices(joint, found.aus),
        "response": charts.responses(counting.response(found), found.aus),
        "acceptance": [
            *_acceptance("By AU asked for", counting.by_au(found)),
            *_acceptance("By attempt of a spec", counting.by_number(found)),
            *_acceptance(f"By combination, most asked of {sets}", combinations),
            *_acceptance("By slot value, first attempts", slots),
        ],
    }
    return {
        part: [
            {"id": f"{part}-{number}", "title": title, "spec": spec}
            for number, (title, spec) in enumerate(each)
        ]
        for part, each in parts.items()
    }


def _acceptance(title: str, shares: Mapping[str, Proportion]) -> list[tuple[str, charts.Spec]]:
    return [(title, charts.intervals(shares, ""))] if shares else []


def _strata(statistics: Statistics, compared: Comparison | None) -> list[tuple[str, charts.Spec]]:
    strata = statistics.strata
    drawn = max(sum(stratum.drawn for stratum in strata), 1)
    asked = compared.asked if compared is not None else {}
    records = [
        {"stratum": stratum.name, "of": kind, "share": round(share, 5)}
        for stratum in strata[:_STRATA]
        for kind, share in (
            ("asked", asked.get(stratum.name)),
            ("drawn", stratum.drawn / drawn),
            ("delivered", stratum.delivered / max(statistics.total, 1)),
        )
        if share is not None
    ]
    more = f", the first {_STRATA} of {len(strata)}" if len(strata) > _STRATA else ""
    title = f"Strata (quota cells or categories){more}"
    return [(title, charts.bars(records, "stratum", ["asked", "drawn", "delivered"]))]


def _asked_together(storage: Storage) -> np.ndarray:
    """Return the share of samples in which two AUs are to be active, by the configuration."""
    config = stored_config(storage)
    prior = build_prior(config.expressions)
    series = build_series(config.identities, config.expressions, prior)
    return series.share * np.asarray(prior.joint())


def _people(cards: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return people with their pictures, those of the gallery with most of them."""
    places: dict[str, list[int]] = {}
    for place, card in enumerate(cards):
        places.setdefault(card["person"], []).append(place)
    most = sorted(places.items(), key=lambda item: -len(item[1]))[:_PEOPLE]
    return [
        {
            "name": name,
            "says": ", ".join(f"{k} {v or '–'}" for k, v in cards[own[0]]["slots"].items()),
            "split": cards[own[0]]["split"],
            "cards": own[:_OF_PERSON],
        }
        for name, own in most
    ]


def _tables(statistics: Statistics) -> dict[str, list[tuple[str, int]]]:
    reasons = {**statistics.rejected, **({"error": statistics.errors} if statistics.errors else {})}
    return {"reasons": sorted(reasons.items(), key=lambda item: (-item[1], item[0]))}


def _stages(markers: Sequence[ShardMarker]) -> dict[str, Any]:
    pace = measure_pace(markers)
    seconds: dict[str, float] = {}
    for marker in markers:
        for stage, spent in marker.seconds.items():
            seconds[stage] = seconds.get(stage, 0.0) + spent
    images = max(sum(marker.attempts for marker in markers), 1)
    return {
        "rows": [(stage, spent, 1000 * spent / images) for stage, spent in seconds.items()],
        "says": "" if pace is None else describe_stages(pace),
        "speed": "" if pace is None else f"{pace.overall.images:.3g} images/s",
    }


def _plain(value: Any) -> Any:
    """Return JSON values as YAML writes them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
