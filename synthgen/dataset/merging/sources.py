"""The datasets that are merged, and their rows under one schema."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from synthgen.config.identities import IDENTITIES, IdentitySection
from synthgen.config.run import run_id_of
from synthgen.dataset import layout
from synthgen.dataset.labels import label_names
from synthgen.dataset.markers import ShardMarker, read_markers
from synthgen.dataset.opening import reached
from synthgen.dataset.parquet import ROWS_PER_GROUP, read_columns
from synthgen.dataset.retry import RetryPolicy
from synthgen.dataset.run_record import RunRecord, read_record
from synthgen.dataset.schema import (
    AU_COLUMNS,
    EMOTION,
    EMOTION_NAME,
    SOURCE,
    SPLIT,
    Column,
    DatasetSchema,
    Feature,
    arrow_schema,
    au_columns,
    data_features,
    in_order,
    reject_features,
)
from synthgen.dataset.storage import Storage
from synthgen.errors import DatasetError
from synthgen.redaction import without_secrets

PATIENCE = 300.0
"""Time for which a call is tried again while a store fails [s], as for a run."""

_PLAIN_ID = r"^(sample|id)-(\d{8,10})$"
"""Ids of earlier versions, which do not name their run."""


_PROMPTED = re.compile(r"id-(?:([0-9a-f]{8})-)?(\d{8,10})")
"""Names of people whom prompts describe."""


_EMBEDDINGS = re.compile(r"face embeddings \((.*?)\)(?: \(of .*\))?", re.DOTALL)
"""Name of the licence of a store's embeddings, with that of their recogniser."""


@dataclass(frozen=True, eq=False)
class Source:
    """A dataset that is merged.

    Attributes:
        name: how rows call it; no other source has this name.
        storage: where it lies.
        record: the run that made it.
        run: short name of that run.
        markers: its finished shards.
        rename: whether plain ids get the run's name.
    """

    name: str
    storage: Storage
    record: RunRecord
    run: str
    markers: tuple[ShardMarker, ...]
    rename: bool = False

    @property
    def url(self) -> str:
        """Its place, as the user wrote it but for passwords."""
        return without_secrets(self.storage.url)

    @property
    def has_plain_ids(self) -> bool:
        """True where its ids do not name its run and are not renamed."""
        output = self.record.configuration.get("output", {})
        return not (self.rename or self.record.sources or output.get("ids"))

    @cached_property
    def seeds(self) -> dict[str, int]:
        """Short name of each run that draws people from prompts, with its seed."""
        return _seeds(self.run, self.record.configuration, self.record.sources)

    def person(self, identity_id: str, prompt: str) -> str:
        """Return what two rows have in common that show one person.

        That is the identity's name, but where prompts describe people: runs of one seed draw the
        same person under a number of one prompt, and call it by their own names.
        """
        found = _PROMPTED.fullmatch(identity_id)
        seed = self.seeds.get(found[1] or self.run) if found else None
        return identity_id if found is None or seed is None else f"{seed} {found[2]} {prompt}"

    @cached_property
    def features(self) -> dict[str, Feature]:
        """Its columns."""
        return data_features(self.record.schema)

    @cached_property
    def reject_features(self) -> dict[str, Feature]:
        """The columns of its rejects."""
        return reject_features(self.record.schema)

    def rows(self, marker: ShardMarker, features: Mapping[str, Feature]) -> Iterator[pa.Table]:
        """Yield the rows of a shard under a joint schema, a row group's worth at a time.

        Columns that say in plain values what others hold are there whatever version wrote the rows.
        """
        file = layout.data_file(*marker.key)
        yield from self._read(file, marker.split, features, self.features)

    def rejects(self, marker: ShardMarker, features: Mapping[str, Feature]) -> Iterator[pa.Table]:
        """Yield the rejected attempts of a shard under a joint schema."""
        if marker.rejects:
            file = layout.reject_file(*marker.key)
            yield from self._read(file, marker.split, features, self.reject_features)

    def _read(
        self, file: str, split: str, features: Mapping[str, Feature], own: Mapping[str, Feature]
    ) -> Iterator[pa.Table]:
        held = {EMOTION_NAME: EMOTION, **{au: vector for au, (vector, _) in self._aus.items()}}
        wanted = dict.fromkeys(held.get(name, name) for name in features)
        there = [name for name in wanted if name in own] or ["sample_id"]
        schema = arrow_schema(features)
        for batch in read_columns(self.storage, file, there, batch_rows=ROWS_PER_GROUP):
            columns = [
                pa.repeat(split, batch.num_rows)
                if name == SPLIT
                else self._column(batch, name, feature, own)
                for name, feature in features.items()
            ]
            yield pa.Table.from_arrays(columns, schema=schema)

    @cached_property
    def _aus(self) -> dict[str, tuple[str, int]]:
        """The columns of single AUs that its vectors give, whether it has them or not."""
        return au_columns(replace(self.record.schema, au_columns=True))

    def _column(
        self, batch: pa.RecordBatch, name: str, feature: Feature, own: Mapping[str, Feature]
    ) -> pa.Array:
        rows = batch.num_rows
        if name == EMOTION_NAME and EMOTION in own:
            return pa.array(own[EMOTION]["names"], pa.string()).take(batch.column(EMOTION))
        if name in self._aus:
            vector, place = self._aus[name]
            return pc.list_element(batch.column(vector), place)  # pyright: ignore
        if name not in own:
            return pa.repeat(self.name, rows) if name == SOURCE else _nothing(feature, rows)
        values = batch.column(name)
        if feature.get("_type") == "ClassLabel":
            numbers = [feature["names"].index(label) for label in own[name]["names"]]
            return pa.array(numbers, pa.int64()).take(values)
        if "_type" not in feature:
            slots = dict(zip(own[name], values.flatten(), strict=True))
            parts = [slots.get(slot, _nothing(part, rows)) for slot, part in feature.items()]
            return pa.StructArray.from_arrays(parts, names=list(feature))
        if self.rename and name in ("sample_id", "identity_id"):
            return pc.replace_substring_regex(  # pyright: ignore[reportAttributeAccessIssue]
                values, pattern=_PLAIN_ID, replacement=rf"\1-{self.run}-\2"
            )
        return values


