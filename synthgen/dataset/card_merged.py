"""The sections of a card that only a merged dataset has."""

from synthgen.dataset import layout
from synthgen.dataset.markdown import table
from synthgen.dataset.run_record import RunRecord


def merged_introduction(record: RunRecord, picture: bool) -> str:
    """Say what a merged dataset is, under its title."""
    names = ", ".join(f"`{source['name']}`" for source in record.sources)
    many = "1 dataset" if len(record.sources) == 1 else f"{len(record.sources)} datasets"
    lines = [
        f"# {record.configuration.get('name', 'merged dataset')}",
        "",
        "Synthetic faces with the FACS Action Units that they were asked to show and those that "
        "were measured in them. An AU vector is 12 intensities from 0 (absent) to 5 (maximum).",
        "",
        f"Merged by `synthgen merge` from {many}: {names}. The column `source` names the dataset "
        "that a row comes from; labels, splits and identities hold for all of them.",
    ]
    if picture:
        lines += ["", f"![The first samples, with the AUs asked for and found]({layout.PICTURE})"]
    return "\n".join(lines)


def sources_section(record: RunRecord) -> str:
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
                made.get("verify", {}).get("verifier", "–"),
                source["synthgen_version"],
            ]
        )
    head = ["source", "run", "samples here", "seed", "pipeline", "verifier", "synthgen"]
    return (
        f"## Sources\n\n{table(head, rows)}\n\nThe configuration of each, with the checksums "
        f"of its weights, is in `{layout.RUN}`. `synthgen reproduce` works on a source, not here."
    )
