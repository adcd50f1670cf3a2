"""The origin of a dataset on its card: what made it, of what it is a function, how to cite it."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from synthgen.config.run import run_id_of
from synthgen.dataset import layout
from synthgen.dataset.markdown import table
from synthgen.dataset.run_record import RunRecord
from synthgen.dataset.statistics import Statistics


def origin_sections(record: RunRecord, statistics: Statistics) -> list[str]:
    """Write the sections as Markdown.

    Args:
        record: the run.
        statistics: what is committed.
    """
    made_of = _sources(record) if record.sources else _configuration(record)
    return [_origin(record, statistics), made_of, _citation(record)]


def check_names(configuration: Mapping[str, Any]) -> list[str]:
    """Return the names of the checks of a run, as its stored configuration says them.

    Older configurations, and those that say no more, name them by `verifier` and `identity`.
    """
    verify = configuration.get("verify", {})
    if "checks" in verify:
        return [str(check["name"]) for check in verify["checks"]]
    return [str(verify.get("verifier", "unknown"))]


def _origin(record: RunRecord, statistics: Statistics) -> str:
    parts = ["## Origin", f"Made with {_version(record)}."]
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


def _sources(record: RunRecord) -> str:
    """List what was merged; the whole configurations are in the record."""
    rows = []
    for source in record.sources:
        made = source["identity"].get("configuration", {})
        rows.append(
            [
                source["name"],
                source["run"],
                source["rows"],
                made.get("seed", "–"),
                made.get("pipeline", {}).get("name", "–"),
                ", ".join(check_names(made)) or "none",
                source["synthgen_version"],
            ]
        )
    head = ["source", "run", "samples here", "seed", "pipeline", "verifier", "synthgen"]
    return (
        f"## Sources\n\n{table(head, rows)}\n\nThe configuration of each, with the checksums "
        f"of its weights, is in `{layout.RUN}`. `synthgen reproduce` works on a source, not here."
    )


def _citation(record: RunRecord) -> str:
    """Name what tells this dataset from others, and whom to name beside it."""
    return (
        f"## How to cite\n\nThe data: *{_named(record)}; synthetic, made with "
        f"{_version(record)}*. synthgen: its `CITATION.cff`. Where licences or weights are named "
        f"above, cite their papers, too.\n\n```bibtex\n{bibtex(record)}\n```"
    )


def bibtex(record: RunRecord) -> str:
    """Return the citation of the data in BibTeX; whoever publishes it adds `author` and `url`."""
    name = str(record.configuration.get("name", "synthgen dataset"))
    key = re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-") or "synthgen-dataset"
    run = "" if record.sources else f"-{run_id_of(record.configuration)}"
    year = record.created[:4]
    fields = {
        "title": f"{{{_escaped(name)}}}: synthetic faces with FACS Action Units",
        **({"year": year} if year else {}),
        "note": _escaped(f"{_named(record)}; made with {_version(record)}"),
    }
    body = "".join(f"  {field} = {{{value}}},\n" for field, value in fields.items())
    return f"@misc{{{key}{run},\n{body}}}"


def _named(record: RunRecord) -> str:
    """Name the dataset by what tells it from others: its seed and run, or its sources."""
    configuration = record.configuration
    name = configuration.get("name", "synthgen dataset")
    if record.sources:
        of = ", ".join(f"{source['name']} (run {source['run']})" for source in record.sources)
        return f"{name}, merged from {of}"
    return f"{name}, seed {configuration.get('seed', 0)}, run {run_id_of(configuration)}"


def _escaped(text: str) -> str:
    """Escape what BibTeX and LaTeX would take for their own."""
    return re.sub(r"([#$%&_])", r"\\\1", re.sub(r"[\\{}]", "", text))


def _version(record: RunRecord) -> str:
    revision = f" (revision {record.git_revision})" if record.git_revision else ""
    return f"synthgen {record.synthgen_version}{revision}"


def _flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _flatten(child, f"{prefix} {key}".strip())
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value)
