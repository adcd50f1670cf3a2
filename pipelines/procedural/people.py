"""People of the second edition: traits, colours, shapes and scenes that are drawn for them.

Each draw has a place of its own, so that pinning a trait changes no other draw. What a named trait
decides (a colour, a range of years) is worked out from the draw that it always has.
"""

import math
from typing import Any

from pipelines.procedural import vocabulary
from pipelines.procedural.canvas import Colour, mix
from pipelines.procedural.draws import Draws, Options, evenly, hue_colour, pick

PERSON_DRAWS = 128
"""Number of draws that a person takes, and some to spare."""

_SKIN: dict[str, Colour] = {
    "pale": (0.935, 0.805, 0.745),
    "light": (0.890, 0.690, 0.545),
    "tan": (0.735, 0.515, 0.360),
    "brown": (0.555, 0.360, 0.240),
    "dark": (0.345, 0.215, 0.155),
}
_HAIR: dict[str, Colour] = {
    "black": (0.075, 0.065, 0.070),
    "brown": (0.335, 0.195, 0.105),
    "blond": (0.870, 0.700, 0.370),
    "red": (0.680, 0.235, 0.070),
    "gray": (0.690, 0.690, 0.705),
}
_EYES: dict[str, Colour] = {
    "brown": (0.290, 0.150, 0.060),
    "blue": (0.200, 0.470, 0.840),
    "green": (0.230, 0.560, 0.240),
    "gray": (0.560, 0.600, 0.640),
}
_YEARS = {"young": (19.0, 32.0), "middle-aged": (42.0, 56.0), "old": (66.0, 86.0)}
_GRAY = {"young": 0.0, "middle-aged": 0.12, "old": 0.55}
_HAIR_OF_SKIN: dict[str, Options] = {
    "pale": (("black", 0.18), ("brown", 0.32), ("blond", 0.28), ("red", 0.22)),
    "light": (("black", 0.24), ("brown", 0.34), ("blond", 0.26), ("red", 0.16)),
    "tan": (("black", 0.42), ("brown", 0.34), ("blond", 0.14), ("red", 0.10)),
    "brown": (("black", 0.56), ("brown", 0.26), ("blond", 0.10), ("red", 0.08)),
    "dark": (("black", 0.66), ("brown", 0.18), ("blond", 0.09), ("red", 0.07)),
}
_RARE_EYES = {"pale": 0.27, "light": 0.24, "tan": 0.15, "brown": 0.08, "dark": 0.04}
_STYLES: dict[str, Options] = {
    "man": (("short", 0.36), ("cropped", 0.17), ("bald", 0.14), ("curly", 0.14), ("long", 0.06),
            ("wavy", 0.08), ("tied-back", 0.05)),
    "woman": (("long", 0.26), ("wavy", 0.23), ("tied-back", 0.19), ("curly", 0.14),
              ("short", 0.13), ("cropped", 0.03), ("bald", 0.02)),
}  # fmt: skip
_BEARDS: Options = (
    ("none", 0.48), ("stubble", 0.14), ("beard", 0.16), ("moustache", 0.11), ("goatee", 0.11),
)  # fmt: skip
_FRECKLED = {"pale": 0.42, "light": 0.34, "tan": 0.20, "brown": 0.10, "dark": 0.0}

_SPREADS = {
    "face_width": 2.0, "face_height": 2.2, "jaw_width": 1.5, "chin_width": 1.5, "forehead": 1.6,
    "cheek": 1.8, "eye_size": 1.7, "eye_spacing": 2.3, "eye_height": 1.6, "eye_tilt": 2.3,
    "lid_fold": 1.6, "nose_width": 2.2, "nose_length": 2.3, "nose_bridge": 1.8,
    "mouth_width": 2.0, "lip_fullness": 2.3, "mouth_height": 2.0, "brow_thickness": 2.6,
    "brow_arch": 1.7, "brow_height": 1.6, "brow_spacing": 2.0, "ear_size": 1.6,
    "hair_volume": 1.3, "hairline": 1.5, "parting": 1.0,
    "nose_tip": 1.0, "brow_ridge": 1.0, "sockets": 1.0, "flesh": 1.0, "peak": 1.0,
    "beard_length": 1.0,
}  # fmt: skip
"""Deviation → how much wider it is than a standard normal: people are to be told apart."""

_FRAMES: tuple[Colour, ...] = (
    (0.06, 0.055, 0.07), (0.06, 0.055, 0.07), (0.30, 0.14, 0.06), (0.10, 0.14, 0.34),
    (0.46, 0.07, 0.09),
)  # fmt: skip
_PALE_FRAMES: tuple[Colour, ...] = (
    (0.90, 0.89, 0.86), (0.86, 0.68, 0.26), (0.80, 0.13, 0.14), (0.06, 0.055, 0.07),
    (0.20, 0.52, 0.80),
)  # fmt: skip
"""Frames on skin that is lighter or darker than they are."""


def drawn_person(draws: Draws, pinned: dict[str, str]) -> dict[str, Any]:
    """Draw all that makes a person of the second edition but pose and gaze.

    Args:
        draws: `PERSON_DRAWS` of them.
        pinned: named trait → its value, one of `vocabulary.TRAITS`.

    Returns:
        Field of `Identity` → value.
    """
    named = _named_traits(draws, pinned)
    return {**named, **_colours(draws, named), **_shape(draws, named), **_scene(draws)}


