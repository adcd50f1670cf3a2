import numpy as np
import pytest
from PIL import Image

from pipelines.libreface.network import face_pixels, resized_side


@pytest.mark.parametrize(("input_size", "side"), [(224, 256), (112, 128), (96, 110)])
def test_proportions_are_those_of_libreface(input_size, side):
    assert resized_side(input_size) == side


def test_pixels_are_normalised_by_imagenet():
    pixels = face_pixels([Image.new("RGB", (512, 512), (255, 0, 128))])
    assert pixels.shape == (1, 3, 224, 224)
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (128 / 255 - 0.406) / 0.225]
    assert pixels[0, :, 100, 7].tolist() == pytest.approx(expected, abs=1e-6)


def test_middle_is_cut_out():
    values = np.zeros((256, 256, 3), np.uint8)
    values[16:240, 16:240] = 255
    assert face_pixels([Image.fromarray(values)])[0].amin() > 2
    assert face_pixels([Image.fromarray(255 - values)])[0].amax() < -1


def test_crops_of_different_sizes_share_a_batch():
    crops = [Image.new("RGB", (side, side), "white") for side in (1, 110, 512)]
    pixels = face_pixels(crops, input_size=96)
    assert pixels.shape == (3, 3, 96, 96)
    assert (pixels[0] == pixels[2]).all()
