"""Adapters that encode other AUs than the published twelve."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_fineface import HIDDEN_SIZE, tiny_unet

from pipelines.checkpoints import SAFETENSORS_SUFFIX
from pipelines.fineface import AUAdapter, FineFacePipeline
from pipelines.fineface.adapter import ENCODERS
from pipelines.fineface.checkpoint import read_au_adapter, write_au_adapter
from pipelines.fineface.section import FineFaceConfig
from pipelines.fineface.source import FineFaceSource
from samplers.spec import Attempt, SampleSpec
from synthgen.action_units import AUS, ActionUnitSet
from synthgen.errors import ActionUnitError, WeightsError

SIX = ("AU1", "AU4", "AU7", "AU10", "AU12", "AU43")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of an adapter of six AUs, with a LoRA, for the tiny base."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("six")
    adapter = AUAdapter.for_unet(tiny_unet(0), HIDDEN_SIZE, lora_rank=2, action_units=SIX)
    write_au_adapter(adapter, path, "", SAFETENSORS_SUFFIX)
    return path


def attempt(intensities: dict[str, float], known: ActionUnitSet) -> Attempt:
    spec = SampleSpec(
        index=0,
        split="train",
        position=0,
        replacement=0,
        stratum="angry",
        conditions={"aus": known.vector(intensities)},
        emotion=None,
        identity_id="identity-0",
        identity={},
        identity_seed=0,
        prompt="a man",
        negative_prompt="",
        action_units=known,
    )
    return Attempt(spec=spec, number=0, seed=5)


@pytest.mark.parametrize("kind", ENCODERS)
def test_files_tell_which_aus_they_encode(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    unet = tiny_unet(0)
    hidden_size = 8 if kind in ("res_mlp64", "res_3mlp") else None
    adapter = AUAdapter.for_unet(unet, hidden_size, encoder=kind, action_units=SIX)
    write_au_adapter(adapter, tmp_path, "sd15_", SAFETENSORS_SUFFIX)

    found = read_au_adapter(tmp_path, unet, "sd15_", 1.0)

    assert (found.aus.names, found.config["encoder"]) == (SIX, kind)
    aus = torch.rand(2, 6)
    assert torch.equal(found.encode(aus), adapter.encode(aus))


def test_components_keep_their_aus(tmp_path: Path) -> None:
    AUAdapter.for_unet(tiny_unet(0), 8, action_units=SIX).save_pretrained(tmp_path)
    assert AUAdapter.from_pretrained(tmp_path).aus.names == SIX


def test_pickles_cannot_say_other_aus(tmp_path: Path) -> None:
    adapter = AUAdapter.for_unet(tiny_unet(0), 8, action_units=SIX)
    with pytest.raises(WeightsError) as caught:
        write_au_adapter(adapter, tmp_path / "out", "")
    assert str(caught.value) == (
        "an adapter of 6 AUs is written as .safetensors alone: a .ckpt file cannot say which they "
        "are"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("named", "fault"),
    [
        ("AU1,AU99", "unknown Action Unit 'AU99'; FACS has AU1, "),
        ("AU4,AU1", "'AU4,AU1' must be in the order of FACS: AU1,AU4"),
        ("", "unknown Action Unit ''; FACS has AU1, "),
    ],
)
def test_names_that_are_no_aus_are_refused(
    named: str, fault: str, folder: Path, tmp_path: Path
) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "au_encoder.safetensors"
    save_file(load_file(path), path, {"action_units": named})
    with pytest.raises(WeightsError) as caught:
        read_au_adapter(tmp_path, tiny_unet(0), "", 1.0)
    assert str(caught.value).startswith(f"{path}, action_units in its metadata: {fault}")


def test_fewer_names_than_inputs_are_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "au_encoder.safetensors"
    save_file(load_file(path), path, {"action_units": "AU1,AU4"})
    with pytest.raises(WeightsError) as caught:
        read_au_adapter(tmp_path, tiny_unet(0), "", 1.0)
    assert str(caught.value) == (
        f"{path}: au_encoder.weight has shape [{HIDDEN_SIZE}, 6]; it must have [{HIDDEN_SIZE}, 2]"
    )


def test_a_pipeline_takes_the_aus_of_its_adapter(base: FineFacePipeline, folder: Path) -> None:
    base.load_au_adapter(folder)
    made = [
        base(
            "a man",
            aus,
            num_inference_steps=2,
            output_type="np",
            generator=torch.Generator().manual_seed(1),
        ).images
        for aus in ({"AU7": 4}, [0, 0, 4, 0, 0, 0], {"AU10": 4})
    ]
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])
    with pytest.raises(ActionUnitError) as caught:
        base("a man", {"AU2": 1})
    assert str(caught.value) == (
        "AU2 (outer brow raiser) exists in FACS, but the AUs in use are AU1, AU4, AU7, AU10, "
        "AU12, AU43"
    )
    with pytest.raises(ActionUnitError) as caught:
        base("a man", [0.0] * 12)
    assert str(caught.value) == "AUs have shape [12]; it must be [6] or [batch, 6]"


def test_a_run_asks_for_the_aus_that_the_weights_encode(
    sd_folder: Path, fineface_folder: Path, folder: Path
) -> None:
    def configured(fineface: str) -> FineFaceConfig:
        weights = {"base": str(sd_folder), "fineface": fineface}
        return FineFaceConfig.model_validate(
            {"name": "fineface", "weights": weights, "num_inference_steps": 2}
        )

    assert configured(str(folder)).action_units == set(SIX)
    assert configured(str(fineface_folder)).action_units == set(AUS)
    assert configured("nobody/nothing").action_units == set(AUS)

    source = FineFaceSource(configured(str(folder)), "cpu")
    narrow, wide = ActionUnitSet(("AU7", "AU12")), ActionUnitSet(SIX)
    same = [
        np.asarray(source.generate([attempt({"AU7": 4}, known)])[0]) for known in (narrow, wide)
    ]
    assert np.array_equal(*same)
    with pytest.raises(ActionUnitError):
        source.generate([attempt({"AU2": 4}, ActionUnitSet(("AU2",)))])
