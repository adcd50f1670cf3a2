import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_face_embedder import face_embedder
from tiny_mini import make_mini

from pipelines.fineface.weights import checksums, locate
from pipelines.libreface.network import LibreFaceNetwork
from pipelines.loading import fetch_weights
from synthgen.config import VerifyConfig, dump_config, load_config, parse_config
from synthgen.errors import WeightsError

EXAMPLES = Path(__file__).parents[2] / "examples"


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
    assert fetch_weights(config("mini")).files == ()


def test_a_face_embedder_of_ones_own_is_named(tmp_path):
    file = tmp_path / "tiny.safetensors"
    face_embedder(tmp_path)
    check = {"embedder": {"kind": "mini", "weights": str(file)}}
    verify = VerifyConfig.model_validate({"weights": "mini", "identity": check})
    assert fetch_weights(config("mini").model_copy(update={"verify": verify})).files == (file,)


def test_embedded_fineface_needs_no_fetching(monkeypatch, tmp_path):
    monkeypatch.setattr("pipelines.fineface.weights.MINI_FOLDER", make_mini(tmp_path / "mini"))
    assert fetch_weights(config("mini", {"name": "fineface", "weights": "mini"})).files == ()


def test_an_adapter_of_ones_own_on_the_embedded_base_is_returned(monkeypatch, tmp_path):
    mini = make_mini(tmp_path / "mini")
    monkeypatch.setattr("pipelines.fineface.weights.MINI_FOLDER", mini)
    own = (mini / "fineface").rename(tmp_path / "own")
    weights = {"base": "mini", "fineface": str(own)}
    assert fetch_weights(config("mini", {"name": "fineface", "weights": weights})).files == (own,)


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
    assert fetch_weights(config("libreface")).files == (file,)


def test_weights_of_the_users_own_are_found(tmp_path):
    save_file({"bias": torch.zeros(1)}, tmp_path / "own.safetensors")
    assert fetch_weights(config(str(tmp_path))).files == (tmp_path / "own.safetensors",)
    with pytest.raises(WeightsError, match="does not exist"):
        fetch_weights(config(str(tmp_path / "gone")))


def test_missing_fineface_folder_is_named(tmp_path):
    weights = {"base": str(tmp_path / "base"), "fineface": str(tmp_path / "fineface")}
    with pytest.raises(WeightsError, match=r"base does not exist"):
        fetch_weights(config("mini", {"name": "fineface", "weights": weights}))


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def cached(monkeypatch, tmp_path):
    """Put the embedded FineFace files into a cache of the Hub's, as of a commit on `main`."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    mini = make_mini(tmp_path / "mini")
    monkeypatch.setattr("pipelines.fineface.weights.MINI_FOLDER", mini)
    repo = tmp_path / "hub" / "models--me--fineface"
    (repo / "snapshots").mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)
    return (mini / "fineface").rename(repo / "snapshots" / COMMIT)


def of_hub(**weights):
    weights = {"base": "mini", "fineface": "me/fineface", **weights}
    return config("mini", {"name": "fineface", "weights": weights})


def test_what_was_fetched_is_told_as_the_commit_to_pin(monkeypatch, tmp_path):
    folder = cached(monkeypatch, tmp_path)
    assert fetch_weights(of_hub()).pins == {"pipeline.weights.fineface_revision": COMMIT}
    pinned = of_hub(fineface_revision=COMMIT)
    assert fetch_weights(pinned).pins == {}
    assert locate(pinned.pipeline.weights, fetch=False).fineface == folder
    assert fetch_weights(config("mini")).pins == {}
    with pytest.raises(WeightsError) as caught:
        locate(of_hub(fineface_revision="f" * 40).pipeline.weights, fetch=False)
    assert str(caught.value) == (
        f"me/fineface at revision {'f' * 40} (pipeline.weights.fineface) is not on this machine: "
        "no folder of that name, and not in the Hub's cache; `synthgen weights fetch CONFIG` "
        "fetches it"
    )


def test_a_file_of_another_checksum_is_refused_before_it_is_loaded(monkeypatch, tmp_path):
    cached(monkeypatch, tmp_path)
    name, digest = next(
        item
        for item in checksums(locate(of_hub().pipeline.weights, fetch=False)).items()
        if item[0].startswith("fineface/")
    )
    assert locate(of_hub(sha256={name: digest}).pipeline.weights, fetch=False)
    for expected, end in [
        ({name: "0" * 64}, f"not {'0' * 64}; fetch it again, or change the key if you trust it"),
        ({"fineface/none": digest}, "which this run does not use; it uses "),
    ]:
        with pytest.raises(WeightsError) as caught:
            locate(of_hub(sha256=expected).pipeline.weights, fetch=False)
        assert end in str(caught.value)


def test_pins_are_no_part_of_the_identity_of_the_data():
    plain, pinned = of_hub(), of_hub(fineface_revision=COMMIT, sha256={"vae/x": "0" * 64})
    assert plain.identity() == pinned.identity()
    assert "sha256" not in dump_config(plain)
    assert "fineface_revision" not in dump_config(plain)
    assert COMMIT in dump_config(pinned)


def test_the_examples_pin_what_is_publicly_known():
    for name in ["fineface-sd21", "faceid-sd15"]:
        found = load_config(EXAMPLES / f"{name}.yaml").pipeline.weights
        keys = {"revision": "base", "vae_revision": "vae", "ip_adapter_revision": "ip_adapter"}
        for key, part in keys.items():
            if getattr(found, part, None) is not None:
                assert re.fullmatch("[0-9a-f]{40}", getattr(found, key))