def open_sources(urls: Sequence[str], rename: bool = False) -> list[Source]:
    """Open the datasets that are to be merged.

    Args:
        urls: folders or URLs.
        rename: give plain ids the name of their run.

    Raises:
        DatasetError: if one is no dataset of ours, holds nothing, is corrupt, or is named twice.
    """
    roots = Counter(Storage(url).root for url in urls)
    for url in urls:
        if roots[Storage(url).root] > 1:
            raise DatasetError(f"{without_secrets(url)} is named twice; name each dataset once")
    opened = [_opened(url) for url in urls]
    names = _distinct([(record, run) for _, record, run, _ in opened])
    return [
        Source(name, storage, record, run, markers, rename)
        for name, (storage, record, run, markers) in zip(names, opened, strict=True)
    ]


def joint_schema(sources: Iterable[Source]) -> DatasetSchema:
    """Return the schema that holds the rows of all sources.

    Known emotions come in their order in every dataset; other categories, and slots, in that in
    which the sources name them first. What a source lacks is null in its rows.

    Raises:
        DatasetError: if the vectors of two sources hold different AUs, or a column holds values of
            several kinds.
    """
    sources = list(sources)
    schemas = [source.record.schema for source in sources]
    for source, schema in zip(sources, schemas, strict=True):
        if schema.aus != schemas[0].aus:
            raise DatasetError(
                f"cannot merge: the AU vectors of {sources[0].name} hold "
                f"{', '.join(schemas[0].aus)}, and those of {source.name} {', '.join(schema.aus)}; "
                "merge datasets with the same AUs"
            )
    return DatasetSchema(
        categories=label_names(_union(schema.categories for schema in schemas)),
        slots=_union(schema.slots for schema in schemas),
        image_format=schemas[0].image_format,
        columns=_joint_columns(sources),
        source=True,
        aus=schemas[0].aus,
        asked=_union(schema.asked_categories for schema in schemas),
        expressions=any(schema.expressions for schema in schemas),
        levels=any(schema.levels for schema in schemas),
        au_columns=any(schema.au_columns for schema in schemas),
    )


def _joint_columns(sources: Iterable[Source]) -> tuple[Column, ...]:
    found: dict[str, tuple[Column, str]] = {}
    for source in sources:
        for column in source.record.schema.columns:
            known, first = found.setdefault(column.name, (column, source.name))
            if known.feature != column.feature:
                raise DatasetError(
                    f"cannot merge: the column {column.name} is {_kind(known.feature)} in {first} "
                    f"and {_kind(column.feature)} in {source.name}; merge datasets whose columns "
                    "of one name hold one kind of values"
                )
    return in_order(column for column, _ in found.values())


def _kind(feature: Feature) -> str:
    """Say what a column holds, in the words of `datasets`."""
    match feature.get("_type"):
        case "Value":
            return str(feature["dtype"])
        case "List":
            length = feature.get("length", -1)
            many = f", {length}" if length >= 0 else ""
            return f"List({_kind(feature['feature'])}{many})"
    return f"ClassLabel({', '.join(feature.get('names', ()))})"


def joint_splits(sources: Iterable[Source]) -> tuple[str, ...]:
    """Return the splits that have rows or rejects, in the order of the sources' configurations."""
    found = []
    for source in sources:
        there = {marker.split for marker in source.markers}
        order = source.record.configuration.get("output", {}).get("splits", ())
        found.append([*(s for s in order if s in there), *sorted(there - set(order))])
    return _union(found)


