"""A LoRA counts as often as its file says; the public loaders are the oracle."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from tiny_fineface import RANK

from pipelines.diffusion.lora import describe_alpha, read_lora
from pipelines.fineface import FineFacePipeline
from pipelines.fineface.section import FineFaceConfig
from pipelines.fineface.source import FineFaceSource
from synthgen.errors import WeightsError

LORA = "pytorch_lora_weights.safetensors"
TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


def with_config(source: Path, to: Path, **config: Any) -> Path:
    folder = Path(shutil.copytree(source, to))
    known = LoraConfig(r=RANK, target_modules=TARGETS, **config).to_dict()
    told = {
        f"unet.{key}": sorted(value) if isinstance(value, set) else value
        for key, value in known.items()
    }
    text = json.dumps(told)
    save_file(load_file(folder / LORA), folder / LORA, {"lora_adapter_metadata": text})
    return folder


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        read_lora(path)
    return str(caught.value)


@pytest.mark.parametrize(
    "config",
    [
        {"lora_alpha": 8},
        {"lora_alpha": 8, "use_rslora": True},
        {"lora_alpha": 2, "alpha_pattern": {"attn1.to_q": 9, r"mid_block\..*\.to_v": 5}},
        {"lora_alpha": RANK},
    ],
)
def test_a_lora_counts_as_the_public_loader_takes_it(
    base: FineFacePipeline, sd_folder: Path, fineface_folder: Path, tmp_path: Path, config: dict
) -> None:
    folder = with_config(fineface_folder, tmp_path / "ff", **config)
    public = StableDiffusionPipeline.from_pretrained(sd_folder, safety_checker=None)
    public.load_lora_weights(folder, weight_name=LORA)
    public.fuse_lora(lora_scale=0.5)
    public.unload_lora_weights()

    base.load_au_adapter(folder, lora_scale=0.5)

    wanted, found = public.unet.state_dict(), base.unet.state_dict()
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_alpha_beside_the_layers_counts(
    base: FineFacePipeline, fineface_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(fineface_folder, tmp_path / "ff"))
    tensors = load_file(folder / LORA)
    layers = [n.removesuffix(".lora_A.weight") for n in tensors if n.endswith(".lora_A.weight")]
    alphas = {f"{layer}.alpha": torch.tensor(6.0) for layer in layers}
    save_file({**tensors, **alphas}, folder / LORA)
    base.load_au_adapter(fineface_folder, lora_scale=6 / RANK)
    wanted = {name: value.clone() for name, value in base.unet.state_dict().items()}

    base.load_au_adapter(folder)

    torch.testing.assert_close(dict(base.unet.state_dict()), wanted, rtol=0, atol=1e-6)
    assert describe_alpha(read_lora(folder / LORA)[1]) == (
        f"{len(layers)} layers count alpha/rank = 2 times, as their file says"
    )


def test_a_file_without_alpha_is_read_to_the_bit(fineface_folder: Path) -> None:
    tensors, factors = read_lora(fineface_folder / LORA)
    assert factors == {}
    plain = load_file(fineface_folder / LORA)
    assert all(torch.equal(tensors[name], plain[name]) for name in plain)
    assert tensors.keys() == plain.keys()


def test_a_run_records_the_stored_alpha(
    sd_folder: Path, fineface_folder: Path, tmp_path: Path
) -> None:
    folder = with_config(fineface_folder, tmp_path / "ff", lora_alpha=8)

    def weights(fineface: Path) -> dict[str, str]:
        named = {"base": str(sd_folder), "fineface": str(fineface)}
        config = FineFaceConfig.model_validate({"name": "fineface", "weights": named})
        return FineFaceSource(config, "cpu").fingerprint()["weights"]

    key = f"fineface/{LORA} (alpha)"
    assert weights(folder)[key].endswith(
        "layers count alpha/rank = 2.66667 times, as their file says"
    )
    assert key not in weights(fineface_folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "its lora_adapter_metadata is no JSON: "),
        ("[]", "its lora_adapter_metadata holds no JSON object"),
        ('{"unet.lora_alpha": "8"}', "the alpha 8; it must be a number above 0"),
        ('{"unet.lora_alpha": -1}', "the alpha -1; it must be a number above 0"),
        ('{"unet.lora_alpha": NaN}', "the alpha nan; it must be a number above 0"),
        ('{"unet.alpha_pattern": [1]}', "alpha_pattern in its metadata must map layers to numbers"),
        ('{"unet.alpha_pattern": {"(": 1}}', "alpha_pattern '(' in its metadata is no expression"),
        ('{"unet.use_dora": true}', "is a DoRA (use_dora in its metadata); only LoRAs are read"),
    ],
)
def test_strange_metadata_are_refused(
    fineface_folder: Path, tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / LORA
    save_file(load_file(fineface_folder / LORA), file, {"lora_adapter_metadata": text})
    found = refusal(file)
    assert found.startswith(str(file))
    assert said in found


def test_a_rank_that_would_fill_the_memory_is_refused(
    base: FineFacePipeline, fineface_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(fineface_folder, tmp_path / "ff"))
    tensors = load_file(folder / LORA)
    first = next(name for name in tensors if name.endswith("lora_A.weight"))
    save_file({**tensors, first: torch.zeros(100_000, 1)}, folder / LORA)
    with pytest.raises(WeightsError) as caught:
        base.load_au_adapter(folder)
    assert str(caught.value) == (f"{folder}/{LORA} has a LoRA of rank 100000; it must be 1 to 2048")
