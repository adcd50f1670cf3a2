"""The first edition of the drawings stays equal to the byte: shipped weights were trained on it."""

import hashlib
import platform
from importlib.metadata import version

import numpy as np
import pytest

from pipelines.procedural import identity_from_text, random_identity, render
from pipelines.procedural.identity import Identity
from synthgen.action_units import AU_COUNT

FACES = "c6c3748e7968747326bf2e0b9b8eccb93a628069bc0fbba3c297c90c13923de0"
"""SHA-256 of the pixels of `faces()`, by skia 144.0 on x86-64."""

TRAITS = (
    {},
    {"glasses": "yes", "age": "old"},
    {"person": "man", "beard": "beard"},
    {"person": "man", "beard": "goatee", "hair_style": "bald"},
    {"hair_style": "curly", "skin": "dark"},
    {"hair_style": "tied-back", "skin": "pale"},
)


def faces() -> list[tuple[Identity, list[float], int]]:
    """24 people, poses and sizes; all AUs, within and outside of [0, 5]."""
    draws = np.random.Generator(np.random.Philox(key=17))
    asked = []
    for number in range(24):
        active = draws.random(AU_COUNT) < 0.4
        aus = np.where(active, draws.uniform(-2.0, 7.0, AU_COUNT), 0.0).tolist()
        if number == 23:
            person = identity_from_text("an old bald man with a moustache and glasses", 5)
        else:
            person = random_identity(1000 + number, **TRAITS[number % 6])
        asked.append((person, aus, (64, 128, 160)[number % 3]))
    return asked


@pytest.mark.skipif(
    platform.machine() != "x86_64" or version("skia-python").split(".")[0] != "144",
    reason="the pixels are those of skia 144 on x86-64",
)
def test_the_first_edition_is_equal_to_the_byte():
    found = hashlib.sha256()
    for person, aus, size in faces():
        found.update(render(person, aus, size).tobytes())
    assert found.hexdigest() == FACES
