from pathlib import Path

import pytest

from pipelines.training.diffusion.base import find_base
from pipelines.training.fineface.config import FineFaceTrainingConfig
from synthgen.config.loading import load_section
from synthgen.errors import ConfigError, WeightsError

EXAMPLES = Path(__file__).parents[4] / "examples" / "train"

OF_THE_WHOLE = "reading=null"
"""An override whose mistake is one of the keys together: the file is named."""

FAULTS = {
    "encoder=linear": (
        "encoder is 'linear'; it must be 'none', 'mlp', 'res_mlp', 'res_mlp64', 'res_3mlp' or "
        "'individual_mlp'"
    ),
    "compile=true": (
        "compile: the FineFace training does not compile, since each step brings AU vectors of "
        "its own into the UNet; it must be false"
    ),
    "sheet.expressions=[{AU7: 3}]": (
        "sheet.expressions: AU7 (lid tightener) exists in FACS, but it is none of the 12 that "
        "FineFace, LibreFace and drawn faces know (AU1, AU2, AU4, AU5, AU6, AU9, AU12, AU15, AU17, "
        "AU20, AU25, AU26); runs of models that know others name theirs as expressions.action_units"
    ),
    "reading=null": (
        "cycles.2.painted is 0.2, but reading is null: what is painted is learned from by being "
        "read"
    ),
    "reading.traits=-1": "reading.traits is -1; it must be at least 0",
    "reading.readers=0": "reading.readers is 0; it must be at least 1",
    "data={source: dataset, path: faces, aus: null}": (
        "data: aus is null; this training learns from AUs: name their column"
    ),
}


def test_the_defaults_are_the_papers() -> None:
    config = load_section(EXAMPLES / "fineface-sd21.yaml", FineFaceTrainingConfig)
    fields = FineFaceTrainingConfig.model_fields
    for key in ("encoder", "rank", "smoothing", "drop_caption", "noise", "optimizer"):
        assert getattr(config, key) == fields[key].default
    cycle = config.cycles[0]
    assert (cycle.steps, cycle.learning_rate, cycle.schedule) == (20_000, 1e-4, "constant")
    assert config.batch_size // config.accumulate == 4
    assert (config.rank, config.smoothing.variance, config.smoothing.rounding) == (32, 0.2, 0.2)


def test_the_mini_worlds_example_is_read() -> None:
    config = load_section(EXAMPLES / "fineface.yaml", FineFaceTrainingConfig)
    assert (config.data.size, config.encoder) == (128, "res_mlp64")


def test_a_base_that_is_not_there_names_the_training_that_makes_it() -> None:
    with pytest.raises(WeightsError) as caught:
        find_base("out/train/unet/base", None)
    assert str(caught.value) == (
        "base: folder out/train/unet/base does not exist; `synthgen train unet CONFIG --to FOLDER` "
        "makes one, and base: mini is the embedded one"
    )


@pytest.mark.parametrize("override", FAULTS)
def test_what_is_not_allowed_is_said_in_a_sentence(override: str) -> None:
    path = EXAMPLES / "fineface.yaml"
    with pytest.raises(ConfigError) as caught:
        load_section(path, FineFaceTrainingConfig, [override])
    by = path if override == OF_THE_WHOLE else f"--set {override}"
    assert str(caught.value) == f"{by}: {FAULTS[override]}"


def test_traits_of_a_dataset_cannot_be_read() -> None:
    overrides = ["data={source: dataset, path: faces}", "reading.traits=1"]
    with pytest.raises(ConfigError) as caught:
        load_section(EXAMPLES / "fineface.yaml", FineFaceTrainingConfig, overrides)
    assert str(caught.value) == (
        f"{EXAMPLES / 'fineface.yaml'}: reading.traits is 1, but the traits of data.source dataset "
        "are not known; it must be 0"
    )
