"""Measuring the AUs of images: LibreFace's network, aligners, published weights.

The name below loads its module, and with it torch, when it is first used.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.libreface.verifier import LibreFaceVerifier

__all__ = ["LibreFaceVerifier"]

_HOME = {
    "LibreFaceVerifier": "pipelines.libreface.verifier",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
