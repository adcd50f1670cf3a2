"""FineFace (arXiv 2407.20175): Stable Diffusion steered by Action Units.

The names below load their module, and with it diffusers, when they are first used; where the
weights lie is told without.
"""

from typing import TYPE_CHECKING

from synthgen.lazy import lazily

if TYPE_CHECKING:
    from pipelines.fineface.adapter import AUAdapter
    from pipelines.fineface.ip_adapter_pipeline import FineFaceIPAdapterPipeline
    from pipelines.fineface.pipeline import FineFacePipeline

__all__ = ["AUAdapter", "FineFaceIPAdapterPipeline", "FineFacePipeline"]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "AUAdapter": "pipelines.fineface.adapter",
        "FineFaceIPAdapterPipeline": "pipelines.fineface.ip_adapter_pipeline",
        "FineFacePipeline": "pipelines.fineface.pipeline",
    },
)
