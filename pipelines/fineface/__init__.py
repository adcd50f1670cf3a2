"""FineFace (arXiv 2407.20175): Stable Diffusion steered by Action Units.

The names below load their module, and with it diffusers, when they are first used; where the
weights lie is told without.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.fineface.adapter import AUAdapter
    from pipelines.fineface.ip_adapter_pipeline import FineFaceIPAdapterPipeline
    from pipelines.fineface.pipeline import FineFacePipeline

__all__ = ["AUAdapter", "FineFaceIPAdapterPipeline", "FineFacePipeline"]

_HOME = {
    "AUAdapter": "pipelines.fineface.adapter",
    "FineFaceIPAdapterPipeline": "pipelines.fineface.ip_adapter_pipeline",
    "FineFacePipeline": "pipelines.fineface.pipeline",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
