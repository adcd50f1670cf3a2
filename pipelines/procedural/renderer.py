"""Paint a whole portrait, back to front."""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from pipelines.procedural.ageing import draw_age
from pipelines.procedural.beards import draw_beard
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
from pipelines.procedural.glasses import draw_thick_glasses
from pipelines.procedural.hair import draw_back_hair, draw_front_hair
from pipelines.procedural.hairstyles import draw_hair_before, draw_hair_behind
from pipelines.procedural.identity import Identity
from pipelines.procedural.scenery import draw_backdrop, draw_garment, draw_makeup, draw_spots
from pipelines.procedural.skin import draw_skin
from pipelines.procedural.wrinkles import draw_wrinkles
from synthgen.errors import ConfigError

RENDERER_VERSION = "2"
"""Raised whenever the same identity and AUs are painted otherwise in the first edition."""

_VERSIONS = {1: RENDERER_VERSION, 2: "5"}

_Painter = Callable[[skia.Canvas, Face], None]

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
    hand = _HANDS[identity.edition]
    hand.background(canvas, face)
    canvas.save()
    canvas.rotate(angle, *centre)
    hand.hair_behind(canvas, face)
    draw_neck(canvas, face)
    canvas.restore()
    hand.clothes(canvas, face)
    canvas.rotate(angle, *centre)
    _draw_head(canvas, face)
    return to_image(surface)


@dataclass(frozen=True, slots=True)
class _Hand:
    """The painters in which editions differ."""

    background: _Painter
    hair_behind: _Painter
    clothes: _Painter
    skin_marks: _Painter
    beard: _Painter
    eye_marks: _Painter
    hair_before: Callable[[skia.Canvas, Face, skia.Path], None]
    glasses: _Painter


def _nothing(canvas: skia.Canvas, face: Face) -> None:
    """Paint nothing: what the edition does not have."""


def _draw_eye_marks(canvas: skia.Canvas, face: Face) -> None:
    draw_makeup(canvas, face)
    draw_age(canvas, face)


_HANDS = {
    1: _Hand(
        background=draw_background,
        hair_behind=draw_back_hair,
        clothes=draw_clothes,
        skin_marks=draw_freckles,
        beard=draw_beard_hairs,
        eye_marks=_nothing,
        hair_before=draw_front_hair,
        glasses=draw_glasses,
    ),
    2: _Hand(
        background=draw_backdrop,
        hair_behind=draw_hair_behind,
        clothes=draw_garment,
        skin_marks=draw_spots,
        beard=draw_beard,
        eye_marks=_draw_eye_marks,
        hair_before=draw_hair_before,
        glasses=draw_thick_glasses,
    ),
}
"""Edition → its painters."""


def _draw_head(canvas: skia.Canvas, face: Face) -> None:
    hand = _HANDS[face.identity.edition]
    draw_ears(canvas, face)
    contour = draw_skin(canvas, face)
    hand.skin_marks(canvas, face)
    draw_nose(canvas, face)
    hand.beard(canvas, face)
    draw_mouth(canvas, face)
    hand.eye_marks(canvas, face)
    for eye in face.eyes:
        draw_eye(canvas, face, eye)
    (draw_wrinkles if face.identity.edition == 1 else draw_furrows)(canvas, face)
    for brow in face.brows:
        draw_brow(canvas, face, brow)
    hand.hair_before(canvas, face, contour)
    if face.identity.glasses == "yes":
        hand.glasses(canvas, face)
