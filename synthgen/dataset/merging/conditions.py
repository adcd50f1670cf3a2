"""`--where`: a condition on rows, as text, turned into a filter of Arrow; nothing is evaluated.

The text is parsed as a Python expression, of which a few forms mean something: columns, their
parts (`identity.age`, `aus.AU12`), comparisons with numbers, texts and lists, `and`, `or`, `not`,
`is None`. Everything else is refused with one sentence.
"""

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from synthgen.action_units import AUS, canonical
from synthgen.dataset.schema import Feature
from synthgen.errors import ConfigError
from synthgen.foreign import did_you_mean, excerpt

LONGEST = 2000
"""Characters of a condition, at most."""

_ALLOWED = (
    "allowed are columns, numbers, texts, lists, None, ==, !=, <, <=, >, >=, in, not in, is, "
    "is not, and, or, not and brackets, as in emotion == 'happy' and active_error < 0.5"
)

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: lambda left, right: left == right,
    ast.NotEq: lambda left, right: left != right,
    ast.Lt: lambda left, right: left < right,
    ast.LtE: lambda left, right: left <= right,
    ast.Gt: lambda left, right: left > right,
    ast.GtE: lambda left, right: left >= right,
}
_EQUALITY = (ast.Eq, ast.NotEq, ast.In, ast.NotIn)


@dataclass(frozen=True, slots=True)
class Column:
    """A column, or a part of one, as a condition or a balance names it.

    Attributes:
        name: as the user wrote it.
        kind: `number`, `text`, `truth` or `label`.
        labels: the names of a label's numbers.
        expression: its values, in Arrow's words.
        needs: the column of the file.
        single: whether its numbers are float32, to which a condition's numbers are rounded too.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    expression: pc.Expression
    needs: str
    single: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that rows must meet.

    Attributes:
        text: as the user wrote it.
        expression: the same as a filter of Arrow; a row without a value fails every comparison.
        needs: columns that it reads.
    """

    text: str
    expression: pc.Expression
    needs: frozenset[str]


_VECTORS = ("aus", "aus_measured")
"""Columns with a number for each AU."""


def parse_condition(
    text: str, features: Mapping[str, Feature], what: str = "--where", aus: Sequence[str] = AUS
) -> Condition:
    """Turn a condition into a filter.

    Args:
        text: the condition.
        features: the columns that there are.
        what: what the sentence calls it.
        aus: the AUs of a vector.

    Raises:
        ConfigError: with one sentence, if it is no condition on these columns.
    """
    return _Parser(text, features, what, aus).condition()


def find_column(
    path: str, features: Mapping[str, Feature], what: str, aus: Sequence[str] = AUS
) -> Column:
    """Find a column, or a part of one, by its name.

    Args:
        path: `emotion`, `identity.age`, `aus.AU12`.
        features: the columns that there are.
        what: what the sentence calls the place of the name.
        aus: the AUs of a vector.

    Raises:
        ConfigError: if there is no such column, or its values cannot be compared.
    """
    name, _, part = path.partition(".")
    feature = features.get(name)
    if feature is None:
        there = did_you_mean(name, features, f"there are {', '.join(features)}")
        raise ConfigError(f"{what}: there is no column {excerpt(name, 60)!r}; {there}")
    if "_type" not in feature:
        if part not in feature:
            parts = ", ".join(f"{name}.{slot}" for slot in feature)
            there = did_you_mean(part, feature, f"there are {parts}")
            raise ConfigError(f"{what}: {excerpt(path, 60)!r} is no slot; {there}")
        return Column(path, "text", (), pc.field(name, part), name)
    if name in _VECTORS:
        part = canonical(part)
        if part not in aus:
            some = ", ".join(f"{name}.{au}" for au in aus[:3])
            raise ConfigError(
                f"{what}: {name} holds {len(aus)} numbers; name one, as in {some}, {name}.{aus[-1]}"
            )
        values = pc.list_element(pc.field(name), aus.index(part))  # pyright: ignore
        return Column(path, "number", (), values, name, single=True)
    if part or feature["_type"] not in ("Value", "ClassLabel"):
        raise ConfigError(
            f"{what}: {excerpt(path, 60)!r} holds no numbers, texts or labels to compare"
        )
    if feature["_type"] == "ClassLabel":
        return Column(path, "label", tuple(feature["names"]), pc.field(name), name)
    kinds = {"string": "text", "bool": "truth"}
    kind, single = kinds.get(feature["dtype"], "number"), feature["dtype"] == "float32"
    return Column(path, kind, (), pc.field(name), name, single)


