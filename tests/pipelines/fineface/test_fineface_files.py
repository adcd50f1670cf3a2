import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_fineface import make_fineface
from torch import Tensor

from pipelines.fineface import FineFacePipeline
from synthgen.errors import WeightsError

ATTENTION = "attn_processors.ckpt"
ENCODER = "au_encoder.ckpt"
LORA = "pytorch_lora_weights.safetensors"
LAYER = "mid_block.attentions.0.transformer_blocks.0"


def paint(pipe: FineFacePipeline, noise: Tensor, scale: float = 1.0) -> Tensor:
    settings = {"latents": noise[:1], "num_inference_steps": 2, "output_type": "latent"}
    return pipe("a boy", {"AU12": 5, "AU26": 2}, au_scale=scale, **settings).images


def unet_state(pipe: FineFacePipeline) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in pipe.unet.state_dict().items()}


def test_saved_pipeline_paints_the_same(
    pipe: FineFacePipeline, noise: Tensor, tmp_path: Path
) -> None:
    pipe.save_pretrained(tmp_path / "saved")

    again = FineFacePipeline.from_pretrained(tmp_path / "saved")

    assert torch.equal(paint(again, noise), paint(pipe, noise))
    again.save_pretrained(tmp_path / "twice")
    twice = FineFacePipeline.from_pretrained(tmp_path / "twice")
    assert torch.equal(paint(twice, noise), paint(pipe, noise))


def test_saved_pipeline_can_still_be_unloaded(
    pipe: FineFacePipeline, sd_folder: Path, tmp_path: Path
) -> None:
    pipe.save_pretrained(tmp_path)
    again = FineFacePipeline.from_pretrained(tmp_path)

    again.unload_au_adapter()

    plain = unet_state(FineFacePipeline.from_pretrained(sd_folder))
    torch.testing.assert_close(unet_state(again), plain, rtol=0, atol=2e-7)


def test_published_files_come_out_as_they_went_in(
    pipe: FineFacePipeline, fineface_folder: Path, tmp_path: Path
) -> None:
    pipe.save_au_adapter(tmp_path)

    for name in (ATTENTION, ENCODER):
        found = torch.load(tmp_path / name, weights_only=True)
        expected = torch.load(fineface_folder / name, weights_only=True)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected)
    found, expected = load_file(tmp_path / LORA), load_file(fineface_folder / LORA)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_unloading_takes_everything_away(base: FineFacePipeline, fineface_folder: Path) -> None:
    before, modules = unet_state(base), [name for name, _ in base.unet.named_modules()]
    base.load_au_adapter(fineface_folder, lora_scale=0.5)
    assert not torch.equal(
        base.unet.state_dict()[f"{LAYER}.attn1.to_q.weight"], before[f"{LAYER}.attn1.to_q.weight"]
    )

    base.unload_au_adapter()

    torch.testing.assert_close(unet_state(base), before, rtol=0, atol=2e-7)
    assert [name for name, _ in base.unet.named_modules()] == modules
    assert base.au_adapter is None
    assert base.components["au_adapter"] is None
    base.unload_au_adapter()


def test_loading_again_replaces(
    pipe: FineFacePipeline, base: FineFacePipeline, fineface_folder: Path, noise: Tensor
) -> None:
    expected = paint(pipe, noise)

    pipe.load_au_adapter(fineface_folder)

    torch.testing.assert_close(paint(pipe, noise), expected, rtol=0, atol=1e-4)


def test_sd15_files_are_read_without_a_lora(base: FineFacePipeline, tmp_path: Path) -> None:
    make_fineface(tmp_path, weight_prefix="sd15_", lora=False)
    before = unet_state(base)

    base.load_au_adapter(tmp_path, weight_prefix="sd15_")

    assert base.au_adapter.config["hidden_size"] == 8
    assert not base.au_adapter.lora_state()
    after = unet_state(base)
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_lora_scale_0_reads_no_lora(base: FineFacePipeline, tmp_path: Path) -> None:
    make_fineface(tmp_path, lora=False)

    base.load_au_adapter(tmp_path, lora_scale=0)

    assert not base.au_adapter.lora_state()


