"""SMIRK, which reads the expression of a face in FLAME's numbers, and an extractor of drawn faces.

The names below load their module, and with it torch, when they are first used.
"""

from typing import TYPE_CHECKING

from synthgen.lazy import lazily

if TYPE_CHECKING:
    from pipelines.smirk.drawn import DrawnEncoder
    from pipelines.smirk.extractors import load_extractor
    from pipelines.smirk.faces import crop_face
    from pipelines.smirk.network import SmirkEncoder

__all__ = ["DrawnEncoder", "SmirkEncoder", "crop_face", "load_extractor"]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "DrawnEncoder": "pipelines.smirk.drawn",
        "SmirkEncoder": "pipelines.smirk.network",
        "crop_face": "pipelines.smirk.faces",
        "load_extractor": "pipelines.smirk.extractors",
    },
)
