"""Identity of a portrait: every parameter but the expression."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.procedural import vocabulary
from pipelines.procedural.canvas import Colour, mix
from pipelines.procedural.draws import Draws, evenly, hue_colour, pick
from pipelines.procedural.people import PERSON_DRAWS, drawn_person
from synthgen.errors import ConfigError
from synthgen.foreign import shown

_SKIN: dict[str, Colour] = {
    "pale": (0.93, 0.78, 0.695),
    "light": (0.90, 0.72, 0.60),
    "tan": (0.79, 0.58, 0.43),
    "brown": (0.62, 0.42, 0.30),
    "dark": (0.46, 0.305, 0.225),
}
_HAIR: dict[str, Colour] = {
    "black": (0.09, 0.075, 0.075),
    "brown": (0.31, 0.19, 0.115),
    "blond": (0.80, 0.63, 0.36),
    "red": (0.62, 0.24, 0.10),
    "gray": (0.64, 0.635, 0.64),
}
_EYES: dict[str, Colour] = {
    "brown": (0.30, 0.17, 0.08),
    "blue": (0.30, 0.50, 0.72),
    "green": (0.33, 0.50, 0.30),
    "gray": (0.47, 0.53, 0.57),
}
_YEARS = {"young": (18.0, 34.0), "middle-aged": (37.0, 57.0), "old": (62.0, 84.0)}
_STYLES = {
    "man": (("short", 0.46), ("cropped", 0.16), ("curly", 0.14), ("bald", 0.12), ("long", 0.06),
            ("wavy", 0.06)),
    "woman": (("long", 0.32), ("wavy", 0.26), ("tied-back", 0.18), ("curly", 0.13),
              ("short", 0.11)),
}  # fmt: skip
_BEARDS = (
    ("none", 0.56),
    ("stubble", 0.14),
    ("beard", 0.14),
    ("moustache", 0.08),
    ("goatee", 0.08),
)
_POSE, _PERSON, _EVENLY = 1, 2, 3
"""Stages of the draws of pose and gaze, of a person of the second edition, and of even traits."""

EDITIONS = (1, 2)
"""Editions of the drawings: the embedded weights know the first, the second has 18 AUs."""

MOST_TURN = math.radians(20.0)
"""Largest yaw and pitch of a head in the second edition [radians]."""

MOST_GAZE = math.radians(25.0)
"""Largest turn of the eyes to a side; half of that up and down [radians]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A person, how they are dressed, lit and photographed.

    Deviations are of standard-normal kind, clipped to [-2, 2], where nothing else is said; in the
    second edition they are as much wider as `people` has it.

    Attributes:
        seed: seed of texture (hair strands, freckles).
        age, person, hair, hair_style, skin, beard, glasses, eyes, face: named traits, as
            `vocabulary.TRAITS` lists their values.
        years: age [years].
        skin_colour, hair_colour, eye_colour, lip_colour: colours before shading.
        face_width, face_height, jaw_width, chin_width, forehead, cheek: deviations of the head.
        eye_size, eye_spacing, eye_height, eye_tilt, lid_fold: deviations of the eyes.
        nose_width, nose_length, nose_bridge: deviations of the nose.
        mouth_width, lip_fullness, mouth_height: deviations of the mouth.
        brow_thickness, brow_arch, brow_height, brow_spacing: deviations of the brows.
        ear_size: deviation.
        hair_volume, hairline, parting: deviations of the hair.
        freckles, blush, makeup: strengths [0–1].
        asymmetry: deviations left minus right of brow height, eye height, mouth height, nose.
        yaw, pitch, roll: pose [radians].
        light: direction towards the light (x, y, z), y down, z to the viewer; length 1.
        warmth: colour temperature of the light [-1 cold, 1 warm].
        clothes: 0 round neck, 1 V-neck, 2 collar, 3 turtleneck, 4 jacket, 5 hood.
        clothes_colour, background, background_edge: colours.
        glasses_shape: 0 round, 1 rectangular, 2 large.
        gaze: where the eyes look, from straight ahead of the face [radians]: to the right of the
            image, and down.
        edition: of the drawings, one of `EDITIONS`. What follows says nothing in the first.
        nose_tip, brow_ridge, sockets, flesh: deviations: size of the nose's tip, relief above the
            eyes, depth of the eyes, fullness of the cheeks.
        peak: deviation of the hairline's middle; fringe: 0 none, 1 straight, 2 swept.
        beard_length: deviation.
        eyeshadow, glasses_colour, clothes_accent, background_accent: colours.
        light_strength: of the lamp against what comes from all around [-1 flat, 1 hard].
        pattern: of the clothes: 0 plain, 1 striped.
        background_kind: 0 plain, 1 gradient, 2 blurred shapes.
    """

    seed: int
    age: str
    person: str
    hair: str
    hair_style: str
    skin: str
    beard: str
    glasses: str
    eyes: str
    face: str
    years: float
    skin_colour: Colour
    hair_colour: Colour
    eye_colour: Colour
    lip_colour: Colour
    face_width: float
    face_height: float
    jaw_width: float
    chin_width: float
    forehead: float
    cheek: float
    eye_size: float
    eye_spacing: float
    eye_height: float
    eye_tilt: float
    lid_fold: float
    nose_width: float
    nose_length: float
    nose_bridge: float
    mouth_width: float
    lip_fullness: float
    mouth_height: float
    brow_thickness: float
    brow_arch: float
    brow_height: float
    brow_spacing: float
    ear_size: float
    hair_volume: float
    hairline: float
    parting: float
    freckles: float
    blush: float
    makeup: float
    asymmetry: tuple[float, float, float, float]
    yaw: float
    pitch: float
    roll: float
    light: tuple[float, float, float]
    warmth: float
    clothes: int
    clothes_colour: Colour
    background: Colour
    background_edge: Colour
    glasses_shape: int
    gaze: tuple[float, float] = (0.0, 0.0)
    edition: int = 1
    nose_tip: float = 0.0
    brow_ridge: float = 0.0
    sockets: float = 0.0
    flesh: float = 0.0
    peak: float = 0.0
    beard_length: float = 0.0
    fringe: int = 0
    eyeshadow: Colour = (0.0, 0.0, 0.0)
    glasses_colour: Colour = (0.0, 0.0, 0.0)
    light_strength: float = 0.0
    pattern: int = 0
    clothes_accent: Colour = (0.0, 0.0, 0.0)
    background_kind: int = 0
    background_accent: Colour = (0.0, 0.0, 0.0)

    @property
    def traits(self) -> dict[str, str]:
        """The named traits: trait → value."""
        return {trait: getattr(self, trait) for trait in vocabulary.TRAITS}


def random_identity(
    seed: int, *, edition: int = 1, even: bool = False, **traits: str | bool
) -> Identity:
    """Draw a person.

    Pinning a trait changes no other draw, so that one seed with two skins is one face twice.

    Args:
        seed: any integer; seeds that agree modulo 2^128 give the same person.
        edition: of the drawings, one of `EDITIONS`.
        even: draw each value of each trait as often, by itself, as trainings need it: the old are
            gray no more often than the young; beards only for men.
        **traits: values of `vocabulary.TRAITS`; `glasses` also takes a bool.

    Raises:
        ConfigError: if there is no such edition, trait or value.
    """
    if edition not in EDITIONS:
        raise ConfigError(f"no edition {edition} of the drawings; there are {_editions()}")
    pinned = {name: _checked(name, value) for name, value in traits.items()}
    if even:
        draws = Draws(seed, _EVENLY)
        pinned = even_traits([draws.uniform() for _ in vocabulary.TRAITS], pinned)
    if edition > 1:
        person = drawn_person(Draws(seed, _PERSON, PERSON_DRAWS), pinned)
        return Identity(seed=seed, edition=edition, **person, **_pose(seed))
    draws = Draws(seed)
    named = _named_traits(draws, pinned)
    return Identity(
        seed=seed,
        **named,
        **_colours(draws, named),
        **_shape(draws, named),
        **_scene(draws),
        edition=edition,
    )


def even_traits(
    draws: Sequence[float], pinned: Mapping[str, str], bearded_women: bool = False
) -> dict[str, str]:
    """Choose each value of each trait as often, by itself; beards for men alone.

    Args:
        draws: a uniform draw [0, 1) for each of `vocabulary.TRAITS`.
        pinned: traits that are given.
        bearded_women: beards whatever the person.
    """
    pairs = zip(vocabulary.TRAITS.items(), draws, strict=True)
    drawn = {trait: pick(evenly(values), draw) for (trait, values), draw in pairs}
    drawn |= pinned
    if drawn["person"] == "woman" and "beard" not in pinned and not bearded_women:
        drawn["beard"] = "none"
    return drawn


def identity_from_text(text: str, seed: int, edition: int = 1) -> Identity:
    """Draw a person of whom a text names some traits.

    Glasses are what a text names only when they are there: without such a word there are none.
    """
    named = {"glasses": "no"} | vocabulary.traits_in(text)
    return random_identity(seed, edition=edition, even=False, **named)


def caption(identity: Identity, details: bool = True) -> str:
    """Describe a person in a phrase that `traits_in` reads back.

    Args:
        identity: whom to describe.
        details: also name hair style and beard.
    """
    return vocabulary.caption_of(identity.traits, details)


def _editions() -> str:
    return " and ".join(str(edition) for edition in EDITIONS)


def _checked(name: str, value: str | bool) -> str:
    if name not in vocabulary.TRAITS:
        raise ConfigError(f"no trait {shown(name)}; there are {', '.join(vocabulary.TRAITS)}")
    text = ("yes" if value else "no") if name == "glasses" and isinstance(value, bool) else value
    allowed = vocabulary.TRAITS[name]
    if text not in allowed:
        raise ConfigError(
            f"trait {name} cannot be {shown(value)}; it is one of {', '.join(allowed)}"
        )
    return str(text)


def _named_traits(draws: Draws, pinned: dict[str, str]) -> dict[str, str]:
    traits = {
        "age": draws.choose((("young", 0.4), ("middle-aged", 0.33), ("old", 0.27))),
        "person": draws.choose(evenly(vocabulary.PERSONS)),
        "skin": draws.choose(evenly(vocabulary.SKINS)),
        "face": draws.choose(evenly(vocabulary.FACE_SHAPES)),
        "glasses": draws.choose((("no", 0.78), ("yes", 0.22))),
    } | pinned
    hair_draw, style_draw, beard_draw, eyes_draw = (draws.uniform() for _ in range(4))
    gray = {"young": 0.03, "middle-aged": 0.22, "old": 0.72}[traits["age"]]
    others = tuple((colour, (1 - gray) / 4) for colour in vocabulary.HAIR_COLOURS[:4])
    drawn = {
        "hair": pick((("gray", gray), *others), hair_draw),
        "hair_style": pick(_STYLES[traits["person"]], style_draw),
        "beard": pick(_BEARDS, beard_draw) if traits["person"] == "man" else "none",
        "eyes": pick(_eye_weights(traits["skin"]), eyes_draw),
    }  # fmt: skip
    return drawn | traits


def _eye_weights(skin: str) -> tuple[tuple[str, float], ...]:
    rare = {"pale": 0.25, "light": 0.22, "tan": 0.12, "brown": 0.05, "dark": 0.02}[skin]
    return (("brown", 1 - 3 * rare), ("blue", rare), ("green", rare), ("gray", rare))


def _colours(draws: Draws, named: dict[str, str]) -> dict[str, Any]:
    undertone, depth, shade, warm = (draws.uniform(-1.0, 1.0) for _ in range(4))
    skin = tuple(
        min(part * (1 + 0.05 * depth) + tint * 0.02 * undertone, 0.985)
        for part, tint in zip(_SKIN[named["skin"]], (1.0, -0.1, -1.0), strict=True)
    )
    hair = tuple(
        min(part * (1 + 0.18 * shade) * (1 + 0.08 * warm * tint), 0.95)
        for part, tint in zip(_HAIR[named["hair"]], (1.0, 0.2, -1.0), strict=True)
    )
    woman = named["person"] == "woman"
    makeup = draws.uniform() ** 1.5 * (1.0 if woman else 0.0)
    natural = mix((skin[0] * 0.88, skin[1] * 0.62, skin[2] * 0.60), (0.60, 0.25, 0.24), 0.25)
    red = mix((0.68, 0.13, 0.17), (0.72, 0.30, 0.36), draws.uniform())
    eye_shade = draws.uniform(0.85, 1.2)
    eye = _EYES[named["eyes"]]
    return {
        "skin_colour": skin,
        "hair_colour": hair,
        "eye_colour": (eye[0] * eye_shade, eye[1] * eye_shade, eye[2] * eye_shade),
        "lip_colour": mix(natural, red, 0.75 * makeup),
        "makeup": makeup,
        "blush": draws.uniform(0.2, 1.0),
    }


def _shape(draws: Draws, named: dict[str, str]) -> dict[str, Any]:
    low, high = _YEARS[named["age"]]
    plain = ("face_width", "face_height", "jaw_width", "chin_width", "forehead", "cheek",
             "eye_size", "eye_spacing", "eye_height", "eye_tilt", "lid_fold", "nose_width",
             "nose_length", "nose_bridge", "mouth_width", "lip_fullness", "mouth_height",
             "brow_thickness", "brow_arch", "brow_height", "brow_spacing", "ear_size",
             "hair_volume", "hairline", "parting")  # fmt: skip
    shape: dict[str, Any] = {"years": draws.uniform(low, high)}
    shape |= {name: draws.deviation() for name in plain}
    freckled = {"pale": 0.4, "light": 0.3, "tan": 0.15, "brown": 0.05, "dark": 0.0}[named["skin"]]
    shape["freckles"] = max(0.0, (freckled - draws.uniform()) / max(freckled, 0.01))
    shape["asymmetry"] = tuple(draws.deviation() for _ in range(4))
    return shape


def _scene(draws: Draws) -> dict[str, Any]:
    light = (draws.uniform(-0.62, 0.62), draws.uniform(-0.62, -0.18), 0.82)
    length = math.sqrt(sum(part * part for part in light))
    background = hue_colour(draws.uniform(), draws.uniform(0.05, 0.42), draws.uniform(0.35, 0.85))
    clothes = hue_colour(draws.uniform(), draws.uniform(0.1, 0.7), draws.uniform(0.2, 0.85))
    dim = draws.uniform(0.5, 0.9)
    return {
        "yaw": 0.10 * draws.deviation(),
        "pitch": 0.05 * draws.deviation(),
        "roll": 0.035 * draws.deviation(),
        "light": tuple(part / length for part in light),
        "warmth": draws.uniform(-1.0, 1.0),
        "clothes": int(draws.uniform(0.0, 3.999)),
        "clothes_colour": clothes,
        "background": background,
        "background_edge": (background[0] * dim, background[1] * dim, background[2] * dim),
        "glasses_shape": int(draws.uniform(0.0, 2.999)),
    }


def _pose(seed: int) -> dict[str, Any]:
    """Draw pose and gaze of the second edition; most eyes look at the camera, or nearly."""
    draws = Draws(seed, _POSE)
    yaw, pitch = 0.5 * MOST_TURN * draws.deviation(), 0.35 * MOST_TURN * draws.deviation()
    roll = 0.045 * draws.deviation()
    away = 1.0 if draws.uniform() < 0.3 else 0.15
    across = -0.8 * yaw + away * 0.5 * MOST_GAZE * draws.deviation()
    down = -0.8 * pitch + away * 0.2 * MOST_GAZE * draws.deviation()
    most = (MOST_GAZE, MOST_GAZE / 2)
    gaze = tuple(
        min(max(turn, -limit), limit) for turn, limit in zip((across, down), most, strict=True)
    )
    return {"yaw": yaw, "pitch": pitch, "roll": roll, "gaze": gaze}
