"""The rows of a dataset and their columns, for Arrow, Hugging Face `datasets` and the card.

A feature is the JSON mapping that `datasets` keeps in the schema of a Parquet file; the Arrow type
and the card's YAML follow from it. Written by hand, since importing `datasets` takes seconds.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from synthgen.action_units import AUS, FACS
from synthgen.dataset.labels import au_column
from synthgen.errors import ConfigError
from synthgen.foreign import shown

Feature = dict[str, Any]
"""One column, as `datasets` writes it in JSON."""

DATA_VERSION = 2
"""Number of how this version deals out a run and writes its rows. Since 2, the labels of emotions
have one order in all datasets and stand beside their names, and people of prompts keep their split
under every seed. Datasets of 1 are read, and not continued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One sample of the dataset: what every dataset has, and declared columns.

    Attributes:
        sample_id: name of the sample, unique in the dataset.
        image: encoded image file.
        aus: requested AU vector, an intensity for each AU of the run.
        accepted: whether the image passed all checks; None where there are none.
        attempt: number of the attempt that made the image, from 0.
        replacement: number of the spec among the sample's specs, from 0.
        emotion: category, or None where the prior has none.
        identity_id: name of the identity.
        identity: slot → value.
        prompt: text that the pipeline was given.
        negative_prompt: what the image was not to show.
        seed: seed of the noise that made the image [0, 2^63); with `noise: identity` that of the
            identity, or, where an image blends in its own, of its own.
        pipeline: name of the pipeline.
        verifier: name of the verifier of the first check; None where there are no checks.
        columns: declared column → value; None where there is none.
        expression: name of the expression, or None where the prior has none.
        level: how strong the expression is on its owner's scale, or None where nothing is said.
    """

    sample_id: str
    image: bytes
    aus: tuple[float, ...]
    accepted: bool | None
    attempt: int
    replacement: int
    emotion: str | None
    identity_id: str
    identity: Mapping[str, str]
    prompt: str
    negative_prompt: str
    seed: int
    pipeline: str
    verifier: str | None
    columns: Mapping[str, Any] = field(default_factory=dict)
    expression: str | None = None
    level: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """One attempt that was not kept, with its reason; without its image.

    Attributes:
        reason: `blank`, `no_face`, `active_error`, `each_error`, `inactive`, `missing_au`,
            `au_tolerance`, `identity`, `forbidden` or `error`; of a check that others wrote, its
            name, a colon and its own reason.
        detail: the reason in words, with values.

    The other fields are those of `Row`.
    """

    sample_id: str
    reason: str
    detail: str
    aus: tuple[float, ...]
    attempt: int
    replacement: int
    emotion: str | None
    identity_id: str
    prompt: str
    negative_prompt: str
    seed: int
    pipeline: str
    verifier: str | None
    columns: Mapping[str, Any] = field(default_factory=dict)
    expression: str | None = None
    level: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectImage:
    """The picture of a rejected attempt, which a shard keeps.

    Attributes:
        reject: the attempt.
        image: encoded image file.
        distance: how far it is from keeping the policy; ∞ where that is not known.
    """

    reject: Reject
    image: bytes
    distance: float


def value_feature(dtype: str) -> Feature:
    """Return the feature of single values, such as `float32`, `int64`, `bool` or `string`."""
    return {"dtype": dtype, "_type": "Value"}


def vector_feature(length: int, dtype: str = "float32") -> Feature:
    """Return the feature of lists of a fixed length."""
    return {"feature": value_feature(dtype), "length": length, "_type": "List"}


def image_feature() -> Feature:
    """Return the feature of pictures: a mapping with the `bytes` of a file and its `path`."""
    return {"_type": "Image"}


AUS_MEASURED, ACTIVE_ERROR, INACTIVE_MAX = "aus_measured", "active_error", "inactive_max"
"""Columns of who measures AUs: what was found, an intensity for each AU [0–5], nulls without a
face; mean |requested − measured| over the AUs asked for, null where none was; largest measured
intensity of the others, null where there are none. They stand beside `aus`."""

FACEID_EMBEDDING, FACEID_MEASURED = "faceid_embedding", "faceid_measured"
"""Columns of face embeddings, L2-normalised: of the person asked for, and of the image's face."""

IDENTITY_SIMILARITY, FORBIDDEN_SIMILARITY = "identity_similarity", "forbidden_similarity"
"""Cosine between the embeddings of the image and of the person asked for; the largest one between
that of the image and those that must not appear. Null where one of them is missing."""