def _named_traits(draws: Draws, pinned: dict[str, str]) -> dict[str, str]:
    u = {trait: draws.uniform() for trait in vocabulary.TRAITS}
    drawn = dict(pinned)

    def take(trait: str, options: Options) -> None:
        drawn.setdefault(trait, pick(options, u[trait]))

    take("age", (("young", 0.40), ("middle-aged", 0.34), ("old", 0.26)))
    take("person", evenly(vocabulary.PERSONS))
    take("skin", evenly(vocabulary.SKINS))
    take("face", evenly(vocabulary.FACE_SHAPES))
    take("glasses", (("no", 0.76), ("yes", 0.24)))
    gray, skin = _GRAY[drawn["age"]], drawn["skin"]
    others = tuple((colour, (1.0 - gray) * share) for colour, share in _HAIR_OF_SKIN[skin])
    take("hair", (*others, ("gray", gray)))
    take("hair_style", _STYLES[drawn["person"]])
    rare = _RARE_EYES[skin]
    take("eyes", (("brown", 1 - 2.4 * rare), ("blue", rare), ("green", 0.8 * rare),
                  ("gray", 0.6 * rare)))  # fmt: skip
    take("beard", _BEARDS if drawn["person"] == "man" else (("none", 1.0),))
    return {trait: drawn[trait] for trait in vocabulary.TRAITS}


def _colours(draws: Draws, named: dict[str, str]) -> dict[str, Any]:
    undertone, depth, shade, warm = (draws.uniform(-1.0, 1.0) for _ in range(4))
    skin = _tinted(_SKIN[named["skin"]], 1 + 0.045 * depth, 0.020 * undertone)
    hair = _HAIR[named["hair"]]
    spread = 0.10 if named["hair"] == "gray" else 0.20
    hair = _tinted(hair, 1 + spread * shade, 0.05 * warm * hair[0])
    woman = named["person"] == "woman"
    painted, strength = draws.uniform(), draws.uniform(0.45, 1.0)
    makeup = strength if woman and painted < 0.45 else 0.0
    red = mix((0.70, 0.07, 0.14), (0.80, 0.28, 0.42), draws.uniform())
    shadow_hue = draws.uniform()
    pale = 0.10 * max(0.0, sum(skin) - 1.6)
    natural = (skin[0] * 0.86, skin[1] * (0.60 + pale), skin[2] * (0.62 + pale))
    eye_shade = draws.uniform(0.90, 1.12)
    eye = _EYES[named["eyes"]]
    dark_skin = sum(skin) < 1.25
    frames = _PALE_FRAMES if dark_skin else _FRAMES
    return {
        "skin_colour": skin,
        "hair_colour": hair,
        "eye_colour": (eye[0] * eye_shade, eye[1] * eye_shade, eye[2] * eye_shade),
        "lip_colour": mix(natural, red, 0.85 * makeup),
        "makeup": makeup,
        "eyeshadow": _eyeshadow(shadow_hue),
        "blush": draws.uniform(0.1, 1.0),
        "glasses_colour": frames[int(draws.uniform(0.0, len(frames) - 1e-9))],
        "glasses_shape": int(draws.uniform(0.0, 2.999)),
    }


def _tinted(colour: Colour, factor: float, warmth: float) -> Colour:
    red, green, blue = colour
    return (
        min(max(red * factor + warmth, 0.02), 0.985),
        min(max(green * factor - 0.1 * warmth, 0.02), 0.985),
        min(max(blue * factor - warmth, 0.02), 0.985),
    )


def _eyeshadow(u: float) -> Colour:
    """Return brown, violet, blue or green powder."""
    return ((0.36, 0.20, 0.14), (0.45, 0.22, 0.48), (0.22, 0.34, 0.60), (0.18, 0.42, 0.36))[
        int(u * 4)
    ]


def _shape(draws: Draws, named: dict[str, str]) -> dict[str, Any]:
    low, high = _YEARS[named["age"]]
    shape: dict[str, Any] = {"years": draws.uniform(low, high)}
    shape |= {name: spread * draws.deviation() for name, spread in _SPREADS.items()}
    freckled = _FRECKLED[named["skin"]]
    shape["freckles"] = max(0.0, (freckled - draws.uniform()) / max(freckled, 0.01))
    if shape["freckles"] > 0.0:
        shape["freckles"] = 0.4 + 0.6 * shape["freckles"]
    shape["asymmetry"] = tuple(draws.deviation() for _ in range(4))
    fringe = draws.uniform()
    shape["fringe"] = 1 if fringe < 0.12 else 2 if fringe < 0.34 else 0
    return shape


def _scene(draws: Draws) -> dict[str, Any]:
    across, above = draws.uniform(-0.85, 0.85), draws.uniform(-0.70, -0.10)
    length = math.sqrt(across * across + above * above + 0.82 * 0.82)
    kind = int(draws.uniform(0.0, 2.999))
    tones = [
        hue_colour(draws.uniform(), draws.uniform(0.03, 0.50), draws.uniform(0.25, 0.92))
        for _ in range(3)
    ]
    clothes = hue_colour(draws.uniform(), draws.uniform(0.05, 0.75), draws.uniform(0.12, 0.90))
    accent = hue_colour(draws.uniform(), draws.uniform(0.0, 0.80), draws.uniform(0.15, 0.95))
    garment, pattern, strength = draws.uniform(), draws.uniform(), draws.uniform(-1.0, 1.0)
    return {
        "light": (across / length, above / length, 0.82 / length),
        "warmth": draws.uniform(-1.0, 1.0),
        "light_strength": strength,
        "clothes": int(garment * 5.999),
        "pattern": 1 if pattern < 0.16 else 0,
        "clothes_colour": clothes,
        "clothes_accent": accent,
        "background_kind": kind,
        "background": tones[0],
        "background_edge": tones[1],
        "background_accent": tones[2],
    }
