"""Paint a whole portrait, back to front."""

from PIL import Image

from pipelines.procedural.body import (
    draw_background,
    draw_beard_hairs,
    draw_clothes,
    draw_ears,
    draw_freckles,
    draw_glasses,
    draw_neck,
)
from pipelines.procedural.canvas import new_canvas, skia, to_image
from pipelines.procedural.expression import AUVector, Expression
from pipelines.procedural.features import draw_brow, draw_eye, draw_mouth, draw_nose
from pipelines.procedural.furrows import draw_furrows
from pipelines.procedural.geometry import Face, geometry, roll_of
from pipelines.procedural.hair import draw_back_hair, draw_front_hair
from pipelines.procedural.identity import Identity
from pipelines.procedural.skin import draw_skin
from pipelines.procedural.wrinkles import draw_wrinkles
from synthgen.errors import ConfigError

RENDERER_VERSION = "2"
"""Raised whenever the same identity and AUs are painted otherwise in the first edition."""

_VERSIONS = {1: RENDERER_VERSION, 2: "3"}

SMALLEST = 64
"""Least width and height of a portrait [pixels]."""


def renderer_version(edition: int) -> str:
    """Return the version of what paints an edition of the drawings; another one, other pixels."""
    return _VERSIONS[edition]


def render(identity: Identity, aus: AUVector | Expression, size: int = 128) -> Image.Image:
    """Paint a portrait; the same arguments give the same pixels.

    Args:
        identity: whom.
        aus: an intensity for each AU, [0, 5] normally, continuous: of the 12, in the order of
            `synthgen.action_units.AUS`, or of all that edition 2 draws, in the order of
            `expression.DRAWN_AUS`; or an `Expression`, which tells left from right. Values outside
            exaggerate or do the opposite, as far as [-5, 7].
        size: width and height [pixels], at least 64.

    Raises:
        ActionUnitError: if the number of AUs is another, one is not a finite number, or the
            identity's edition cannot show it.
        ConfigError: if the size is below 64.
    """
    if size < SMALLEST:
        raise ConfigError(f"a portrait's size is at least {SMALLEST} pixels; {size} is too small")
    face = geometry(identity, aus)
    surface, canvas = new_canvas(size)
    angle, centre = roll_of(identity)
    draw_background(canvas, face)
    canvas.save()
    canvas.rotate(angle, *centre)
    draw_back_hair(canvas, face)
    draw_neck(canvas, face)
    canvas.restore()
    draw_clothes(canvas, face)
    canvas.rotate(angle, *centre)
    _draw_head(canvas, face)
    return to_image(surface)


def _draw_head(canvas: skia.Canvas, face: Face) -> None:
    draw_ears(canvas, face)
    contour = draw_skin(canvas, face)
    draw_freckles(canvas, face)
    draw_nose(canvas, face)
    draw_beard_hairs(canvas, face)
    draw_mouth(canvas, face)
    for eye in face.eyes:
        draw_eye(canvas, face, eye)
    (draw_wrinkles if face.identity.edition == 1 else draw_furrows)(canvas, face)
    for brow in face.brows:
        draw_brow(canvas, face, brow)
    draw_front_hair(canvas, face, contour)
    if face.identity.glasses == "yes":
        draw_glasses(canvas, face)
