"""SMIRK, which reads the expression of a face in FLAME's numbers: its network, its crop, its input.

The names below load their module, and with it torch, when they are first used.
"""

from typing import TYPE_CHECKING

from synthgen.lazy import lazily

if TYPE_CHECKING:
    from pipelines.smirk.faces import crop_face
    from pipelines.smirk.network import SmirkEncoder

__all__ = ["SmirkEncoder", "crop_face"]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "SmirkEncoder": "pipelines.smirk.network",
        "crop_face": "pipelines.smirk.faces",
    },
)
