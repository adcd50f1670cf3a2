"""FineFace (arXiv 2407.20175): Stable Diffusion steered by Action Units."""

from pipelines.fineface.adapter import AUAdapter
from pipelines.fineface.ip_adapter_pipeline import FineFaceIPAdapterPipeline
from pipelines.fineface.pipeline import FineFacePipeline

__all__ = ["AUAdapter", "FineFaceIPAdapterPipeline", "FineFacePipeline"]
