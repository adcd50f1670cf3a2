from dataclasses import replace

import pytest
from safetensors.numpy import load_file

from cluster.preflight.weights import PROCESS, find_weights, least_memory, worker_memory
from pipelines.fineface.section import FineFaceConfig, FineFaceWeights
from pipelines.fineface.weights import MINI_FOLDER
from synthgen.config.base import Weights


@pytest.fixture
def mini(make_config):
    config = make_config()
    return config.model_copy(
        update={"pipeline": FineFaceConfig(name="fineface", weights="mini", batch_size=16)}
    )


def test_drawn_faces_need_the_verifier_alone(make_config):
    found = find_weights(make_config())
    assert dict(found.licences) == {"libreface-mini": "Apache-2.0"}
    assert found.problems == ()
    assert 40_000_000 < found.bytes < 50_000_000


def test_embedded_weights_are_counted_as_their_files_hold_them(mini, make_config):
    files = [
        *MINI_FOLDER.glob("base/unet/*.safetensors"),
        *MINI_FOLDER.glob("base/vae/*.safetensors"),
        *MINI_FOLDER.glob("base/text_encoder/*.safetensors"),
    ]
    numbers = sum(value.size for file in files for value in load_file(file).values())
    verifier = find_weights(make_config()).bytes
    found = find_weights(mini)
    assert found.bytes - verifier == 4 * numbers
    assert found.facts == {"decoder_channels": 32, "sample_size": 16}


def test_half_precision_halves_the_models(mini, make_config):
    half = mini.model_copy(
        update={"pipeline": mini.pipeline.model_copy(update={"dtype": "float16"})}
    )
    verifier = find_weights(make_config()).bytes
    full, less = find_weights(mini).bytes - verifier, find_weights(half).bytes - verifier
    assert less * 2 == full


def test_memory_grows_with_the_batch(mini):
    weights = Weights(bytes=1000, facts={"decoder_channels": 32, "sample_size": 16})
    crop = 3 * 64 * 112 * 112 * 4
    painted = 128 * 128 * 4 * 32 * 4
    picture = 2 * 3 * 128 * 128
    assert least_memory(mini, weights) == 1000 + 16 * (painted + picture + crop)
    assert least_memory(mini, weights, on_gpu=True) == 1000 + 16 * (painted + crop)
    needed = 1000 + PROCESS + 16 * (painted * 1.25 + picture + crop)
    assert worker_memory(mini, weights) == needed
    assert worker_memory(mini, replace(weights, unfetched=("x",))) is None


def test_what_is_missing_is_said(mini, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHGEN_CACHE", str(tmp_path))
    weights = FineFaceWeights(base=str(tmp_path / "none"), fineface="mini")
    check = mini.verify.checks[0].model_copy(update={"weights": "libreface"})
    found = find_weights(
        mini.model_copy(
            update={
                "pipeline": mini.pipeline.model_copy(update={"weights": weights}),
                "verify": mini.verify.model_copy(update={"checks": [check]}),
            }
        )
    )
    assert found.problems[0].startswith(f"weights folder {tmp_path}/none does not exist; it must")
    assert found.problems[1:] == (
        f"LibreFace's weights {tmp_path}/libreface/combined_resnet.pt are missing; fetch them with "
        "`synthgen weights fetch CONFIG`, or put them there",
    )


def test_without_a_network_a_hub_id_is_a_problem(mini):
    weights = FineFaceWeights(base="nobody/nothing", revision="main", fineface="mini")
    pipeline = mini.pipeline.model_copy(update={"weights": weights})
    assert find_weights(mini.model_copy(update={"pipeline": pipeline})).problems == (
        "nobody/nothing at revision main (pipeline.weights.base) is not on this machine: no folder "
        "of that name, and not in the Hub's cache; `synthgen weights fetch CONFIG` fetches it, but "
        "the Hugging Face Hub does not answer (OfflineModeIsEnabled)",
    )
