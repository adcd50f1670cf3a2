"""`run.json`: of what the data is a function, and with what it was made."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from synthgen.action_units import AUS, ActionUnitSet
from synthgen.dataset import layout
from synthgen.dataset.schema import (
    DATA_VERSION,
    Column,
    DatasetSchema,
    columns_of_earlier_versions,
)
from synthgen.dataset.storage import Storage
from synthgen.errors import DatasetError, OutputError
from synthgen.foreign import excerpt, first_few

CONFIGURATION = "configuration"
"""Key of the configuration's part of an identity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run as it is stored with its data.

    Attributes:
        identity: identity of the data, nested JSON values: `configuration` (that of
            `RunConfig.identity`), `weights` (file → sha256), `versions` (package → version) and,
            where there are any, `labels` (file → sha256) that the prior reads and `stores` (use →
            sha256) of face embeddings. It alone decides whether a run may
            continue.
        samples: samples asked for.
        schema: what the columns depend on.
        synthgen_version: version of synthgen.
        git_revision: revision of its checkout, or None outside of one.
        licences: weights → licence.
        created: when the run was begun, ISO 8601.
        hardware: kinds of accelerator that were to make it, the first one first; none where an
            older version began it. Bits depend on them, yet they are no part of the identity.
        sources: of a merged dataset, what it was merged from: for each dataset its `name`, `url`,
            `run`, `rows`, and its record's `identity`, `licences`, `synthgen_version`,
            `git_revision` and `created`; none for what a run makes.
    """

    identity: Mapping[str, Any]
    samples: int
    schema: DatasetSchema
    synthgen_version: str
    git_revision: str | None = None
    licences: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    hardware: tuple[str, ...] = ()
    sources: tuple[Mapping[str, Any], ...] = ()

    @property
    def configuration(self) -> Mapping[str, Any]:
        """The configuration's part of the identity."""
        return self.identity.get(CONFIGURATION, {})

    @property
    def outdated(self) -> str | None:
        """Beginner of the dataset, where that was a version that dealt runs out in another way."""
        if self.schema.data_version == DATA_VERSION:
            return None
        at = f", revision {self.git_revision}" if self.git_revision else ""
        return (
            f"was begun by an earlier version (synthgen {self.synthgen_version}{at}), which orders "
            "labels and deals people of prompts out to splits in another way"
        )

    def to_json(self) -> bytes:
        """Write the record for people and programs to read."""
        values = asdict(self)
        schema = values["schema"]
        version = schema.pop("data_version")
        if not self.sources:
            del values["sources"], schema["source"]
        if self.schema.aus == AUS:
            del schema["aus"]
        for key in _WHERE_THERE:
            if not schema[key]:
                del schema[key]
        for column in schema["columns"]:
            for key in _WHERE_SAID:
                if not column[key]:
                    del column[key]
        return layout.to_json({"data_version": version, **values})


_WHERE_THERE = ("asked", "expressions", "levels", "au_columns")
"""Keys of the schema that most datasets have no use for."""

_WHERE_SAID = ("description", "by_pipeline")
"""Keys of a column that most columns have no use for."""


def parse_record(data: bytes) -> RunRecord:
    """Read a record.

    Raises:
        DatasetError: if it is not a whole record, or one of a later version.
    """
    try:
        values = layout.from_json(data)
        version = int(values.pop("data_version", 1))
        if version > DATA_VERSION:
            raise DatasetError(
                f"{layout.RUN} was written by a later version of synthgen (data_version is "
                f"{version}; this one reads up to {DATA_VERSION}): use that one"
            )
        schema = values.pop("schema")
        _check_mappings(values)
        return RunRecord(
            **{
                **values,
                "identity": dict(values["identity"]),
                "samples": int(values["samples"]),
                "hardware": tuple(str(kind) for kind in values.get("hardware", ())),
                "sources": tuple(dict(source) for source in values.get("sources", ())),
            },
            schema=DatasetSchema(
                categories=tuple(schema["categories"]),
                slots=tuple(schema["slots"]),
                image_format=schema["image_format"],
                columns=_columns(schema),
                source=bool(schema.get("source", False)),
                aus=ActionUnitSet.of(schema.get("aus", AUS)).names,
                asked=tuple(schema.get("asked", ())),
                expressions=bool(schema.get("expressions", False)),
                levels=bool(schema.get("levels", False)),
                au_columns=bool(schema.get("au_columns", False)),
                data_version=version,
            ),
        )
    except layout.NOT_WHOLE as error:
        raise DatasetError(
            f"{layout.RUN} is corrupt ({layout.cause(error)}); put it back from a copy, let "
            "`synthgen repair` make it again where it can prove it, or start anew with --overwrite"
        ) from error


