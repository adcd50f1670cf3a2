"""Make the reference pages from the code: commands, configuration, columns."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from typer.cli import get_docs_for_click

from cluster.records import dataset_schema, declared_columns
from pipelines.loading import load_checks
from pipelines.procedural.label_columns import LABEL_COLUMNS
from samplers.plan import build_plan
from synthgen.cli.commands import app
from synthgen.config import RunConfig, load_config
from synthgen.dataset.markdown import table
from synthgen.dataset.schema import Feature, Reject, Row, data_features, reject_features

Schema = Mapping[str, Any]

_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "minLength": "{} characters or more",
    "maxLength": "up to {} characters",
    "minItems": "{} or more",
    "maxItems": "up to {}",
}


def commands() -> str:
    """Return the page of all commands with their options, as `-h` tells them."""
    click = typer.main.get_command(app)
    context = typer.Context(click, info_name="synthgen")
    told = get_docs_for_click(obj=click, ctx=context, name="synthgen")
    return told.replace("# `synthgen`", "# Commands", 1).strip() + "\n"


def configuration() -> str:
    """Return the page of all keys of a run's configuration, with ranges and defaults."""
    schema = RunConfig.model_json_schema()
    parts = [
        "# Keys of a configuration",
        "Made from the code. `synthgen config-schema` prints the same as a JSON schema, "
        "[configuration](../configuration.md) tells how a file is read.",
        "## A run",
        _keys(schema),
    ]
    for name, part in schema["properties"].items():
        parts += [f"## `{name}`", part.get("description", "")]
        parts += [text for one in _sections(part, schema) for text in one]
    parts.append("## Parts of sections")
    top = {_reference(one) for part in schema["properties"].values() for one in _choices(part)}
    for name, definition in sorted(schema["$defs"].items()):
        if name not in top and definition.get("properties"):
            parts += [f"### {name}", definition.get("description", ""), _keys(definition)]
    return "\n\n".join(filter(None, parts)) + "\n"


def columns(examples: Path) -> str:
    """Return the page of the columns that the example configurations give.

    Args:
        examples: the folder of the examples.
    """
    parts = [
        "# Columns",
        "Made from the code: the columns of the datasets that the examples give. "
        "[The files of a dataset](../datasets.md#columns) tells what they hold, and in which "
        "datasets there are others.",
    ]
    for name in ("quickstart.yaml", "faceid-mini.yaml", "drawn-faces.yaml"):
        config = load_config(examples / name)
        declared = declared_columns(config, load_checks(config, "cpu"))
        schema = dataset_schema(config, build_plan(config), declared)
        rejects = reject_features(schema)
        found = {**data_features(schema), **rejects}
        rows = [
            [f"`{key}`", _feature(feature), "yes" if key in rejects else "no"]
            for key, feature in found.items()
        ]
        parts += [f"## examples/{name}", table(["column", "values", "in rejects"], rows)]
    editions = [
        [f"`{label}`", f"`{column.name}`", _feature(column.feature(2)), column.description(2)]
        for label, column in LABEL_COLUMNS.items()
    ]
    parts.append("## Labels of drawn faces, edition 2")
    parts.append(table(["`pipeline.labels`", "column", "values", "holds"], editions))
    for kind in (Row, Reject):
        parts += [f"## {kind.__name__}", _attributes(kind.__doc__ or "")]
    return "\n\n".join(parts) + "\n"


def _sections(part: Schema, schema: Schema) -> Iterator[list[str]]:
    for one in _choices(part):
        name = _reference(one)
        section = schema["$defs"][name] if name else one
        if section.get("properties"):
            yield [f"### {_title(section, name)}", section.get("description", ""), _keys(section)]
        elif section.get("description"):
            yield [section["description"]]


def _title(section: Schema, name: str) -> str:
    for key in ("name", "prior", "source"):
        value = section["properties"].get(key, {}).get("const")
        if value:
            return f"`{key}: {value}`"
    return section.get("title") or name


def _choices(part: Schema) -> list[Schema]:
    return part.get("oneOf") or part.get("anyOf") or [part]


def _reference(part: Schema) -> str:
    return part.get("$ref", "").rpartition("/")[2]


def _keys(section: Schema) -> str:
    required = section.get("required", [])
    rows = [
        [
            f"`{name}`",
            _values(key),
            "must be given" if name in required else f"`{json.dumps(key.get('default'))}`",
            key.get("description", "").replace("\n", " "),
        ]
        for name, key in section["properties"].items()
    ]
    return table(["key", "values", "default", ""], rows)


def _values(key: Schema) -> str:
    if options := key.get("anyOf") or key.get("oneOf"):
        return " or ".join(dict.fromkeys(map(_values, options)))
    if name := _reference(key):
        return name
    if "const" in key:
        return f"`{key['const']}`" if isinstance(key["const"], str) else json.dumps(key["const"])
    if "enum" in key:
        return ", ".join(f"`{value}`" for value in key["enum"])
    bounds = [text.format(key[name]) for name, text in _BOUNDS.items() if name in key]
    kind = key.get("type", "anything")
    if kind == "array":
        kind = f"list of {_values(key.get('items', {}))}"
    elif kind == "object" and key.get("title"):
        kind = "mapping"
    return ", ".join([str(kind), *bounds])


def _feature(feature: Feature) -> str:
    match feature.get("_type"):
        case "Value":
            return feature["dtype"]
        case "List":
            length = feature.get("length", -1)
            return f"{length if length >= 0 else ''} {_feature(feature['feature'])}".strip()
        case "ClassLabel":
            return "one of " + ", ".join(feature["names"])
        case "Image":
            return "image"
    return ", ".join(f"{name}: {_feature(child)}" for name, child in feature.items())


def _attributes(doc: str) -> str:
    head, _, rest = doc.partition("Attributes:")
    told, _, end = rest.partition("\n\n    ")
    found: list[str] = []
    for line in filter(str.strip, told.splitlines()):
        if line.startswith(" " * 8) and line[8] != " ":
            name, _, text = line.strip().partition(": ")
            found.append(f"- `{name}`: {text}")
        else:
            found[-1] += " " + line.strip()
    paragraphs = [" ".join(head.split()), "\n".join(found), " ".join(end.split())]
    return "\n\n".join(filter(None, paragraphs))
