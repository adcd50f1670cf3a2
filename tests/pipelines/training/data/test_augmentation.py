import torch

from pipelines.procedural import random_identity, render
from pipelines.training.data.augmentation import augment, middle, to_pixels
from pipelines.training.data.config import BatchAugmentation

SIDE = 112


def test_without_a_chance_portraits_are_cut_and_perhaps_mirrored():
    faces = [render(random_identity(seed=i), [0.0] * 12, size=128) for i in range(6)]
    pixels = torch.stack([0.5 * to_pixels(face) + 0.5 for face in faces])
    torch.manual_seed(0)
    changed = augment(pixels, BatchAugmentation(chance=0.0), SIDE)
    plain = middle(pixels, SIDE)
    same = (changed - plain).abs().amax((1, 2, 3)) < 1e-3
    mirrored = (changed - plain.flip(-1)).abs().amax((1, 2, 3)) < 1e-3
    assert (same | mirrored).all()
    assert same.any()
    assert mirrored.any()


def test_changes_stay_within_the_scale():
    torch.manual_seed(0)
    changed = augment(torch.rand(8, 3, 128, 128), BatchAugmentation(chance=1.0), SIDE)
    assert changed.shape == (8, 3, SIDE, SIDE)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert changed.isfinite().all()
