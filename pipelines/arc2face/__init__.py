"""Arc2Face (arXiv 2403.11641): Stable Diffusion of a person whom an ArcFace embedding tells.

The names below load their module, and with it diffusers, when they are first used.
"""

from typing import TYPE_CHECKING

from synthgen.lazy import lazily

if TYPE_CHECKING:
    from pipelines.arc2face.pipeline import Arc2FacePipeline

__all__ = ["Arc2FacePipeline"]

__getattr__, __dir__ = lazily(__name__, {"Arc2FacePipeline": "pipelines.arc2face.pipeline"})