def slot_read(slot: str) -> str:
    """Name the column of what a check has read of an identity's slot in the image."""
    return f"slot_{slot}_read"


def slot_probability(slot: str) -> str:
    """Name the column of how probable it is, to the reader [0, 1]."""
    return f"slot_{slot}_probability"


def slot_right(slot: str) -> str:
    """Name the column of the answer to whether it is what the slot names."""
    return f"slot_{slot}_right"


EMBEDDING_WIDTH = 512
"""Numbers of a face embedding."""

FLAME, FLAME_SOURCE = "flame", "flame_source"
"""Columns of expressions that FLAME's numbers say: the numbers that the image was to show, and
whose face they come from, the sha256 of a picture. They stand beside `aus` too."""

REFERENCE_ID, REFERENCE = "reference_id", "reference"
"""Columns of the picture of its person that an image was edited from: its name, and the picture
itself, which is there only where a run was asked to keep it."""

VALENCE, AROUSAL = "valence", "arousal"
"""Columns of the place of the category asked for, by a published map [−1, 1]; null where that has
none."""

_BESIDE_AUS = (FLAME, FLAME_SOURCE, AUS_MEASURED, ACTIVE_ERROR, INACTIVE_MAX)

_IN_ORDER = (
    *_BESIDE_AUS,
    VALENCE,
    AROUSAL,
    REFERENCE_ID,
    REFERENCE,
    FACEID_EMBEDDING,
    FACEID_MEASURED,
    IDENTITY_SIMILARITY,
    FORBIDDEN_SIMILARITY,
)
"""The project's own columns: they keep their order, and others follow them."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a component declares.

    Attributes:
        name: its name.
        feature: its values; a `Value`, a `ClassLabel`, an `Image`, or a `List` of values.
        of: name of the component that declares it.
        in_rejects: whether rejected attempts have it too.
        description: what it holds, in a sentence; empty where its owner says nothing. Better words
            make no other column.
        by_pipeline: whether the pipeline gives it with its images; else a check measures it, or it
            is a condition of the run.
    """

    name: str
    feature: Feature
    of: str
    in_rejects: bool = True
    description: str = field(default="", compare=False)
    by_pipeline: bool = False


@dataclass(frozen=True, slots=True)
class DatasetSchema:
    """The columns of a dataset: a fixed core, and what its components declare.

    Attributes:
        categories: names of the label `emotion`, as `label_names` orders them; empty where the
            prior has none, and then there are no columns `emotion` and `emotion_name`.
        slots: names of the identity slots; empty where there are none, and then there is no
            column `identity`.
        image_format: `png`, `jpeg` or `webp`.
        columns: what is declared.
        source: whether rows name the dataset that they were merged from.
        aus: the AUs of a vector, in its order.
        asked: the categories that the run shows, in its order; empty for all of `categories`.
        expressions: whether expressions have names, in the column `expression`.
        levels: whether they have levels, in the column `level`.
        au_columns: whether each AU of the vectors has columns of its own too.
        data_version: `DATA_VERSION` of the version that began the dataset.
    """

    categories: tuple[str, ...]
    slots: tuple[str, ...]
    image_format: str
    columns: tuple[Column, ...] = ()
    source: bool = False
    aus: tuple[str, ...] = AUS
    asked: tuple[str, ...] = ()
    expressions: bool = False
    levels: bool = False
    au_columns: bool = False
    data_version: int = DATA_VERSION

    @property
    def asked_categories(self) -> tuple[str, ...]:
        """The categories that the run shows, in its order."""
        return self.asked or self.categories

    def has(self, name: str) -> bool:
        """Return whether a column is declared."""
        return any(column.name == name for column in self.columns)


def in_order(columns: Iterable[Column]) -> tuple[Column, ...]:
    """Return columns with the project's own first, in their order; the others stay as they are."""
    places = {name: place for place, name in enumerate(_IN_ORDER)}
    return tuple(sorted(columns, key=lambda column: places.get(column.name, len(places))))


def further_columns(schema: DatasetSchema) -> list[Column]:
    """Return the columns of checks that are not the project's own."""
    return [
        column
        for column in schema.columns
        if column.name not in _IN_ORDER and not column.by_pipeline
    ]


def pipeline_columns(schema: DatasetSchema) -> list[Column]:
    """Return the columns that the pipeline gives with its images."""
    return [column for column in schema.columns if column.by_pipeline]


