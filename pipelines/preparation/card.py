"""The card of a prepared dataset: by which `load_dataset` reads it, and which people read."""

from collections.abc import Mapping
from typing import Any

import yaml

from pipelines.preparation.rows import DROP_FEATURES
from pipelines.preparation.source import PictureSource
from synthgen.action_units import AUS
from synthgen.dataset import layout
from synthgen.dataset.markdown import table
from synthgen.dataset.schema import Feature, card_features
from synthgen.foreign import excerpt


def card(
    source: PictureSource, record: Mapping[str, Any], features: Mapping[str, Feature]
) -> bytes:
    """Write the card.

    Args:
        source: whose pictures.
        record: what the dataset says of itself.
        features: its columns.
    """
    header = yaml.safe_dump(_header(source, record, features), sort_keys=False, allow_unicode=True)
    return f"---\n{header}---\n\n{_page(source, record)}".encode()


def _header(
    source: PictureSource, record: Mapping[str, Any], features: Mapping[str, Feature]
) -> dict[str, Any]:
    """Return keys and values; the checksum keeps `datasets` from taking other rows for these."""
    data = [
        {"split": split, "path": layout.patterns(layout.DATA, split, record["parts"][split] - 1)}
        for split, number in record["rows"].items()
        if number
    ]
    about = f"Data with the checksum {record['checksum']}."
    configs: list[dict[str, Any]] = [
        {"config_name": "default", "default": True, "data_files": data}
    ]
    infos: list[dict[str, Any]] = [
        {
            "config_name": "default",
            "description": about,
            "features": card_features(features),
        }
    ]
    if record["dropped"]:  # `datasets` cannot load a split without rows
        files = [{"split": "dropped", "path": f"{layout.REJECTS}/*.parquet"}]
        configs.append({"config_name": "rejects", "data_files": files})
        infos.append(
            {
                "config_name": "rejects",
                "description": about,
                "features": card_features(DROP_FEATURES),
            }
        )
    return {
        "pretty_name": f"{source.title}, prepared",
        "license": "other",
        "license_name": "licences-of-the-source",
        "task_categories": ["text-to-image"],
        "configs": configs,
        "dataset_info": infos,
    }


def _page(source: PictureSource, record: Mapping[str, Any]) -> str:
    rows = ", ".join(f"{split} {number}" for split, number in record["rows"].items())
    funnel = [(record["what"], record["listed"])]
    funnel += [(f"− {step}", number) for step, number in record["dropped"].items()]
    funnel.append(("= rows", sum(record["rows"].values())))
    said = [f"- {excerpt(note)}" for note in record["notes"]]
    options = [(key, _shown(value)) for key, value in record["options"].items()]
    models = [(name, _shown(value)) for name, value in record["models"].items()]
    lines = [
        f"# {source.title}, prepared",
        "",
        f"Written by `synthgen data` from a copy that whoever ran it holds. Rows: {rows}. "
        '`load_dataset(…)` gives the rows, `load_dataset(…, "rejects")` each picture that was '
        "dropped, with the step and the reason.",
        "",
        "## Licences",
        "",
        *[f"- {excerpt(what)}: {excerpt(terms)}" for what, terms in record["licences"].items()],
        "",
        "The pictures are those of the source, and show real people where it does: its terms hold "
        "for this dataset too. Do not publish it unless they allow it.",
        "",
        "## What was kept",
        "",
        table(("step", record["what"]), funnel),
        "",
        *(["## What was found out or assumed", "", *said, ""] if said else []),
        "## How",
        "",
        table(("option", "value"), options),
        *(["", table(("model", "what it is"), models)] if models else []),
        "",
        f"AUs, in their order, intensities [0–5]: {', '.join(AUS)}.",
    ]
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(one)}" for key, one in value.items())
    if value is None:
        return "–"
    return excerpt(value, 200)
