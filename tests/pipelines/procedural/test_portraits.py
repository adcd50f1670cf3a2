"""What the pixels of a portrait owe to size, identity and AUs."""

import subprocess
import sys

import numpy as np
import pytest

from pipelines.procedural import random_identity, render
from synthgen.action_units import AUS, au_vector
from synthgen.errors import ActionUnitError, ConfigError

NEUTRAL = [0.0] * 12
BROWS, EYES, NOSE, MOUTH, CHIN = (
    (0.12, 0.20, 0.88, 0.44),
    (0.20, 0.38, 0.80, 0.60),
    (0.30, 0.34, 0.70, 0.76),
    (0.26, 0.58, 0.74, 0.84),
    (0.26, 0.66, 0.74, 1.00),
)
REGIONS = {"AU1": BROWS, "AU2": BROWS, "AU4": BROWS, "AU5": EYES, "AU6": EYES, "AU9": NOSE,
           "AU12": MOUTH, "AU15": MOUTH, "AU17": CHIN, "AU20": MOUTH, "AU25": MOUTH,
           "AU26": CHIN}  # fmt: skip


def pixels(seed: int, aus: dict[str, float], size: int = 128, **traits: str) -> np.ndarray:
    image = render(random_identity(seed, **traits), au_vector(aus), size)
    return np.asarray(image, np.float64)


def boxed(image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    left, top, right, bottom = (round(edge * len(image)) for edge in box)
    return image[top:bottom, left:right]


@pytest.mark.parametrize("size", [64, 100, 128, 256])
def test_a_portrait_has_the_size_asked_for(size):
    image = render(random_identity(1), NEUTRAL, size)
    assert image.mode == "RGB"
    assert image.size == (size, size)


def test_sizes_show_the_same_face():
    small = render(random_identity(4), NEUTRAL, 64)
    large = render(random_identity(4), NEUTRAL, 256).resize((64, 64), 5)
    difference = np.abs(np.asarray(small, float) - np.asarray(large, float))
    assert difference.mean() < 6


def test_too_small_a_size_is_refused():
    with pytest.raises(ConfigError) as refused:
        render(random_identity(1), NEUTRAL, 63)
    assert str(refused.value) == "a portrait's size is at least 64 pixels; 63 is too small"


def test_wrong_vectors_are_refused():
    with pytest.raises(ActionUnitError):
        render(random_identity(1), [0.0] * 13)
    with pytest.raises(ActionUnitError):
        render(random_identity(1), [float("inf")] * 12)


def test_the_same_arguments_give_the_same_pixels_in_another_process():
    code = (
        "import hashlib; from pipelines.procedural import random_identity, render\n"
        "image = render(random_identity(12), [2.5] * 12)\n"
        "print(hashlib.sha256(image.tobytes()).hexdigest())"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert runs[0].stdout == runs[1].stdout


def test_the_package_loads_neither_torch_nor_diffusers():
    code = (
        "import sys, pipelines.procedural\n"
        "print([name for name in ('torch', 'diffusers', 'ray') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("au", AUS)
@pytest.mark.parametrize(
    "traits",
    [
        {"person": "woman", "skin": "light", "age": "young"},
        {"person": "man", "skin": "dark", "age": "old", "glasses": "yes", "beard": "beard"},
    ],
    ids=["plain", "glasses-and-beard"],
)
def test_each_au_at_3_shows_in_its_own_region(au, traits):
    for seed in (2, 31):
        rest = pixels(seed, {}, **traits)
        change = np.abs(pixels(seed, {au: 3.0}, **traits) - rest)
        inside = boxed(change, REGIONS[au])
        assert inside.mean() > 1.2, f"{au} changes its region by {inside.mean():.2f} levels"
        assert inside.sum() > 0.6 * change.sum()


@pytest.mark.parametrize("au", AUS)
def test_more_intensity_changes_more_pixels(au):
    rest = pixels(8, {})
    changes = [np.abs(pixels(8, {au: level}) - rest).mean() for level in (0.5, 1.5, 3.0, 5.0)]
    assert changes == sorted(changes)
    assert changes[0] > 0.03


@pytest.mark.parametrize("au", AUS)
def test_each_au_can_be_told_from_the_others(au):
    """No AU's picture is mostly a weaker or stronger picture of another AU."""
    rest = pixels(15, {})
    own = (pixels(15, {au: 4.0}) - rest).ravel()
    for other in AUS:
        if other == au:
            continue
        theirs = (pixels(15, {other: 4.0}) - rest).ravel()
        likeness = own @ theirs / np.sqrt((own @ own) * (theirs @ theirs))
        assert abs(likeness) < 0.75, f"{au} and {other}: {likeness:.2f}"


def test_people_differ():
    faces = [pixels(seed, {}) for seed in range(6)]
    for i, one in enumerate(faces):
        for other in faces[i + 1 :]:
            assert np.abs(one - other).mean() > 5


def test_without_skia_the_message_says_what_to_install():
    code = (
        "import sys; sys.modules['skia'] = None\n"
        "from synthgen.errors import MissingDependencyError\n"
        "try:\n    from pipelines.procedural import render\n"
        "except MissingDependencyError as error:\n    print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == (
        "procedural faces need skia (import of skia halted; None in sys.modules); pip install "
        "skia-python, and on a system without graphics libraries: apt install libegl1 libgl1"
    )
