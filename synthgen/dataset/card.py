"""The dataset card: a dataset described for people and for `load_dataset`."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from PIL import Image

from synthgen.action_units import ActionUnitSet
from synthgen.dataset import layout
from synthgen.dataset.damage import DamagedShardError, changed_files
from synthgen.dataset.markdown import number, percent, table
from synthgen.dataset.markers import ShardMarker, read_markers
from synthgen.dataset.origin import check_names, origin_sections
from synthgen.dataset.parquet import read_columns
from synthgen.dataset.run_record import RunRecord, read_record
from synthgen.dataset.schema import (
    AUS_MEASURED,
    REFERENCE,
    REFERENCE_ID,
    DatasetSchema,
    card_features,
    data_features,
    further_columns,
    reject_features,
)
from synthgen.dataset.sheet import contact_sheet, encode_png
from synthgen.dataset.slot_text import slots_section
from synthgen.dataset.statistics import FaceStatistics, Statistics, count
from synthgen.dataset.storage import Storage
from synthgen.dataset.strata import DRIFT, Drift, Stratum, describe_short, drifts
from synthgen.foreign import counted, first_few


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


_MISSING_SHOWN = 20


def body(record: RunRecord, statistics: Statistics, *, picture: bool) -> str:
    """Write the sections of a card as Markdown."""
    merged = bool(record.sources)
    sections = [
        merged_introduction(record, picture) if merged else _introduction(record, picture),
        _loading(record, statistics),
        _contents(statistics),
        _action_units(statistics),
        _verification(record.schema, statistics),
        *faces_section(statistics.faces),
        *slots_section(statistics.by_slot),
        *([] if merged else [strata_section(statistics, record.configuration)]),
        *origin_sections(record, statistics),
    ]
    return "\n\n".join(sections) + "\n"


def _introduction(record: RunRecord, picture: bool) -> str:
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


def _loading(record: RunRecord, statistics: Statistics) -> str:
    rejects = 'rejects = load_dataset("path/of/this/folder", "rejects")    # attempts not kept'
    if not sum(statistics.rejects.values()):
        rejects = '# the configuration "rejects" has no rows: no attempt was rejected'
    return "\n".join(
        [
            "## Loading\n",
            "```python\nfrom datasets import load_dataset\n",
            'dataset = load_dataset("path/of/this/folder")',
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
        parts.append(
            "`emotion` holds numbers, which known emotions have in every dataset; read tables by "
            "`emotion_name` and `split`."
        )
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


def _verification(schema: DatasetSchema, statistics: Statistics) -> str:
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


_PICTURES = 12

_HUB_LICENCES = ("apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0")
"""Licences under the names that the Hub knows; any other becomes `other`."""

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)


def write_card(storage: Storage) -> None:
    """Write the card and its picture from what is committed.

    Raises:
        DatasetError: if there is no dataset, or a shard or marker is corrupt; it is a
            `DamagedShardError` where a shard's files are not what its marker says.
        OutputError: if a file cannot be written.
    """
    record = read_record(storage)
    markers = read_markers(storage)
    statistics = count(storage, record, markers.values())
    picture = _picture(storage, record, list(markers.values()))
    if picture is not None:
        storage.write(layout.PICTURE, picture)
    card = render_card(record, statistics, picture=picture is not None)
    storage.write(layout.CARD, card.encode())


def render_card(record: RunRecord, statistics: Statistics, *, picture: bool = False) -> str:
    """Write the card as Markdown with a YAML header; equal arguments give equal text.

    Args:
        record: the run.
        statistics: what is committed.
        picture: whether the sheet of samples lies beside the card.
    """
    header = yaml.safe_dump(_header(record, statistics), sort_keys=False, allow_unicode=True)
    return f"---\n{header}---\n\n{body(record, statistics, picture=picture)}"


def _header(record: RunRecord, statistics: Statistics) -> dict[str, Any]:
    rejects = {split: rows for split, rows in statistics.rejects.items() if rows}
    # `datasets` cannot load a split without rows, so only those with rows are named. Where nothing
    # was rejected all are: then streaming at least gives the columns and no row.
    return {
        "pretty_name": str(record.configuration.get("name", "synthgen dataset")),
        **_licence(record.licences),
        "task_categories": ["image-classification"],
        "tags": ["synthetic", "faces", "facial-expressions", "action-units", "facs", "synthgen"],
        "size_categories": [_size(statistics.total)],
        "configs": [
            {
                "config_name": "default",
                "default": True,
                "data_files": _files(layout.DATA, _filled(statistics.rows), statistics.last_shards),
            },
            {
                "config_name": "rejects",
                "data_files": _files(
                    layout.REJECTS,
                    _filled(rejects) or list(statistics.rows),
                    statistics.last_shards,
                ),
            },
        ],
        "dataset_info": [
            _info("default", data_features(record.schema), statistics),
            _info("rejects", reject_features(record.schema), statistics),
        ],
    }


def _info(name: str, features: Mapping[str, Any], statistics: Statistics) -> dict[str, Any]:
    """Describe a configuration.

    `datasets` caches rows under a hash of the header, neither of the files nor of their folder, so
    the header says the checksum: other rows in the same columns would else be taken for these.
    """
    return {
        "config_name": name,
        "description": f"Data with the checksum {statistics.checksum}.",
        "features": card_features(features),
    }


def _filled(rows: Mapping[str, int]) -> list[str]:
    return [split for split, number in rows.items() if number]


def _files(
    folder: str, splits: list[str], last_shards: Mapping[str, int]
) -> list[dict[str, str | list[str]]]:
    """Name the shards of each split, and nothing that only looks like one of them."""
    files: list[dict[str, str | list[str]]] = []
    for split in splits:
        patterns = layout.patterns(folder, split, last_shards.get(split, 0))
        files.append({"split": split, "path": patterns[0] if len(patterns) == 1 else patterns})
    return files


def _licence(licences: Mapping[str, str]) -> dict[str, Any]:
    names = {licence.lower() for licence in licences.values()}
    if len(names) == 1 and names <= set(_HUB_LICENCES):
        return {"license": names.pop()}
    return {"license": "other", "license_name": "licences-of-the-weights"}


def _size(rows: int) -> str:
    return next((name for bound, name in _SIZES if rows < bound), "100M<n<1B")


def _picture(storage: Storage, record: RunRecord, markers: list[ShardMarker]) -> bytes | None:
    """Draw the first samples of the first shard that has rows, in `train` if there are any.

    Flipped bytes may still be a picture, of something else, so the checksum is compared first.
    """
    filled = [marker for marker in markers if marker.rows]
    if not filled:
        return None
    first = min(filled, key=lambda marker: (marker.split != "train", marker.key))
    if problems := changed_files(storage, first):
        raise DamagedShardError(first, problems)
    name = layout.data_file(*first.key)
    aus = ActionUnitSet(record.schema.aus)
    measured = [AUS_MEASURED] if record.schema.has(AUS_MEASURED) else []
    columns = ["image", "aus", *measured]
    rows = next(read_columns(storage, name, columns, batch_rows=_PICTURES)).to_pylist()
    images = [Image.open(io.BytesIO(row["image"]["bytes"])) for row in rows]
    captions = [
        "\n".join(
            [f"asked {aus.describe(row['aus'])}", *(_found(aus, row[name]) for name in measured)]
        )
        for row in rows
    ]
    return encode_png(contact_sheet(images, captions))


def _found(names: ActionUnitSet, aus: list[float | None]) -> str:
    if None in aus:
        return "no face found"
    return f"found {names.describe([value if value and value >= 0.5 else 0.0 for value in aus])}"
