import pickle
from pathlib import Path

import pytest
import torch
from smirk_files import OTHERS, PREFIX, made_encoder, smirk_tensors, write_smirk
from torch import nn

from pipelines.smirk import SmirkEncoder
from pipelines.smirk.network import SameConv2d
from pipelines.weight_files import file_sha256
from samplers.flame import FLAME_WIDTH
from samplers.flame.expression import EYELIDS, JAW
from synthgen.errors import PictureError, WeightsError


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_smirk(tmp_path_factory.mktemp("smirk") / "SMIRK_em1.pt")


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, 3, 224, 224, generator=torch.Generator().manual_seed(1))


def refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(WeightsError) as caught:
        SmirkEncoder.from_file(tmp_path / "other.pt")
    return str(caught.value).replace(str(tmp_path), "DIR")


def test_the_published_layout_is_read_and_its_other_networks_left_out(file, images):
    encoder = SmirkEncoder.from_file(file)
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert (encoder.fingerprint, encoder.name) == (f"sha256:{file_sha256(file)}", "smirk")
    found = encoder(images)
    assert found.shape == (3, FLAME_WIDTH)
    assert torch.equal(found, made_encoder()(images))
    assert found[:, :50].std(dim=0).min() > 0


def test_eyelids_and_jaw_are_cut_off_at_their_bounds(file, images):
    encoder = SmirkEncoder.from_file(file)
    layer = encoder.expression_layers[0]
    free = layer(encoder.encoder(images).mean((2, 3)))
    found = encoder(images)
    assert torch.equal(found[:, :50], free[:, :50])
    for slot, low, high in ((EYELIDS, 0, 1), (slice(52, 53), 0, torch.inf), (JAW, -0.2, torch.inf)):
        assert found[:, slot].min() >= low
        assert found[:, slot].max() <= high
    layer.bias.data[50:] = torch.tensor([-50.0, 50, -50, -50, 50])
    assert encoder(images)[:, 50:].tolist() == [pytest.approx([0, 1, 0, -0.2, 0.2])] * 3
    layer.bias.data[52] = 50
    assert (encoder(images)[:, 52] > 40).all()


def test_bgr_is_the_same_network_fed_with_the_colours_the_other_way_round(file, images):
    encoder = SmirkEncoder.from_file(file, bgr=True)
    assert encoder.name == "smirk-bgr"
    assert torch.equal(encoder(images.flip(1)), SmirkEncoder.from_file(file)(images))


def test_a_face_is_read_alike_alone_and_beside_others(file, images):
    encoder = SmirkEncoder.from_file(file)
    together = encoder(images)
    for number in range(3):
        alone = encoder(images[number : number + 1])[0]
        assert (alone - together[number]).abs().max() < 1e-6
    assert encoder(images[:0]).shape == (0, FLAME_WIDTH)


def test_padding_is_that_of_tensorflow():
    convolution = SameConv2d(1, 1, 3, 2, bias=False)
    nn.init.ones_(convolution.weight)
    image = torch.zeros(1, 1, 4, 4)
    image[0, 0, 0, 0] = image[0, 0, 3, 3] = 1
    # A stride of 2 on an even side pads behind alone: the first place is seen once.
    assert convolution(image)[0, 0].tolist() == [[1, 0], [0, 1]]
    assert convolution(torch.zeros(1, 1, 5, 7)).shape == (1, 1, 3, 4)
    odd = torch.zeros(1, 1, 3, 3)
    odd[0, 0, 0, 0] = 1
    assert convolution(odd)[0, 0].tolist() == [[1, 0], [0, 0]]


def test_normalisation_adds_a_thousandth_to_the_variance():
    norms = [part for part in SmirkEncoder().modules() if isinstance(part, nn.BatchNorm2d)]
    assert len(norms) == 46
    assert {norm.eps for norm in norms} == {1e-3}


def test_a_tensor_that_is_missing_or_superfluous_is_named(tmp_path):
    tensors = smirk_tensors()
    del tensors[f"{PREFIX}encoder.blocks.3.1.bn2.running_var"]
    assert refused(tmp_path, tensors) == (
        "DIR/other.pt does not fit the network; missing: "
        "smirk_encoder.expression_encoder.encoder.blocks.3.1.bn2.running_var"
    )
    assert refused(tmp_path, {**smirk_tensors(), "flame.v_template": torch.ones(2)}) == (
        "DIR/other.pt does not fit the network; unexpected: flame.v_template"
    )
    tensors = smirk_tensors()
    tensors[f"{PREFIX}expression_layers.0.bias"] = torch.zeros(53)
    assert refused(tmp_path, tensors) == (
        "DIR/other.pt: smirk_encoder.expression_encoder.expression_layers.0.bias has shape [53]; "
        "it must have [55]"
    )
    assert refused(tmp_path, dict.fromkeys(OTHERS, torch.ones(1))).startswith(
        "DIR/other.pt does not fit the network; missing: smirk_encoder.expression_encoder."
        "encoder.conv_stem.weight, "
    )


def test_other_files_are_refused(tmp_path):
    with pytest.raises(WeightsError) as caught:
        SmirkEncoder.from_file(tmp_path / "SMIRK_em1.pt")
    assert str(caught.value) == (
        f"{tmp_path}/SMIRK_em1.pt does not exist; give SMIRK_em1.pt, which SMIRK's authors publish "
        "without a licence: research only"
    )
    assert refused(tmp_path, [torch.ones(2)]) == (
        "DIR/other.pt must hold a dict of tensors by name, and holds something else"
    )
    assert refused(tmp_path, {**smirk_tensors(), "epoch": 3}) == (
        "DIR/other.pt must hold a dict of tensors by name, and holds something else"
    )
    tensors = smirk_tensors()
    tensors[f"{PREFIX}expression_layers.0.bias"][4] = torch.nan
    assert refused(tmp_path, tensors) == (
        "DIR/other.pt: smirk_encoder.expression_encoder.expression_layers.0.bias holds values that "
        "are not finite numbers (1 of 55); take another file, or download it again"
    )


class _Trap:
    def __reduce__(self):
        return Path("trapped").touch, ()


def test_no_code_of_a_file_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("evil.pt").write_bytes(pickle.dumps({"a": _Trap()}, protocol=2))
    with pytest.raises(WeightsError):
        SmirkEncoder.from_file("evil.pt")
    torch.save({"a": _Trap()}, "evil.pt")
    with pytest.raises(WeightsError, match="is refused: it is no PyTorch file"):
        SmirkEncoder.from_file("evil.pt")
    assert not Path("trapped").exists()


def test_images_that_are_none_of_its_own_are_refused(file):
    encoder = SmirkEncoder.from_file(file)
    for image, said in (
        (
            torch.zeros(1, 3, 112, 112),
            "SMIRK takes images of shape [b, 3, 224, 224], and these have [1, 3, 112, 112]; "
            "crop_face makes faces of that size",
        ),
        (
            torch.zeros(1, 3, 224, 224, dtype=torch.uint8),
            "SMIRK takes pixels from 0 to 1, and these are of type torch.uint8; divide bytes by "
            "255",
        ),
        (
            torch.full((1, 3, 224, 224), 255.0),
            "SMIRK takes pixels from 0 to 1, and these go from 255 to 255; divide bytes by 255",
        ),
        (
            torch.full((1, 3, 224, 224), torch.nan),
            "SMIRK takes pixels from 0 to 1, and these go from nan to nan; divide bytes by 255",
        ),
    ):
        with pytest.raises(PictureError) as caught:
            encoder(image)
        assert str(caught.value) == said
