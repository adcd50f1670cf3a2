"""Parametric portraits: drawn faces with the 12 AUs at any intensity.

`render(random_identity(seed), aus)` gives a picture, `caption(identity)` its description.
"""

from pipelines.procedural.geometry import Face, geometry
from pipelines.procedural.identity import Identity, caption, identity_from_text, random_identity
from pipelines.procedural.renderer import RENDERER_VERSION, render
from pipelines.procedural.vocabulary import traits_in

__all__ = [
    "RENDERER_VERSION",
    "Face",
    "Identity",
    "caption",
    "geometry",
    "identity_from_text",
    "random_identity",
    "render",
    "traits_in",
]
