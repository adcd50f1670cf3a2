"""Columns in which rows keep the conditions of their specs: whom and what an image is to show."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from samplers.flame.expression import FLAME_WIDTH, FlameExpression
from samplers.identities.identity import FaceIdentity
from samplers.spec import SampleSpec
from synthgen.dataset.schema import (
    EMBEDDING_WIDTH,
    FACEID_EMBEDDING,
    FLAME,
    FLAME_SOURCE,
    Column,
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
    """

    condition: str
    kind: type
    column: Column
    part: Callable[[Any], Any]


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
)


def condition_columns(given: Collection[str]) -> list[Column]:
    """Return the columns of a run in which these conditions are given."""
    return [kept.column for kept in _KEPT if kept.condition in given]


def condition_values(spec: SampleSpec, *, rejected: bool = False) -> dict[str, Any]:
    """Return column → value of the conditions of a spec.

    Args:
        spec: the spec.
        rejected: whether they are of a rejected attempt, which keeps fewer columns.

    Raises:
        ConfigError: if a condition is of another type than its name says.
    """
    return {
        kept.column.name: kept.part(spec.condition(kept.condition, kept.kind))
        for kept in _KEPT
        if kept.condition in spec.conditions and (kept.column.in_rejects or not rejected)
    }
