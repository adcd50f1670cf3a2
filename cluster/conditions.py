"""Columns in which rows keep what their specs ask for: conditions, and the place of a category."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from samplers.flame.expression import FLAME_WIDTH, FlameExpression
from samplers.identities.identity import FaceIdentity
from samplers.identities.reference import ReferenceImage
from samplers.priors.affect import affect
from samplers.spec import SampleSpec
from synthgen.config.output import OutputConfig
from synthgen.dataset.schema import (
    AROUSAL,
    EMBEDDING_WIDTH,
    FACEID_EMBEDDING,
    FLAME,
    FLAME_SOURCE,
    REFERENCE,
    REFERENCE_ID,
    VALENCE,
    Column,
    image_feature,
    value_feature,
    vector_feature,
)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A part of a condition that rows keep.

    Attributes:
        condition: name of the condition.
        kind: its type.
        column: where the part is kept.
        part: takes it out of the condition.
        asked: whether it is kept only where the run is asked to.
    """

    condition: str
    kind: type
    column: Column
    part: Callable[[Any], Any]
    asked: bool = False


_KEPT = (
    _Kept(
        "faceid",
        FaceIdentity,
        Column(FACEID_EMBEDDING, vector_feature(EMBEDDING_WIDTH), "identities", in_rejects=False),
        lambda person: tuple(person.mean.tolist()),
    ),
    _Kept(
        "flame",
        FlameExpression,
        Column(FLAME, vector_feature(FLAME_WIDTH), "expressions"),
        lambda expression: tuple(expression.numbers.tolist()),
    ),
    _Kept(
        "flame",
        FlameExpression,
        Column(FLAME_SOURCE, value_feature("string"), "expressions"),
        lambda expression: expression.source,
    ),
    _Kept(
        "reference",
        ReferenceImage,
        Column(REFERENCE_ID, value_feature("string"), "identities"),
        lambda picture: picture.reference_id,
    ),
    _Kept(
        "reference",
        ReferenceImage,
        Column(REFERENCE, image_feature(), "identities", in_rejects=False),
        lambda picture: {"bytes": picture.data, "path": f"{picture.reference_id}.png"},
        asked=True,
    ),
)


def condition_columns(given: Collection[str], output: OutputConfig) -> list[Column]:
    """Return the columns of a run in which these conditions are given.

    Args:
        given: names of the conditions.
        output: whether pictures that images are edited from are kept.
    """
    places = [Column(name, value_feature("float32"), "expressions") for name in (VALENCE, AROUSAL)]
    return [
        *(places if output.valence_arousal else []),
        *(
            kept.column
            for kept in _KEPT
            if kept.condition in given and (output.keep_reference or not kept.asked)
        ),
    ]


def picture_bytes(spec: SampleSpec, output: OutputConfig) -> int:
    """Return the size of the pictures that a row keeps besides its own image [bytes]."""
    values = condition_values(spec, pictures=output.keep_reference)
    return len(values[REFERENCE]["bytes"]) if REFERENCE in values else 0


def condition_values(
    spec: SampleSpec, *, rejected: bool = False, pictures: bool = False
) -> dict[str, Any]:
    """Return column → value of the conditions of a spec, and of its category's place.

    Args:
        spec: the spec.
        rejected: whether they are of a rejected attempt, which keeps fewer columns.
        pictures: whether pictures that images are edited from are kept.

    Raises:
        ConfigError: if a condition is of another type than its name says.
    """
    place = affect(spec.emotion, spec.aus) or (None, None)
    return {
        VALENCE: place[0],
        AROUSAL: place[1],
        **{
            kept.column.name: kept.part(spec.condition(kept.condition, kept.kind))
            for kept in _KEPT
            if kept.condition in spec.conditions
            and (kept.column.in_rejects or not rejected)
            and (pictures or not kept.asked)
        },
    }
