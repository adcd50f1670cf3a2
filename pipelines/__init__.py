"""Pipelines that turn specs into images, and verifiers that measure images.

The names below load their module, and with it torch, when they are first used.
"""

from typing import TYPE_CHECKING

from synthgen.lazy import lazily

if TYPE_CHECKING:
    from pipelines.arc2face import Arc2FacePipeline
    from pipelines.fineface import FineFaceIPAdapterPipeline, FineFacePipeline
    from pipelines.libreface import LibreFaceVerifier

__all__ = [
    "Arc2FacePipeline",
    "FineFaceIPAdapterPipeline",
    "FineFacePipeline",
    "LibreFaceVerifier",
]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "Arc2FacePipeline": "pipelines.arc2face",
        "FineFaceIPAdapterPipeline": "pipelines.fineface",
        "FineFacePipeline": "pipelines.fineface",
        "LibreFaceVerifier": "pipelines.libreface",
    },
)