def test_safetensors_may_stand_for_pickles(
    base: FineFacePipeline, pipe: FineFacePipeline, noise: Tensor, tmp_path: Path
) -> None:
    expected = paint(pipe, noise)
    make_fineface(tmp_path)
    for name in (ATTENTION, ENCODER):
        tensors = torch.load(tmp_path / name, weights_only=True)
        save_file(tensors, (tmp_path / name).with_suffix(".safetensors"))
        (tmp_path / name).unlink()

    pipe.load_au_adapter(tmp_path)

    torch.testing.assert_close(paint(pipe, noise), expected, rtol=0, atol=1e-4)


def test_adapter_follows_the_number_format_of_the_unet(
    base: FineFacePipeline, fineface_folder: Path
) -> None:
    base.to(torch.bfloat16)

    base.load_au_adapter(fineface_folder)

    assert base.au_adapter.dtype == torch.bfloat16
    assert {p.dtype for p in base.unet.parameters()} == {torch.bfloat16}


def change_pickle(name: str, change: Callable[[dict], None]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        tensors = torch.load(folder / name, weights_only=True)
        change(tensors)
        torch.save(tensors, folder / name)

    return spoil


def change_lora(change: Callable[[dict], None]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        tensors = load_file(folder / LORA)
        change(tensors)
        save_file(tensors, folder / LORA)

    return spoil


def put_code(folder: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple:
            return print, ("code ran",)

    torch.save({"au_encoder.weight": Code()}, folder / ENCODER)


SPOILT = {
    "missing key": (
        change_pickle(ATTENTION, lambda t: t.pop(f"{LAYER}.attn2.processor.au_to_v.weight")),
        f"{{}}/{ATTENTION} does not fit the network; "
        f"missing: {LAYER}.attn2.processor.au_to_v.weight",
    ),
    "unexpected key": (
        change_pickle(ATTENTION, lambda t: t.update(other=torch.zeros(1))),
        f"{{}}/{ATTENTION} does not fit the network; unexpected: other",
    ),
    "attention shape": (
        change_pickle(
            ATTENTION,
            lambda t: t.update({f"{LAYER}.attn2.processor.au_to_v.weight": torch.zeros(32, 31)}),
        ),
        f"{{}}/{ATTENTION}: {LAYER}.attn2.processor.au_to_v.weight has shape [32, 31]; "
        "it must have [32, 32]",
    ),
    "encoder shape": (
        change_pickle(ENCODER, lambda t: t.update({"au_encoder.weight": torch.zeros(8, 13)})),
        f"{{}}/{ENCODER}: au_encoder.weight has shape [8, 13]; it must have [8, 12]",
    ),
    "encoder without weight": (
        change_pickle(ENCODER, lambda t: t.pop("au_encoder.weight")),
        f"{{}}/{ENCODER} does not fit the network; missing: au_encoder.weight",
    ),
    "no dict": (
        lambda folder: torch.save([torch.zeros(1)], folder / ENCODER),
        f"{{}}/{ENCODER} must hold a dict of tensors by name, and holds something else",
    ),
    "code": (
        put_code,
        f"{{}}/{ENCODER} is refused: it is no PyTorch file of plain tensors, "
        "and a pickle can run code",
    ),
    "bare pickle": (
        lambda folder: (folder / ENCODER).write_bytes(pickle.dumps({"a": print})),
        f"{{}}/{ENCODER} is refused: it is no PyTorch file of plain tensors, "
        "and a pickle can run code",
    ),
    "lora layer missing": (
        change_lora(lambda t: t.pop(f"unet.{LAYER}.attn1.to_q.lora_B.weight")),
        f"{{}}/{LORA} does not fit the network; missing: unet.{LAYER}.attn1.to_q.lora_B.weight",
    ),
    "lora layer unexpected": (
        change_lora(lambda t: t.update({"unet.conv_in.lora_A.weight": torch.zeros(3, 4)})),
        f"{{}}/{LORA} does not fit the network; unexpected: unet.conv_in.lora_A.weight",
    ),
    "lora shape": (
        change_lora(
            lambda t: t.update({f"unet.{LAYER}.attn1.to_q.lora_B.weight": torch.zeros(32, 4)})
        ),
        f"{{}}/{LORA}: unet.{LAYER}.attn1.to_q.lora_B.weight has shape [32, 4]; "
        "it must have [32, 3]",
    ),
    "file missing": (
        lambda folder: (folder / ENCODER).unlink(),
        f"{{}} has no file {ENCODER}; it must hold {ATTENTION}, {ENCODER}, {LORA}",
    ),
    "lora missing": (
        lambda folder: (folder / LORA).unlink(),
        f"{{}} has no file {LORA}; it must hold {ATTENTION}, {ENCODER}, {LORA}",
    ),
}


@pytest.mark.parametrize("case", SPOILT)
def test_wrong_files_are_refused_and_change_nothing(
    base: FineFacePipeline, tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, message = SPOILT[case]
    spoil(make_fineface(tmp_path))
    before = unet_state(base)

    with pytest.raises(WeightsError) as error:
        base.load_au_adapter(tmp_path)

    assert str(error.value) == message.format(tmp_path)
    assert base.au_adapter is None
    after = unet_state(base)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert "code ran" not in capsys.readouterr().out


def test_other_loras_must_come_after_ours(base: FineFacePipeline, fineface_folder: Path) -> None:
    base.load_lora_weights(fineface_folder, weight_name=LORA, adapter_name="style")

    with pytest.raises(WeightsError) as error:
        base.load_au_adapter(fineface_folder)

    assert str(error.value) == (
        "the UNet has other LoRA adapters (style); "
        "unload them, and load them again after the AU adapter"
    )


def test_fused_projections_must_be_parted_first(
    base: FineFacePipeline, fineface_folder: Path
) -> None:
    base.unet.fuse_qkv_projections()

    with pytest.raises(WeightsError) as error:
        base.load_au_adapter(fineface_folder)

    assert str(error.value) == (
        "the UNet's attention projections are fused; call unet.unfuse_qkv_projections() before "
        "the AU adapter is loaded or unloaded, and fuse them again after it"
    )
    assert base.au_adapter is None


def test_other_loras_work_on_top(
    pipe: FineFacePipeline, fineface_folder: Path, noise: Tensor
) -> None:
    before = paint(pipe, noise)
    pipe.load_lora_weights(fineface_folder, weight_name=LORA, adapter_name="style")

    assert not torch.allclose(paint(pipe, noise), before, atol=1e-2)

    pipe.unload_lora_weights()
    assert torch.equal(paint(pipe, noise), before)


def test_saved_adapter_that_lacks_a_tensor_is_refused(
    pipe: FineFacePipeline, tmp_path: Path
) -> None:
    pipe.save_pretrained(tmp_path)
    file = tmp_path / "au_adapter" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    del tensors["au_encoder.bias"]
    save_file(tensors, file, metadata={"format": "pt"})

    with pytest.raises(WeightsError) as error:
        FineFacePipeline.from_pretrained(tmp_path)

    assert str(error.value) == (
        f"AU adapter {tmp_path}/au_adapter does not fit its config.json; "
        "missing keys: au_encoder.bias"
    )


def test_saving_without_an_adapter_is_refused(base: FineFacePipeline, tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as error:
        base.save_au_adapter(tmp_path / "none")
    assert str(error.value) == "the pipeline has no AU adapter; load one by load_au_adapter first"
    assert not (tmp_path / "none").exists()
