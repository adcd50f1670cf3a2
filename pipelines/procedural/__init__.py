"""Parametric portraits: drawn faces with AUs at any intensity, 12 or (edition 2) 18 and sides.

`render(random_identity(seed), aus)` gives a picture, `caption(identity)` its description. The names
below load their module, and with it skia, when they are first used.
"""

from typing import TYPE_CHECKING

from synthgen.lazy import lazily

if TYPE_CHECKING:
    from pipelines.procedural.drawn_aus import DRAWN_AUS, SIDED_AUS
    from pipelines.procedural.expression import Expression
    from pipelines.procedural.identity import Identity, caption, identity_from_text, random_identity
    from pipelines.procedural.label_columns import LANDMARKS
    from pipelines.procedural.landmarks import FaceLabels, labels_of
    from pipelines.procedural.renderer import RENDERER_VERSION, render, renderer_version
    from pipelines.procedural.vocabulary import traits_in

__all__ = [
    "DRAWN_AUS",
    "LANDMARKS",
    "RENDERER_VERSION",
    "SIDED_AUS",
    "Expression",
    "FaceLabels",
    "Identity",
    "caption",
    "identity_from_text",
    "labels_of",
    "random_identity",
    "render",
    "renderer_version",
    "traits_in",
]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "DRAWN_AUS": "pipelines.procedural.drawn_aus",
        "LANDMARKS": "pipelines.procedural.label_columns",
        "Expression": "pipelines.procedural.expression",
        "RENDERER_VERSION": "pipelines.procedural.renderer",
        "SIDED_AUS": "pipelines.procedural.drawn_aus",
        "FaceLabels": "pipelines.procedural.landmarks",
        "labels_of": "pipelines.procedural.landmarks",
        "Identity": "pipelines.procedural.identity",
        "caption": "pipelines.procedural.identity",
        "identity_from_text": "pipelines.procedural.identity",
        "random_identity": "pipelines.procedural.identity",
        "render": "pipelines.procedural.renderer",
        "renderer_version": "pipelines.procedural.renderer",
        "traits_in": "pipelines.procedural.vocabulary",
    },
)
