"""Pictures as a VAE makes them."""

import numpy as np
import pytest
from tiny_training import make_vae_folder

from pipelines.procedural import random_identity, render
from pipelines.training.diffusion.decoded import DecodedPictures, VAEPictures

PICTURE = render(random_identity(seed=2), [0.0] * 12, size=64)


@pytest.fixture
def make(tmp_path):
    folder = str(make_vae_folder(tmp_path / "vae"))

    def made(share=1.0, latent_noise=0.5, stage="train"):
        config = DecodedPictures(vae=folder, share=share, latent_noise=latent_noise)
        return VAEPictures(config, 1, stage, "float32")

    return made


def test_a_picture_changes_as_its_number_says(make):
    one, same, other = (make().decoded(PICTURE, number) for number in (7, 7, 8))
    assert one.size == PICTURE.size
    assert one.tobytes() == same.tobytes() != other.tobytes()
    assert make(stage="held-out").decoded(PICTURE, 7).tobytes() != one.tobytes()


def test_without_noise_the_vae_alone_decides(make):
    vae = make(latent_noise=0.0)
    assert vae.decoded(PICTURE, 1).tobytes() == vae.decoded(PICTURE, 2).tobytes()


def test_a_share_of_the_pictures_is_decoded(make):
    vae = make(share=0.4)
    changed = [vae.shared(PICTURE, number) is not PICTURE for number in range(60)]
    assert 14 <= sum(changed) <= 34
    assert make(share=0.0).shared(PICTURE, 1) is PICTURE


def test_the_embedded_vae_keeps_a_face():
    config = DecodedPictures(share=1.0, latent_noise=0.1)
    portrait = render(random_identity(seed=2), [0.0] * 12, size=128)
    made = VAEPictures(config, 1, "train", "bfloat16").decoded(portrait, 3)
    difference = np.asarray(made, np.float32) - np.asarray(portrait, np.float32)
    assert 0.5 < np.abs(difference).mean() < 12