def holds(condition: Condition, table: pa.Table) -> np.ndarray:
    """Return for each row of a table whether it fulfils a condition."""
    numbered = table.append_column("_row", pa.array(np.arange(table.num_rows)))
    found = np.zeros(table.num_rows, bool)
    found[numbered.filter(condition.expression)["_row"].to_numpy()] = True
    return found


class _Parser:
    """Reads one condition."""

    def __init__(
        self, text: str, features: Mapping[str, Feature], what: str, aus: Sequence[str]
    ) -> None:
        self._text, self._features, self._what, self._aus = text, features, what, aus
        self._needs: set[str] = set()

    def condition(self) -> Condition:
        if len(self._text) > LONGEST:
            raise ConfigError(
                f"{self._what} has {len(self._text)} characters; at most {LONGEST} are read"
            )
        try:
            tree = ast.parse(self._text.strip(), mode="eval").body
            expression = self._truth(tree)
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
            raise ConfigError(
                f"{self._what}: {excerpt(self._text)!r} is no condition; {_ALLOWED}"
            ) from error
        return Condition(self._text, expression, frozenset(self._needs))

    def _truth(self, node: ast.expr) -> pc.Expression:
        match node:
            case ast.BoolOp(op=operator, values=values):
                found = [self._truth(value) for value in values]
                joined = found[0]
                for other in found[1:]:
                    joined = joined & other if isinstance(operator, ast.And) else joined | other
                return joined
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return ~self._truth(operand)
            case ast.Compare(left=left, ops=operators, comparators=others):
                sides = [left, *others]
                pairs = zip(sides, operators, sides[1:], strict=False)
                found = [self._comparison(*pair) for pair in pairs]
                joined = found[0]
                for other in found[1:]:
                    joined = joined & other
                return joined
            case ast.Name() | ast.Attribute():
                column = self._column(node)
                if column.kind != "truth":
                    raise ConfigError(
                        f"{self._what}: {column.name} alone is no condition; compare it with a "
                        f"value, as in {column.name} == {_example(column)}"
                    )
                return column.expression
        raise self._unknown(node)

    def _comparison(self, left: ast.expr, operator: ast.cmpop, right: ast.expr) -> pc.Expression:
        if isinstance(operator, ast.Is | ast.IsNot):
            return self._is_none(left, operator, right)
        if not isinstance(left, ast.Name | ast.Attribute):
            mirrored = _mirrored(operator)
            if mirrored is None or not isinstance(right, ast.Name | ast.Attribute):
                raise self._unknown(left)
            left, operator, right = right, mirrored, left
        column = self._column(left)
        if column.kind in ("label", "truth") and not isinstance(operator, _EQUALITY):
            raise ConfigError(
                f"{self._what}: {column.name} is compared by ==, !=, in and not in alone: its "
                f"values have no order"
            )
        if isinstance(operator, ast.In | ast.NotIn):
            return self._membership(column, operator, right)
        if isinstance(right, ast.Name | ast.Attribute):
            return self._of_columns(column, operator, self._column(right))
        return _COMPARE[type(operator)](column.expression, self._value(column, right))

    def _of_columns(self, left: Column, operator: ast.cmpop, right: Column) -> pc.Expression:
        if (left.kind, left.labels) != (right.kind, right.labels):
            raise ConfigError(
                f"{self._what}: {left.name} holds {_plural(left)} and {right.name} "
                f"{_plural(right)}; they cannot be compared"
            )
        return _COMPARE[type(operator)](left.expression, right.expression)

    def _membership(self, column: Column, operator: ast.cmpop, right: ast.expr) -> pc.Expression:
        if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
            raise ConfigError(
                f"{self._what}: `{column.name} in` wants a list with values, as in "
                f"{column.name} in [{_example(column)}]"
            )
        values = [self._value(column, value) for value in right.elts]
        found = column.expression.isin(values)
        # Arrow's `isin` is false, not null, where there is no value.
        return found if isinstance(operator, ast.In) else ~found & column.expression.is_valid()

    def _is_none(self, left: ast.expr, operator: ast.cmpop, right: ast.expr) -> pc.Expression:
        if not (isinstance(right, ast.Constant) and right.value is None):
            raise ConfigError(f"{self._what}: `is` goes with None alone; compare values by ==")
        values = self._column(left).expression
        return values.is_null() if isinstance(operator, ast.Is) else values.is_valid()

    def _column(self, node: ast.expr) -> Column:
        path = _path(node)
        if path is None:
            raise self._unknown(node)
        column = find_column(path, self._features, self._what, self._aus)
        self._needs.add(column.needs)
        return column

    def _value(self, column: Column, node: ast.expr) -> Any:
        sign = 1
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            sign, node = -1 if isinstance(node.op, ast.USub) else 1, node.operand
        if not isinstance(node, ast.Constant):
            raise self._unknown(node)
        value = node.value
        if value is None:
            raise ConfigError(
                f"{self._what}: {column.name} is compared with None; write {column.name} is None"
            )
        wanted = {"number": (int, float), "truth": (bool,)}.get(column.kind, (str,))
        fits = isinstance(value, wanted) and isinstance(value, bool) == (column.kind == "truth")
        if not fits or (sign < 0 and column.kind != "number"):
            raise ConfigError(
                f"{self._what}: {column.name} holds {_plural(column)} and is compared with "
                f"{excerpt(repr(value), 60)}"
            )
        if column.kind == "label":
            if value not in column.labels:
                labels = f"it is one of {', '.join(column.labels)}"
                raise ConfigError(
                    f"{self._what}: {column.name} is never {excerpt(value, 60)!r}; "
                    f"{did_you_mean(str(value), column.labels, labels)}"
                )
            return column.labels.index(value)
        if column.kind != "number" or not isinstance(value, int | float):
            return value
        if column.single:
            return pa.scalar(sign * float(value), pa.float32())
        # Arrow compares whole numbers beyond 2^53 with whole numbers alone.
        if value != int(value) or abs(value) >= 2**63:
            raise ConfigError(
                f"{self._what}: {column.name} holds whole numbers below 2^63 and is compared with "
                f"{excerpt(repr(value), 60)}"
            )
        return sign * int(value)

    def _unknown(self, node: ast.expr) -> ConfigError:
        part = ast.get_source_segment(self._text.strip(), node) or self._text
        return ConfigError(f"{self._what}: {excerpt(part, 100)!r} is not understood; {_ALLOWED}")


def _path(node: ast.expr) -> str | None:
    """Return `identity.age` for the nodes that say it; None for others."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return None


def _mirrored(operator: ast.cmpop) -> ast.cmpop | None:
    """Return the comparison with its sides changed; None where it has no other side."""
    others: dict[type[ast.cmpop], type[ast.cmpop]] = {
        ast.Eq: ast.Eq,
        ast.NotEq: ast.NotEq,
        ast.Lt: ast.Gt,
        ast.LtE: ast.GtE,
        ast.Gt: ast.Lt,
        ast.GtE: ast.LtE,
    }
    found = others.get(type(operator))
    return None if found is None else found()


def _example(column: Column) -> str:
    if column.kind == "label":
        return repr(column.labels[0]) if column.labels else "'happy'"
    return {"number": "0.5", "truth": "True"}.get(column.kind, "'text'")


def _plural(column: Column) -> str:
    return {"number": "numbers", "truth": "True or False", "label": "categories"}.get(
        column.kind, "texts"
    )
