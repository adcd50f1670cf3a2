"""Pipelines that turn specs into images, and verifiers that measure images.

The names below load their module, and with it torch, when they are first used.
"""

from typing import TYPE_CHECKING

from synthgen.lazy import lazily

if TYPE_CHECKING:
    from pipelines.fineface import FineFaceIPAdapterPipeline, FineFacePipeline
    from pipelines.libreface import LibreFaceVerifier

__all__ = ["FineFaceIPAdapterPipeline", "FineFacePipeline", "LibreFaceVerifier"]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "FineFaceIPAdapterPipeline": "pipelines.fineface",
        "FineFacePipeline": "pipelines.fineface",
        "LibreFaceVerifier": "pipelines.libreface",
    },
)
