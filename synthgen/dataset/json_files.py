"""The JSON files of a dataset: written for people too, read with a reason when corrupt."""

import json
from collections.abc import Mapping
from typing import Any

from synthgen.foreign import excerpt

NOT_WHOLE = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading a value out of a corrupt file raises."""

_LONGEST_CAUSE = 120


def dump(values: Mapping[str, Any]) -> bytes:
    """Write a mapping, keys in their order."""
    return json.dumps(values, indent=2, ensure_ascii=False).encode() + b"\n"


def load(data: bytes) -> dict[str, Any]:
    """Read a mapping.

    Raises:
        ValueError: if the file is not JSON, or holds no mapping.
    """
    values = json.loads(data)
    if not isinstance(values, dict):
        raise ValueError(f"it holds a {type(values).__name__}")
    return values


def cause(error: Exception) -> str:
    """Say in a few words what one of `NOT_WHOLE` means."""
    text = excerpt(error, _LONGEST_CAUSE)
    return f"no {text}" if isinstance(error, KeyError) else text