def check_columns(columns: Sequence[Column]) -> None:
    """Refuse columns that cannot stand in one dataset.

    Raises:
        ConfigError: if two have one name, one has that of a core column, a pipeline's has that of
            what is measured, or one's values cannot be written.
    """
    every = DatasetSchema(("",), ("",), "", source=True, expressions=True, levels=True)
    core = {*data_features(every), "reason", "detail", *AU_COLUMNS}
    owners: dict[str, str] = {}
    for column in columns:
        if column.name in core:
            raise ConfigError(
                f"{column.of!r} declares the column {column.name!r}, which is a dataset's own; it "
                "must have another name"
            )
        if column.by_pipeline and column.name in _IN_ORDER:
            raise ConfigError(
                f"the pipeline {column.of!r} declares the column {column.name!r}, which holds what "
                "checks measure or a run is given; it must have another name"
            )
        if column.name in owners:
            raise ConfigError(
                f"{owners[column.name]!r} and {column.of!r} both declare the column "
                f"{column.name!r}; leave one of them out of verify.checks"
            )
        owners[column.name] = column.of
        if not _is_writable(column.feature):
            raise ConfigError(
                f"{column.of!r} declares the column {column.name!r} as {shown(column.feature)}; "
                "it must be a feature of kind Value, ClassLabel, Image or List of Value"
            )


def _is_writable(feature: object) -> bool:
    match feature:
        case {"_type": "Value", "dtype": str(dtype)}:
            try:
                pa.type_for_alias(dtype)
            except ValueError:
                return False
            return True
        case {"_type": "Image"}:
            return True
        case {"_type": "ClassLabel", "names": [*names]}:
            return all(isinstance(name, str) for name in names)
        case {"_type": "List", "feature": {"_type": "Value"} as inner, **rest}:
            return isinstance(rest.get("length", -1), int) and _is_writable(inner)
    return False


def columns_of_earlier_versions(
    faces: Iterable[str], aus: Sequence[str] = AUS
) -> tuple[Column, ...]:
    """Return the columns of datasets whose record does not declare them.

    Args:
        faces: those of face embeddings that there are.
        aus: the AUs of a vector.
    """
    single = value_feature("float32")
    found = [
        Column(AUS_MEASURED, vector_feature(len(aus)), "libreface"),
        Column(ACTIVE_ERROR, single, "libreface"),
        Column(INACTIVE_MAX, single, "libreface"),
    ]
    for name in faces:
        if name in (FACEID_EMBEDDING, FACEID_MEASURED):
            found.append(Column(name, vector_feature(EMBEDDING_WIDTH), "faceid", in_rejects=False))
        else:
            found.append(Column(name, single, "faceid"))
    return tuple(found)


EMOTION, EMOTION_NAME = "emotion", "emotion_name"
"""Columns of the category, as a ClassLabel and as text; null where there is none."""

SPLIT = "split"
"""Column of the split that a row is in, beside which files and `datasets` name it."""

AU_COLUMNS = {au_column(au, measured) for au in FACS for measured in (False, True)}
"""Columns of single AUs, of all that there may be."""

SOURCE = "source"
"""Column of merged datasets: the name of the dataset that a row comes from."""


def data_features(schema: DatasetSchema) -> dict[str, Feature]:
    """Return the columns of `data/`, in order."""
    return {
        "sample_id": value_feature("string"),
        **_split(schema),
        "image": image_feature(),
        "aus": vector_feature(len(schema.aus)),
        **_declared(schema, beside_aus=True),
        **_aus_alone(schema),
        "accepted": value_feature("bool"),
        "attempt": value_feature("int32"),
        "replacement": value_feature("int32"),
        **_emotion(schema),
        **_expression(schema),
        "identity_id": value_feature("string"),
        **_identity(schema),
        **_declared(schema, beside_aus=False),
        **_origin(schema),
    }


def reject_features(schema: DatasetSchema) -> dict[str, Feature]:
    """Return the columns of `rejects/`, in order: no image, but the reason."""
    return {
        "sample_id": value_feature("string"),
        **_split(schema),
        "reason": value_feature("string"),
        "detail": value_feature("string"),
        "aus": vector_feature(len(schema.aus)),
        **_declared(schema, beside_aus=True, rejects=True),
        **_aus_alone(schema),
        "attempt": value_feature("int32"),
        "replacement": value_feature("int32"),
        **_emotion(schema),
        **_expression(schema),
        "identity_id": value_feature("string"),
        **_declared(schema, beside_aus=False, rejects=True),
        **_origin(schema),
    }


DISTANCE = "distance"
"""Column of kept pictures of rejected attempts: by how much they miss the policy; null where that
is not known, as without a face."""


