"""What turns specs into images, and what measures images.

The names below load their module, and with it torch, when they are first used.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.fineface import FineFaceIPAdapterPipeline, FineFacePipeline
    from pipelines.libreface import LibreFaceVerifier

__all__ = ["FineFaceIPAdapterPipeline", "FineFacePipeline", "LibreFaceVerifier"]

_HOME = {
    "FineFaceIPAdapterPipeline": "pipelines.fineface",
    "FineFacePipeline": "pipelines.fineface",
    "LibreFaceVerifier": "pipelines.libreface",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
