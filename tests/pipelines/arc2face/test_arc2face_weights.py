"""Where Arc2Face's files are looked for."""

import pytest

from pipelines.arc2face.weights import locate_adapter, locate_published
from synthgen.errors import WeightsError


def test_an_adapter_lies_in_its_folder_or_where_it_is_published(tmp_path):
    def find(folder):
        return locate_adapter(folder, "exp_adapter.bin", below="exp_adapter")

    with pytest.raises(WeightsError) as caught:
        find(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} has no file exp_adapter.bin; it must hold exp_adapter.bin or "
        "exp_adapter/exp_adapter.bin"
    )
    published = tmp_path / "exp_adapter"
    published.mkdir()
    (published / "exp_adapter.bin").write_bytes(b"there")
    assert find(tmp_path) == find(published) == published / "exp_adapter.bin"


def test_what_is_missing_is_named_with_the_key_that_means_it(tmp_path):
    with pytest.raises(WeightsError) as caught:
        locate_published("FoivosPar/Arc2Face", setting="pipeline.weights.arc2face", fetch=False)
    assert str(caught.value) == (
        "FoivosPar/Arc2Face (pipeline.weights.arc2face) is not on this machine: no folder of that "
        "name, and not in the Hub's cache; `synthgen weights fetch CONFIG` fetches it"
    )
    with pytest.raises(WeightsError) as caught:
        locate_published(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} has no file arc2face/config.json; it must hold arc2face/config.json, "
        "arc2face/diffusion_pytorch_model.safetensors, encoder/config.json"
    )