def reject_image_features(schema: DatasetSchema) -> dict[str, Feature]:
    """Return the columns of `reject_images/`: those of `rejects/`, distance and picture."""
    more = {DISTANCE: value_feature("float32"), "image": image_feature()}
    return {**reject_features(schema), **more}


def arrow_schema(features: Mapping[str, Feature]) -> pa.Schema:
    """Return the Arrow schema of columns, with the metadata by which `datasets` knows them."""
    fields = [pa.field(name, _arrow_type(feature)) for name, feature in features.items()]
    metadata = json.dumps({"info": {"features": dict(features)}})
    return pa.schema(fields, metadata={"huggingface": metadata})


def card_features(features: Mapping[str, Feature]) -> list[dict[str, Any]]:
    """Return the columns as the key `features` of a card's YAML header holds them."""
    return [{"name": name, **_card_type(feature)} for name, feature in features.items()]


def image_columns(features: Mapping[str, Feature]) -> list[str]:
    """Return the columns that hold pictures."""
    return [name for name, feature in features.items() if feature.get("_type") == "Image"]


def leaf_columns(features: Mapping[str, Feature]) -> list[str]:
    """Return the paths of the Parquet columns that hold the values."""
    leaves = []
    for name, feature in features.items():
        arrow_type = _arrow_type(feature)
        if pa.types.is_struct(arrow_type):
            leaves += [f"{name}.{field.name}" for field in arrow_type]
        else:
            leaves.append(f"{name}.list.element" if feature.get("_type") == "List" else name)
    return leaves


def _emotion(schema: DatasetSchema) -> dict[str, Feature]:
    if not schema.categories:
        return {}
    label = {EMOTION: {"names": list(schema.categories), "_type": "ClassLabel"}}
    return {**label, EMOTION_NAME: value_feature("string")} if schema.data_version > 1 else label


def _expression(schema: DatasetSchema) -> dict[str, Feature]:
    return {
        **({"expression": value_feature("string")} if schema.expressions else {}),
        **({"level": value_feature("float32")} if schema.levels else {}),
    }


def _split(schema: DatasetSchema) -> dict[str, Feature]:
    return {SPLIT: value_feature("string")} if schema.data_version > 1 else {}


def _aus_alone(schema: DatasetSchema) -> dict[str, Feature]:
    return {name: value_feature("float32") for name in au_columns(schema)}


def au_columns(schema: DatasetSchema) -> dict[str, tuple[str, int]]:
    """Return the columns of single AUs → vector and place in it; none where there are none."""
    if not schema.au_columns:
        return {}
    measured = (False, True) if schema.has(AUS_MEASURED) else (False,)
    return {
        au_column(au, which): (AUS_MEASURED if which else "aus", place)
        for which in measured
        for place, au in enumerate(schema.aus)
    }


def _identity(schema: DatasetSchema) -> dict[str, Feature]:
    if not schema.slots:
        return {}
    return {"identity": {slot: value_feature("string") for slot in schema.slots}}


def _declared(
    schema: DatasetSchema, *, beside_aus: bool, rejects: bool = False
) -> dict[str, Feature]:
    return {
        column.name: column.feature
        for column in schema.columns
        if (column.name in _BESIDE_AUS) == beside_aus and (column.in_rejects or not rejects)
    }


def _origin(schema: DatasetSchema) -> dict[str, Feature]:
    return {
        "prompt": value_feature("string"),
        "negative_prompt": value_feature("string"),
        "seed": value_feature("int64"),
        "pipeline": value_feature("string"),
        "verifier": value_feature("string"),
        **({SOURCE: value_feature("string")} if schema.source else {}),
    }


def _arrow_type(feature: Feature) -> pa.DataType:
    match feature.get("_type"):
        case "Value":
            return pa.type_for_alias(feature["dtype"])
        case "Image":
            return pa.struct({"bytes": pa.binary(), "path": pa.string()})
        case "List":
            return pa.list_(_arrow_type(feature["feature"]), feature.get("length", -1))
        case "ClassLabel":
            return pa.int64()
    return pa.struct({name: _arrow_type(child) for name, child in feature.items()})


def _card_type(feature: Feature) -> dict[str, Any]:
    match feature.get("_type"):
        case "Value":
            return {"dtype": feature["dtype"]}
        case "Image":
            return {"dtype": "image"}
        case "List":
            length = {"length": feature["length"]} if feature.get("length", -1) >= 0 else {}
            return {"list": feature["feature"]["dtype"], **length}
        case "ClassLabel":
            names = {str(number): name for number, name in enumerate(feature["names"])}
            return {"dtype": {"class_label": {"names": names}}}
    return {"struct": card_features(feature)}
