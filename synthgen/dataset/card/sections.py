"""Sections of a card on a dataset as it lies there: introduction, loading, contents, checks."""

from collections.abc import Sequence

from synthgen.dataset import layout
from synthgen.dataset.card.origin import check_names
from synthgen.dataset.markdown import number, percent, table
from synthgen.dataset.run_record import RunRecord
from synthgen.dataset.schema import (
    AUS_MEASURED,
    REFERENCE,
    REFERENCE_ID,
    DatasetSchema,
    further_columns,
    pipeline_columns,
)
from synthgen.dataset.statistics import Statistics
from synthgen.dataset.strata import describe_short
from synthgen.foreign import counted, first_few

ANY_FOLDER = "path/of/this/folder"
"""Stands in the card for the dataset's place, which it does not know; a push puts its own there."""

_MISSING_SHOWN = 20


def merged_introduction(record: RunRecord, picture: bool) -> str:
    """Say what a merged dataset is, under its title."""
    names = ", ".join(f"`{source['name']}`" for source in record.sources)
    many = counted(len(record.sources), "dataset")
    lines = [
        f"# {record.configuration.get('name', 'merged dataset')}",
        "",
        "Synthetic faces with the FACS Action Units that they were asked to show and those that "
        f"were measured in them. An AU vector is {len(record.schema.aus)} intensities from 0 "
        "(absent) to 5 (maximum).",
        "",
        f"Merged by `synthgen merge` from {many}: {names}. The column `source` names the dataset "
        "that a row comes from; labels, splits and identities hold for all of them.",
        *_edited(record.schema),
    ]
    if picture:
        lines += ["", f"![The first samples, with the AUs asked for and found]({layout.PICTURE})"]
    return "\n".join(lines)


def introduction(record: RunRecord, picture: bool) -> str:
    """Say what the dataset of a run is, under its title."""
    pipeline = record.configuration.get("pipeline", {}).get("name", "unknown")
    lines = [
        f"# {record.configuration.get('name', 'synthgen dataset')}",
        "",
        _what_faces(record),
        "",
        f"Each sample was made by the pipeline `{pipeline}` from an AU vector and a prompt"
        f"{_judged(check_names(record.configuration))} An AU vector is {len(record.schema.aus)} "
        "intensities from 0 "
        "(absent) to 5 (maximum).",
        *_edited(record.schema),
    ]
    if picture:
        lines += ["", f"![The first samples, with the AUs asked for and found]({layout.PICTURE})"]
    return "\n".join(lines)


def _edited(schema: DatasetSchema) -> list[str]:
    """Say what was edited; nothing where images are made from nothing but numbers and words."""
    if not schema.has(REFERENCE_ID):
        return []
    kept = f"The pictures themselves are in the column `{REFERENCE}`, and may show real people."
    left = "The pictures themselves are not part of this dataset."
    return [
        "",
        f"Images of rows with a `{REFERENCE_ID}` were made by editing a picture of their person, "
        "and have their looks and background from there: it names the picture (the first 16 digits "
        "of the SHA-256 of its file), and is null where an image was made without one. "
        + (kept if schema.has(REFERENCE) else left),
    ]


def _what_faces(record: RunRecord) -> str:
    faces = "Synthetic faces with the FACS Action Units that they were asked to show"
    if not record.schema.has(AUS_MEASURED):
        return f"{faces}; which they show was not measured."
    return f"{faces} and those that were measured in them."


def _judged(checks: Sequence[str]) -> str:
    """Say who looked at the images, after the sentence on who made them."""
    if not checks:
        return (
            ". No check looked at the images: the first one of each sample is kept, and `accepted` "
            "is null."
        )
    if len(checks) == 1:
        who, whose = f"the verifier `{checks[0]}`", "the policy of"
    else:
        who = f"the checks {', '.join(f'`{name}`' for name in checks)}"
        whose = "their policies in"
    return f", measured by {who}, and kept or rejected by {whose} the configuration below."


def loading_section(record: RunRecord, statistics: Statistics) -> str:
    """Write the section as Markdown."""
    rejects = f'rejects = load_dataset("{ANY_FOLDER}", "rejects")    # attempts not kept'
    if not sum(statistics.rejects.values()):
        rejects = '# the configuration "rejects" has no rows: no attempt was rejected'
    return "\n".join(
        [
            "## Loading\n",
            "```python\nfrom datasets import load_dataset\n",
            f'dataset = load_dataset("{ANY_FOLDER}")',
            rejects,
            "```",
            "",
            "Files are named by their split and five or more digits; no other file is loaded. "
            "`datasets` takes `*`, `?` and `[` anywhere in the full path of the folder for "
            "patterns: move the folder, or name the files with "
            '`load_dataset("parquet", data_files=…)`, as behind a URL.',
            "",
            "Join datasets with `synthgen merge ONE OTHER --to BOTH`: labels and splits hold.",
            "",
            _on_aus(record),
        ]
    )


def _on_aus(record: RunRecord) -> str:
    order = "in the order of the table of Action Units below."
    if not record.schema.has(AUS_MEASURED):
        return f"`aus` holds the requested intensities, {order}"
    return (
        "`aus` holds the requested intensities, `aus_measured` those that were found "
        f"({len(record.schema.aus)} nulls where no face was), both {order}"
    )


def contents_section(statistics: Statistics) -> str:
    """Write the section as Markdown: rows by split and by category."""
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
        parts.append(
            "`emotion` holds numbers, which known emotions have in every dataset; read tables by "
            "`emotion_name` and `split`."
        )
    return "\n\n".join(parts)


def aus_section(statistics: Statistics) -> str:
    """Write the section as Markdown: each AU, asked for and found."""
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


def pipeline_section(schema: DatasetSchema) -> list[str]:
    """Write the section as Markdown: columns that the pipeline gives; none where it gives none."""
    columns = pipeline_columns(schema)
    if not columns:
        return []
    rows = [[f"`{column.name}`", column.of, column.description] for column in columns]
    text = "These were given with the images by what made them, and were not measured in them."
    found = table(["column", "given by", "holds"], rows)
    return [f"## Labels of the pipeline\n\n{text}\n\n{found}"]


def verification_section(schema: DatasetSchema, statistics: Statistics) -> str:
    """Write the section as Markdown: what was kept, and why the rest was not."""
    images = f"{statistics.attempts} images were made for {statistics.total} samples; "
    kept = f"{statistics.accepted} kept the policy ({percent(statistics.acceptance)})."
    if unjudged := statistics.unjudged:
        looked = "no check has looked at them: `accepted` is null."
        if unjudged < statistics.total:
            looked = f"no check has looked at {unjudged} samples, whose `accepted` is null."
        kept = f"{statistics.accepted} were kept; {looked}"
    lines = ["## Verification", "", images + kept]
    if further := further_columns(schema):
        rows = [[f"`{column.name}`", column.of] for column in further]
        lines += ["", table(["further column", "measured by"], rows)]
    reasons = {**statistics.rejected, **({"error": statistics.errors} if statistics.errors else {})}
    if reasons:
        lines += ["", table(["reason", "rejected attempts"], reasons.items())]
    if pictures := statistics.reject_images:
        kept = (
            f"`{layout.REJECT_IMAGES}/` holds pictures of {counted(pictures, 'rejected attempt')}: "
            "of each reason and shard those that miss the policy by most. `load_dataset` leaves "
            "them out."
        )
        lines += ["", kept]
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
    shown = first_few(samples, _MISSING_SHOWN)
    return f"{len(samples)} of the samples {are} missing, since no attempt was kept: {shown}."
