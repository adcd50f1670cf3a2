"""Rows as text holds them: which columns it can hold, JSON without NaN, the endings of pictures."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from synthgen.dataset.schema import Feature, image_columns
from synthgen.errors import DatasetError
from synthgen.foreign import excerpt

_WRITABLE = frozenset(
    ["bool", "bool_", "boolean", "string", "str", "utf8", "large_string", "large_utf8"]
    + ["float", "double", "halffloat", "float16", "float32", "float64", "f2", "f4", "f8"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
    + [f"{sign}{width}" for sign in "iu" for width in (1, 2, 4, 8)]
    + ["null"]
)
"""Names of Arrow's types whose values JSON and CSV hold."""

_BEGINNINGS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg"}


def refuse_unwritable(features: Mapping[str, Feature], form: str) -> None:
    """Refuse columns whose values no text holds.

    Args:
        features: the columns.
        form: the format that is asked for.

    Raises:
        DatasetError: if there is one.
    """
    for name, feature in features.items():
        inner = feature.get("feature", feature)
        if inner.get("_type") == "Value" and inner["dtype"] not in _WRITABLE:
            raise DatasetError(
                f"the column {name} holds {inner['dtype']}, which {form} has no way to write; "
                "export as lance or imagefolder"
            )


def ending(picture: Mapping[str, Any] | None, column: str, sample_id: str) -> str:
    """Return the ending of a picture's file by what it begins with: `png`, `jpg` or `webp`.

    Args:
        picture: the value of a column of pictures.
        column: the column, for the sentence.
        sample_id: the row, for the sentence.

    Raises:
        DatasetError: if it is neither.
    """
    data: bytes = (picture or {}).get("bytes") or b""
    for beginning, found in _BEGINNINGS.items():
        if data.startswith(beginning):
            return found
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    raise DatasetError(
        f"{column} of {excerpt(sample_id, 60)} holds no PNG, JPEG or WebP file; `synthgen inspect` "
        "tells what is damaged"
    )


def rows_of(
    table: pa.Table, features: Mapping[str, Feature]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield of each row its values without pictures, and its pictures.

    float32 becomes the double of the same value, so that no digit is lost on the way back.
    """
    pictures = image_columns(features)
    values = table.drop_columns(pictures).to_pylist()
    yield from zip(values, table.select(pictures).to_pylist(), strict=True)


class JsonWriter:
    """Writes values as JSON; NaN and infinities, which JSON has not, become null and are counted.

    Attributes:
        undefined: column → values that became null.
    """

    def __init__(self) -> None:
        self.undefined: Counter[str] = Counter()

    def text(self, row: Mapping[str, Any], **further: Any) -> str:
        """Return a row as one line of JSON.

        Args:
            row: the row's values.
            further: values in whose key `attributes` the row is to stand; without any, the row
                stands alone.
        """
        try:
            return _dump({**further, "attributes": row} if further else row)
        except ValueError:
            finite = {name: self._finite(name, value) for name, value in row.items()}
            return _dump({**further, "attributes": finite} if further else finite)

    def _finite(self, column: str, value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            self.undefined[column] += 1
            return None
        if isinstance(value, list):
            return [self._finite(column, item) for item in value]
        return value


def _dump(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