def _columns(schema: Mapping[str, Any]) -> tuple[Column, ...]:
    if "columns" not in schema:
        return columns_of_earlier_versions(schema.get("faces", ()), schema.get("aus", AUS))
    return tuple(
        Column(
            name=str(column["name"]),
            feature=dict(column["feature"]),
            of=str(column["of"]),
            in_rejects=bool(column["in_rejects"]),
            description=str(column.get("description", "")),
            by_pipeline=bool(column.get("by_pipeline", False)),
        )
        for column in schema["columns"]
    )


def _check_mappings(values: Mapping[str, Any]) -> None:
    """Refuse a record whose parts are of other kinds: who reads them relies on it."""
    parts = {"identity": values["identity"], "licences": values.get("licences", {})}
    if isinstance(parts["identity"], dict):
        parts |= {key: parts["identity"].get(key, {}) for key in (CONFIGURATION, "weights")}
    configuration = parts.get(CONFIGURATION)
    if isinstance(configuration, dict):
        sections = ("output", "expressions", "identities", "pipeline", "verify")
        parts |= {key: configuration[key] for key in sections if key in configuration}
    for name, part in parts.items():
        if not isinstance(part, dict):
            raise ValueError(f"{name} is a {type(part).__name__}")


def read_record(storage: Storage) -> RunRecord:
    """Read the record of a dataset.

    Raises:
        DatasetError: if there is no dataset of ours, or its record is corrupt.
    """
    if not storage.exists(layout.RUN):
        raise DatasetError(
            lost_record(storage)
            or f"there is no synthgen dataset in {storage.url}: no {layout.RUN}"
        )
    return parse_record(storage.read(layout.RUN))


def lost_record(storage: Storage) -> str | None:
    """Say what became of a dataset that lies there without its record; None where there is none."""
    shards = any(map(layout.shard_of, storage.names(layout.DATA)))
    if storage.exists(layout.CONFIG) and (shards or storage.names(layout.MARKERS)):
        return (
            f"the dataset in {storage.url} has lost its record {layout.RUN}; put it back from a "
            f"copy, or let `{layout.repair_command(storage.url)}` make it again where it can prove "
            "it"
        )
    if shards and storage.exists(layout.CARD):
        return (
            f"{storage.url} holds the rows and the card of a dataset without its folder .synthgen "
            "(record, configuration, checksums), which a copy of 'SOURCE/*' leaves out: "
            "load_dataset reads it as it is; for all else copy the whole folder, as with `cp -a "
            f"SOURCE/. {shlex.quote(storage.url)}` or `rsync -a SOURCE/ {shlex.quote(storage.url)}`"
        )
    return None


def source_names(record: RunRecord) -> str:
    """Name the datasets that a dataset was merged from, the first ones, and where they lie."""
    return first_few([f"{s['name']} ({excerpt(s['url'], 80)})" for s in record.sources], 3)


def joined_hardware(
    url: str, old: Sequence[str], new: Sequence[str], *, mixed: bool = False
) -> tuple[str, ...]:
    """Return the kinds of accelerator of a run that goes on: those that it had, then others.

    Args:
        url: where the dataset lies, for the error.
        old: kinds of its record; none where an older version began it.
        new: kinds that would go on with it.
        mixed: `cluster.mixed_hardware`.

    Raises:
        OutputError: if another kind would go on and kinds are not to be mixed.
    """
    others = [kind for kind in new if kind not in old]
    if old and others and not mixed:
        raise OutputError(
            f"{url} was begun on {' and '.join(old)} and would go on on {others[0]}, whose bits "
            f"differ; continue it on {old[0]}, or set cluster.mixed_hardware to true"
        )
    return (*old, *others)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """List the keys in which two identities differ, as `pipeline.batch_size: 16 → 8`."""
    before, after = dict(_flatten(old)), dict(_flatten(new))
    keys = dict.fromkeys([*before, *after])
    changed = [
        f"{key.removeprefix(CONFIGURATION + '.')}: {_show(before, key)} → {_show(after, key)}"
        for key in keys
        if before.get(key) != after.get(key)
    ]
    return changed + list(_reordered(old.get(CONFIGURATION, {}), new.get(CONFIGURATION, {})))


def _reordered(old: Any, new: Any, prefix: str = "") -> Iterator[str]:
    """Yield the mappings of equal keys in another order: draws go by the order of values."""
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        return
    if set(old) == set(new) and list(old) != list(new):
        yield f"order of {prefix}: {', '.join(old)} → {', '.join(new)}"
    for key in old:
        yield from _reordered(old[key], new.get(key), f"{prefix}.{key}".removeprefix("."))


def _flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted key and JSON text of each value; an empty mapping is a value."""
    if isinstance(value, Mapping) and value:
        for key, child in value.items():
            yield from _flatten(child, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, json.dumps(value, ensure_ascii=False)


def _show(values: Mapping[str, str], key: str) -> str:
    text = values.get(key, "nothing")
    return text if len(text) <= 40 else f"{text[:39]}…"
