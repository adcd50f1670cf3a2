import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipelines.training.au_network.augmentation import DRAWS, AugmentationConfig, augment

FACE = Image.fromarray(
    np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8).repeat(2, 0).repeat(2, 1)
)
BOUNDS = AugmentationConfig()
draws = st.lists(st.floats(0, 1, exclude_max=True), min_size=DRAWS, max_size=DRAWS).map(np.array)


@settings(max_examples=40, deadline=None)
@given(draws)
def test_a_change_is_a_function_of_its_draws_and_keeps_size_and_mode(numbers):
    first, again = (augment(FACE, numbers, 1.0, BOUNDS) for _ in range(2))
    assert (first.size, first.mode) == (FACE.size, "RGB")
    assert first.tobytes() == again.tobytes()


def test_without_a_chance_nothing_changes():
    assert augment(FACE, np.zeros(DRAWS), 0.0, BOUNDS) is FACE


def test_each_change_alone_changes_the_pixels():
    for change in range(6):
        numbers = np.full(DRAWS, 0.9)
        numbers[change] = 0.1
        changed = augment(FACE, numbers, 0.5, BOUNDS)
        assert changed.tobytes() != FACE.tobytes(), change


def test_a_shift_moves_the_middle_by_its_share_of_the_side():
    dot = Image.new("RGB", (101, 101))
    dot.putpixel((50, 50), (255, 255, 255))
    numbers = np.full(DRAWS, 0.5)
    numbers[:6] = [0.1, 1, 1, 1, 1, 1]
    numbers[6:8] = [1.0, 0.0]  # all the way right, all the way up
    moved = np.asarray(augment(dot, numbers, 0.5, AugmentationConfig(shift=0.1)))[..., 0]
    y, x = np.unravel_index(moved.argmax(), moved.shape)
    assert (abs(x - 60), abs(y - 40)) <= (1, 1)
