"""The text of a dataset card, below its YAML header."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from synthgen.dataset import layout
from synthgen.dataset.card_faces import faces_section
from synthgen.dataset.card_merged import merged_introduction, sources_section
from synthgen.dataset.card_strata import strata_section
from synthgen.dataset.markdown import number, percent, table
from synthgen.dataset.run_record import RunRecord
from synthgen.dataset.shortfall import describe_short
from synthgen.dataset.statistics import Statistics

_MISSING_SHOWN = 20


def body(record: RunRecord, statistics: Statistics, *, picture: bool) -> str:
    """Write the sections of a card as Markdown."""
    merged = bool(record.sources)
    sections = [
        merged_introduction(record, picture) if merged else _introduction(record, picture),
        _loading(statistics),
        _contents(statistics),
        _action_units(statistics),
        _verification(statistics),
        *faces_section(statistics.faces),
        *([] if merged else [strata_section(statistics, record.configuration)]),
        _origin(record, statistics),
        sources_section(record) if merged else _configuration(record),
    ]
    return "\n\n".join(sections) + "\n"


def _introduction(record: RunRecord, picture: bool) -> str:
    pipeline = record.configuration.get("pipeline", {}).get("name", "unknown")
    verifier = record.configuration.get("verify", {}).get("verifier", "unknown")
    lines = [
        f"# {record.configuration.get('name', 'synthgen dataset')}",
        "",
        "Synthetic faces with the FACS Action Units that they were asked to show and those that "
        "were measured in them.",
        "",
        f"Each sample was made by the pipeline `{pipeline}` from an AU vector and a prompt, "
        f"measured by the verifier `{verifier}`, and kept or rejected by the policy of the "
        "configuration below. An AU vector is 12 intensities from 0 (absent) to 5 (maximum).",
    ]
    if picture:
        lines += ["", f"![The first samples, with the AUs asked for and found]({layout.PICTURE})"]
    return "\n".join(lines)


def _loading(statistics: Statistics) -> str:
    rejects = 'rejects = load_dataset("path/of/this/folder", "rejects")    # attempts not kept'
    if not sum(statistics.rejects.values()):
        rejects = '# the configuration "rejects" has no rows: no attempt was rejected'
    return "\n".join(
        [
            "## Loading",
            "",
            "```python",
            "from datasets import load_dataset",
            "",
            'dataset = load_dataset("path/of/this/folder")',
            rejects,
            "```",
            "",
            "Files are named by their split and five or more digits; no other file is loaded. "
            "`datasets` takes `*`, `?` and `[` anywhere in the full path of the folder for "
            "patterns: move the folder, or name the files with "
            '`load_dataset("parquet", data_files=…)`, as behind a URL.',
            "",
            "Join datasets with `synthgen merge ONE OTHER --to BOTH`. `load_dataset` over two "
            "folders reads the labels of both by the names of the first: `happy` may become "
            "`neutral`.",
            "",
            "`aus` holds the requested intensities, `aus_measured` those that were found (12 nulls "
            "where no face was), both in the order of the table of Action Units below.",
        ]
    )


def _contents(statistics: Statistics) -> str:
    splits = list(statistics.rows)
    rows = [
        [split, statistics.rows[split], statistics.identities[split], statistics.rejects[split]]
        for split in splits
    ]
    parts = ["## Contents", table(["split", "samples", "identities", "rejected attempts"], rows)]
    if statistics.categories:
        rows = [
            [name, *(counts[split] for split in splits), sum(counts.values())]
            for name, counts in statistics.categories.items()
        ]
        parts.append(table(["emotion", *splits, "all"], rows))
    return "\n\n".join(parts)


def _action_units(statistics: Statistics) -> str:
    total = statistics.total or 1
    rows = [
        [
            au.name,
            f"{100 * au.requested / total:.1f} %",
            *(number(value) for value in (au.mean_requested, au.mean_measured, au.mean_elsewhere)),
        ]
        for au in statistics.aus
    ]
    head = ["AU", "asked for in", "mean asked for", "mean found there", "mean found elsewhere"]
    return f"## Action Units\n\n{table(head, rows)}"


def _verification(statistics: Statistics) -> str:
    lines = [
        "## Verification",
        "",
        f"{statistics.attempts} images were made for {statistics.total} samples; "
        f"{statistics.accepted} kept the policy ({percent(statistics.acceptance)}).",
    ]
    reasons = {**statistics.rejected, **({"error": statistics.errors} if statistics.errors else {})}
    if reasons:
        lines += ["", table(["reason", "rejected attempts"], reasons.items())]
    if kept := statistics.total - statistics.accepted:
        misses = "misses the policy and was" if kept == 1 else "miss the policy and were"
        lines += ["", f"{kept} of the samples {misses} kept with `accepted` = false."]
    if statistics.missing:
        lines += ["", _missing(statistics.missing)]
    if short := describe_short(statistics.short, statistics.lacking):
        lines += ["", "Strata that fell short:", "", *(f"- {line}" for line in short)]
    return "\n".join(lines)


def _missing(samples: Sequence[str]) -> str:
    are = "is" if len(samples) == 1 else "are"
    more = len(samples) - _MISSING_SHOWN
    shown = ", ".join(samples[:_MISSING_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"{len(samples)} of the samples {are} missing, since no attempt was kept: {shown}."


def _origin(record: RunRecord, statistics: Statistics) -> str:
    revision = f" (revision {record.git_revision})" if record.git_revision else ""
    parts = ["## Origin", f"Made with synthgen {record.synthgen_version}{revision}."]
    if len(statistics.hardware) > 1:
        parts.append(
            f"Its shards were made on hardware of {len(statistics.hardware)} kinds, whose bits "
            f"differ: {', '.join(statistics.hardware)}. Each shard's marker names its own."
        )
    for title, key in (("weights", "weights"), ("package", "versions")):
        if rows := list(_flatten(record.identity.get(key, {}))):
            what = "sha256" if key == "weights" else "version"
            parts.append(table([title, what], rows))
    if record.licences:
        parts.append(table(["licence of", "licence"], sorted(record.licences.items())))
    return "\n\n".join(parts)


def _configuration(record: RunRecord) -> str:
    """Show of what the data is a function: neither the maker's folders nor the cluster."""
    keys = {"name": None, "seed": None, "samples": record.samples, **record.configuration}
    given = {key: value for key, value in keys.items() if value is not None}
    text = yaml.safe_dump(given, sort_keys=False, allow_unicode=True)
    return (
        "## Configuration\n\nWith a folder added as `output.path`, `synthgen generate` makes the "
        f"same data again from it.\n\n```yaml\n{text}```"
    )


def _flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _flatten(child, f"{prefix} {key}".strip())
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value)
