"""The rows of a dataset and their columns, for Arrow, Hugging Face `datasets` and the card.

A feature is the JSON mapping that `datasets` keeps in the schema of a Parquet file; the Arrow type
and the card's YAML follow from it. Written by hand, since importing `datasets` takes seconds.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from synthgen.action_units import AUS


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One sample of the dataset.

    Attributes:
        sample_id: name of the sample, unique in the dataset.
        image: encoded image file.
        aus: requested AU vector, an intensity for each AU of the run.
        aus_measured: what the verifier found, an intensity for each AU [0–5]; None where no face
            was found, which is stored as nulls.
        active_error: mean |requested − measured| over the AUs asked for; None where none was.
        inactive_max: largest measured intensity of the others; None where there are none.
        accepted: whether the image keeps the policy.
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
        verifier: name of the verifier.
        faceid_embedding: embedding of the person asked for, 512 numbers, L2-normalised; None where
            the prompt alone says who is shown.
        faceid_measured: embedding of the image's face; None where no face was found or nobody
            looked for one.
        identity_similarity: cosine between the embedding of the image and that of the person asked
            for; None where one of them is missing.
        forbidden_similarity: largest cosine between the embedding of the image and those that must
            not appear; None where one of them is missing.
    """

    sample_id: str
    image: bytes
    aus: tuple[float, ...]
    aus_measured: tuple[float, ...] | None
    active_error: float | None
    inactive_max: float | None
    accepted: bool
    attempt: int
    replacement: int
    emotion: str | None
    identity_id: str
    identity: Mapping[str, str]
    prompt: str
    negative_prompt: str
    seed: int
    pipeline: str
    verifier: str
    faceid_embedding: tuple[float, ...] | None = None
    faceid_measured: tuple[float, ...] | None = None
    identity_similarity: float | None = None
    forbidden_similarity: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """One attempt that was not kept, with its reason; without its image.

    Attributes:
        reason: `blank`, `no_face`, `active_error`, `inactive`, `missing_au`, `au_tolerance`,
            `identity`, `forbidden` or `error`.
        detail: the reason in words, with values.

    The other fields are those of `Row`.
    """

    sample_id: str
    reason: str
    detail: str
    aus: tuple[float, ...]
    aus_measured: tuple[float, ...] | None
    active_error: float | None
    inactive_max: float | None
    attempt: int
    replacement: int
    emotion: str | None
    identity_id: str
    prompt: str
    negative_prompt: str
    seed: int
    pipeline: str
    verifier: str
    identity_similarity: float | None = None
    forbidden_similarity: float | None = None


FACEID_EMBEDDING, FACEID_MEASURED = "faceid_embedding", "faceid_measured"
IDENTITY_SIMILARITY, FORBIDDEN_SIMILARITY = "identity_similarity", "forbidden_similarity"

FACE_COLUMNS = (FACEID_EMBEDDING, FACEID_MEASURED, IDENTITY_SIMILARITY, FORBIDDEN_SIMILARITY)
"""Columns that a dataset has only where faces are embedded, in order."""


@dataclass(frozen=True, slots=True)
class DatasetSchema:
    """Settings that the columns depend on.

    Attributes:
        categories: emotion categories in ClassLabel order; empty where the prior has none, and
            then there is no column `emotion`.
        slots: names of the identity slots; empty where there are none, and then there is no
            column `identity`.
        image_format: `png`, `jpeg` or `webp`.
        faces: those of `FACE_COLUMNS` that there are, in order.
        source: whether rows name the dataset that they were merged from.
        aus: the AUs of a vector, in its order.
    """

    categories: tuple[str, ...]
    slots: tuple[str, ...]
    image_format: str
    faces: tuple[str, ...] = ()
    source: bool = False
    aus: tuple[str, ...] = AUS


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
        **_measurements(schema),
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
        **_measurements(schema),
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


def _measurements(schema: DatasetSchema) -> dict[str, Feature]:
    return {
        "aus": _vector(len(schema.aus)),
        "aus_measured": _vector(len(schema.aus)),
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
