"""The columns of a dataset, in the words of Hugging Face `datasets`, of Arrow and of a card.

A feature is the JSON mapping that `datasets` keeps in the schema of a Parquet file; the Arrow type
and the card's YAML follow from it. Written by hand, since importing `datasets` takes seconds.
"""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from synthgen.action_units import AU_COUNT
from synthgen.schema import FACEID_EMBEDDING, FACEID_MEASURED, DatasetSchema

Feature = dict[str, Any]
"""One column, as `datasets` writes it in JSON."""

_IMAGE: Feature = {"_type": "Image"}

SOURCE = "source"
"""Column of merged datasets: the name of the dataset that a row comes from."""

EMBEDDING_WIDTH = 512
"""Numbers of a face embedding."""


def data_features(schema: DatasetSchema) -> dict[str, Feature]:
    """Return the columns of `data/`, in order."""
    return {
        "sample_id": _value("string"),
        "image": _IMAGE,
        **_measurements(),
        "accepted": _value("bool"),
        "attempt": _value("int32"),
        "replacement": _value("int32"),
        **_emotion(schema),
        "identity_id": _value("string"),
        **_identity(schema),
        **_faces(schema, embeddings=True),
        **_origin(schema),
    }


def reject_features(schema: DatasetSchema) -> dict[str, Feature]:
    """Return the columns of `rejects/`, in order: no image, but the reason."""
    return {
        "sample_id": _value("string"),
        "reason": _value("string"),
        "detail": _value("string"),
        **_measurements(),
        "attempt": _value("int32"),
        "replacement": _value("int32"),
        **_emotion(schema),
        "identity_id": _value("string"),
        **_faces(schema, embeddings=False),
        **_origin(schema),
    }


def arrow_schema(features: Mapping[str, Feature]) -> pa.Schema:
    """Return the Arrow schema of columns, with the metadata by which `datasets` knows them."""
    fields = [pa.field(name, _arrow_type(feature)) for name, feature in features.items()]
    metadata = json.dumps({"info": {"features": dict(features)}})
    return pa.schema(fields, metadata={"huggingface": metadata})


def card_features(features: Mapping[str, Feature]) -> list[dict[str, Any]]:
    """Return the columns as the key `features` of a card's YAML header holds them."""
    return [{"name": name, **_card_type(feature)} for name, feature in features.items()]


def leaf_columns(features: Mapping[str, Feature]) -> list[str]:
    """Return the paths of the Parquet columns that hold the values."""
    leaves = []
    for name, feature in features.items():
        arrow_type = _arrow_type(feature)
        if pa.types.is_struct(arrow_type):
            leaves += [f"{name}.{field.name}" for field in arrow_type]
        else:
            leaves.append(f"{name}.list.element" if "length" in feature else name)
    return leaves


def _value(dtype: str) -> Feature:
    return {"dtype": dtype, "_type": "Value"}


def _vector(length: int) -> Feature:
    return {"feature": _value("float32"), "length": length, "_type": "List"}


def _measurements() -> dict[str, Feature]:
    return {
        "aus": _vector(AU_COUNT),
        "aus_measured": _vector(AU_COUNT),
        "active_error": _value("float32"),
        "inactive_max": _value("float32"),
    }


def _emotion(schema: DatasetSchema) -> dict[str, Feature]:
    if not schema.categories:
        return {}
    return {"emotion": {"names": list(schema.categories), "_type": "ClassLabel"}}


def _identity(schema: DatasetSchema) -> dict[str, Feature]:
    if not schema.slots:
        return {}
    return {"identity": {slot: _value("string") for slot in schema.slots}}


def _faces(schema: DatasetSchema, *, embeddings: bool) -> dict[str, Feature]:
    vectors = (FACEID_EMBEDDING, FACEID_MEASURED)
    return {
        name: _vector(EMBEDDING_WIDTH) if name in vectors else _value("float32")
        for name in schema.faces
        if embeddings or name not in vectors
    }


def _origin(schema: DatasetSchema) -> dict[str, Feature]:
    return {
        "prompt": _value("string"),
        "negative_prompt": _value("string"),
        "seed": _value("int64"),
        "pipeline": _value("string"),
        "verifier": _value("string"),
        **({SOURCE: _value("string")} if schema.source else {}),
    }


def _arrow_type(feature: Feature) -> pa.DataType:
    match feature.get("_type"):
        case "Value":
            return pa.type_for_alias(feature["dtype"])
        case "Image":
            return pa.struct({"bytes": pa.binary(), "path": pa.string()})
        case "List":
            return pa.list_(_arrow_type(feature["feature"]), feature["length"])
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
            return {"list": feature["feature"]["dtype"], "length": feature["length"]}
        case "ClassLabel":
            names = {str(number): name for number, name in enumerate(feature["names"])}
            return {"dtype": {"class_label": {"names": names}}}
    return {"struct": card_features(feature)}
