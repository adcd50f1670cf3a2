"""Measuring the AUs of images: LibreFace's network, aligners, published weights.

The name below loads its module, and with it torch, when it is first used.
"""

from typing import TYPE_CHECKING

from synthgen.lazy import lazily

if TYPE_CHECKING:
    from pipelines.libreface.verifier import LibreFaceVerifier

__all__ = ["LibreFaceVerifier"]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "LibreFaceVerifier": "pipelines.libreface.verifier",
    },
)
