import pytest
import torch
from tiny_face_embedder import face_embedder
from tiny_mini import make_mini

from pipelines.libreface.network import LibreFaceNetwork
from pipelines.weights import fetch_weights
from synthgen.config import VerifyConfig, parse_config
from synthgen.errors import WeightsError


def config(weights, pipeline=None):
    return parse_config(
        {
            "name": "test",
            "seed": 1,
            "samples": 1,
            "output": {"path": "out"},
            "expressions": {"prior": "emotions", "categories": ["happy"]},
            "identities": {"source": "prompts", "template": "a face"},
            "pipeline": pipeline or {"name": "procedural"},
            "verify": {"weights": weights},
        }
    )


def test_embedded_weights_need_no_fetching():
    assert fetch_weights(config("mini")) == []


def test_a_face_embedder_of_ones_own_is_named(tmp_path):
    file = tmp_path / "tiny.safetensors"
    face_embedder(tmp_path)
    check = {"embedder": {"kind": "mini", "weights": str(file)}}
    verify = VerifyConfig.model_validate({"weights": "mini", "identity": check})
    assert fetch_weights(config("mini").model_copy(update={"verify": verify})) == [file]


def test_embedded_fineface_needs_no_fetching(monkeypatch, tmp_path):
    monkeypatch.setattr("pipelines.fineface.weights.MINI_FOLDER", make_mini(tmp_path / "mini"))
    assert fetch_weights(config("mini", {"name": "fineface", "weights": "mini"})) == []


def test_an_adapter_of_ones_own_on_the_embedded_base_is_returned(monkeypatch, tmp_path):
    mini = make_mini(tmp_path / "mini")
    monkeypatch.setattr("pipelines.fineface.weights.MINI_FOLDER", mini)
    own = (mini / "fineface").rename(tmp_path / "own")
    weights = {"base": "mini", "fineface": str(own)}
    assert fetch_weights(config("mini", {"name": "fineface", "weights": weights})) == [own]


def test_embedded_fineface_that_lacks_a_file_is_an_error(monkeypatch, tmp_path):
    mini = make_mini(tmp_path / "mini")
    (mini / "base" / "vae" / "config.json").unlink()
    monkeypatch.setattr("pipelines.fineface.weights.MINI_FOLDER", mini)
    with pytest.raises(WeightsError) as error:
        fetch_weights(config("mini", {"name": "fineface", "weights": "mini"}))
    assert str(error.value) == (
        f"the embedded weights are incomplete: {mini}/base has no vae/config.json; "
        "install synthgen again"
    )


def test_libreface_weights_in_the_cache_are_returned(monkeypatch, tmp_path):
    monkeypatch.setenv("SYNTHGEN_CACHE", str(tmp_path))
    file = tmp_path / "libreface" / "combined_resnet.pt"
    file.parent.mkdir()
    torch.save({"model": LibreFaceNetwork().state_dict()}, file)
    assert fetch_weights(config("libreface")) == [file]


def test_weights_of_the_users_own_are_found(tmp_path):
    (tmp_path / "own.safetensors").touch()
    assert fetch_weights(config(str(tmp_path))) == [tmp_path / "own.safetensors"]
    with pytest.raises(WeightsError, match="does not exist"):
        fetch_weights(config(str(tmp_path / "gone")))


def test_missing_fineface_folder_is_named(tmp_path):
    weights = {"base": str(tmp_path / "base"), "fineface": str(tmp_path / "fineface")}
    with pytest.raises(WeightsError, match=r"base does not exist"):
        fetch_weights(config("mini", {"name": "fineface", "weights": weights}))