def joint_facts(sources: Sequence[Source], key: str) -> dict[str, str]:
    """Join what the sources' records say, such as `licences` or the identity's `weights`.

    What two sources say differently under one name is told of each: `base (of faces)`.
    """
    said: dict[str, dict[str, str]] = {}
    for source in sources:
        facts = source.record.licences if key == "licences" else source.record.identity.get(key, {})
        for name, value in facts.items():
            said.setdefault(name, {})[source.name] = value
    joint: dict[str, str] = {}
    for name, values in said.items():
        if len(set(map(str, values.values()))) == 1:
            joint[name] = next(iter(values.values()))
        else:
            joint.update({f"{name} (of {source})": value for source, value in values.items()})
    return joint


def describe_source(source: Source, rows: int) -> dict[str, Any]:
    """Return what the record of a merged dataset keeps of a source."""
    record = source.record
    return {
        "name": source.name,
        "url": source.url,
        "run": source.run,
        "rows": rows,
        "identity": record.identity,
        "licences": dict(record.licences),
        "synthgen_version": record.synthgen_version,
        "git_revision": record.git_revision,
        "created": record.created,
        **({"sources": list(record.sources)} if record.sources else {}),
    }


def lacking(sources: Iterable[Source], features: Mapping[str, Feature]) -> list[str]:
    """Say which columns are null in the rows of which source, a sentence each.

    Columns that say in plain values what others hold are as full as these.
    """
    notes = []
    plain = {SOURCE, SPLIT, EMOTION_NAME, *AU_COLUMNS}
    for source in sources:
        absent = [name for name in features if name not in source.features and name not in plain]
        slots = features.get("identity", {})
        absent += [
            f"identity.{slot}"
            for slot in slots
            if "identity" not in absent and slot not in source.features.get("identity", {})
        ]
        if absent:
            notes.append(f"{', '.join(absent)}: null in the rows of {source.name}, which has none")
    return notes


def _seeds(
    run: str, configuration: Mapping[str, Any], sources: Iterable[Mapping[str, Any]]
) -> dict[str, int]:
    found = {}
    for source in sources:
        made = source["identity"].get("configuration", {})
        found.update(_seeds(source["run"], made, source.get("sources", ())))
    if _follows_prompts(configuration.get("identities", {}).get("source")):
        found[run] = configuration["seed"]
    return found


def _follows_prompts(name: object) -> bool:
    """Tell whether a source draws the same people in every run of one seed; its name is foreign."""
    section = IDENTITIES.sections().get(name) if isinstance(name, str) else None
    return section is not None and cast(type[IdentitySection], section).follows_prompts


def mixed_embedders(sources: Iterable[Source]) -> list[str]:
    """Say where people are described by recognisers of several kinds, which mean different things.

    A record names them with the licence of the embeddings.
    """
    named: dict[str, dict[str, None]] = {}
    for source in sources:
        for what in source.record.licences:
            if found := _EMBEDDINGS.fullmatch(what):
                named.setdefault(found[1], {})[source.name] = None
    if len(named) < 2:
        return []
    said = "; ".join(f"{name} in {', '.join(where)}" for name, where in named.items())
    return [
        f"people are described by recognisers of {len(named)} kinds ({said}): compare embeddings "
        "and similarities within a source alone"
    ]


def _opened(url: str) -> tuple[Storage, RunRecord, str, tuple[ShardMarker, ...]]:
    storage = reached(url, RetryPolicy(PATIENCE))
    record = read_record(storage)
    markers = tuple(read_markers(storage).values())
    if not any(marker.rows for marker in markers):
        raise DatasetError(f"{without_secrets(url)} holds no finished sample; nothing to merge")
    return storage, record, run_id_of(record.configuration), markers


def _distinct(runs: Sequence[tuple[RunRecord, str]]) -> list[str]:
    """Name each source by its run's name; where two share it, by the short name too."""
    names = [str(record.configuration.get("name", "dataset")) for record, _ in runs]
    taken = Counter(names)
    for place, (_, run) in enumerate(runs):
        if taken[names[place]] > 1:
            names[place] = f"{names[place]}-{run}"
    twice = Counter(names)
    return [name if twice[name] == 1 else f"{name}-{place + 1}" for place, name in enumerate(names)]


def _nothing(feature: Feature, rows: int) -> pa.Array:
    """Return a column without values, which Parquet can be read back with: see `parquet`."""
    if feature.get("_type") == "List":
        kind = arrow_schema({"": feature}).field(0).type
        if not pa.types.is_fixed_size_list(kind):
            return pa.nulls(rows, kind)
        values = pa.nulls(rows * kind.list_size, kind.value_type)
        return pa.FixedSizeListArray.from_arrays(values, kind.list_size)
    if "_type" not in feature:
        parts = [_nothing(part, rows) for part in feature.values()]
        return pa.StructArray.from_arrays(parts, names=list(feature))
    return pa.nulls(rows, arrow_schema({"": feature}).field(0).type)


def _union(names: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for some in names for name in some))
