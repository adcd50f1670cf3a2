"""The six AU encoders of Table 2 against their formulas, and through the files."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_fineface import TEXT_WIDTH, tiny_unet
from torch.nn.functional import silu

from pipelines.checkpoints import SAFETENSORS_SUFFIX
from pipelines.fineface import AUAdapter
from pipelines.fineface.adapter import ENCODERS, make_encoder, usual_hidden_size
from pipelines.fineface.checkpoint import read_au_adapter, write_au_adapter
from synthgen.errors import WeightsError

X = torch.tensor([[0, 1, 2, 3, 4, 5, 0.5, 1.5, 0, 0, 5, 2.5], [0.0] * 12])


def parameters(encoder: torch.nn.Module) -> list[torch.Tensor]:
    return [value.detach() for value in encoder.parameters()]


def expected(kind: str, encoder: torch.nn.Module) -> torch.Tensor:
    weights = parameters(encoder)
    if kind == "none":
        return X
    if kind == "individual_mlp":
        each = [weights[4 * i : 4 * i + 4] for i in range(12)]
        hidden = [silu(X[:, i : i + 1] @ w.T + b) for i, (w, b, _, _) in enumerate(each)]
        return torch.cat([h @ w.T + b for h, (_, _, w, b) in zip(hidden, each, strict=True)], -1)
    y = X @ weights[0].T + weights[1]
    if kind == "mlp":
        return y
    if kind == "res_3mlp":
        y = silu(silu(y) @ weights[2].T + weights[3]) @ weights[4].T + weights[5]
    return torch.cat([X, y], dim=-1)


WIDTHS = {
    "none": (0, 12),
    "mlp": (1024, 1024),
    "res_mlp": (1012, 1024),
    "res_mlp64": (64, 76),
    "res_3mlp": (64, 76),
    "individual_mlp": (64, 768),
}


@pytest.mark.parametrize("kind", ENCODERS)
def test_encoders_are_their_formulas(kind: str) -> None:
    torch.manual_seed(0)
    hidden_size = usual_hidden_size(kind, 1024)
    encoder = make_encoder(kind, hidden_size, 1024)
    assert (hidden_size, encoder(X).shape[-1]) == WIDTHS[kind]
    torch.testing.assert_close(encoder(X), expected(kind, encoder))


@pytest.mark.parametrize("kind", ENCODERS)
def test_the_token_is_padded_with_zeros(kind: str) -> None:
    torch.manual_seed(0)
    adapter = AUAdapter.for_unet(tiny_unet(0), encoder=kind)
    token = adapter.encode(X)
    encoded = adapter.au_encoder(X)
    assert token.shape == (2, TEXT_WIDTH)
    assert torch.equal(token[:, : encoded.shape[-1]], encoded)
    assert not token[:, encoded.shape[-1] :].any()


@pytest.mark.parametrize("suffix", [".ckpt", SAFETENSORS_SUFFIX])
@pytest.mark.parametrize("kind", ENCODERS)
def test_files_tell_which_encoder_they_hold(kind: str, suffix: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    unet = tiny_unet(0)
    hidden_size = 8 if kind in ("res_mlp64", "res_3mlp") else None
    adapter = AUAdapter.for_unet(unet, hidden_size, lora_rank=2, encoder=kind)
    write_au_adapter(adapter, tmp_path, "", suffix)

    found = read_au_adapter(tmp_path, unet, "", 1.0)

    assert found.config["encoder"] == kind
    assert found.config["hidden_size"] == adapter.config["hidden_size"]
    assert all(torch.equal(v, found.state_dict()[k]) for k, v in adapter.state_dict().items())


@pytest.mark.parametrize("kind", ENCODERS)
def test_components_keep_their_encoder(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    adapter = AUAdapter.for_unet(tiny_unet(0), encoder=kind)
    adapter.save_pretrained(tmp_path)
    found = AUAdapter.from_pretrained(tmp_path)
    assert torch.equal(found.encode(X), adapter.encode(X))


def test_the_published_encoder_keeps_its_names() -> None:
    adapter = AUAdapter.for_unet(tiny_unet(0), 8)
    shapes = {name: tuple(value.shape) for name, value in adapter.encoder_state().items()}
    assert shapes == {"au_encoder.weight": (8, 12), "au_encoder.bias": (8,)}


def test_adapters_from_before_there_were_kinds_are_the_published_one() -> None:
    config = {"layers": {"mid_block.attn2": 16}, "cross_attention_dim": 32, "hidden_size": 20}
    adapter = AUAdapter.from_config(config)
    assert adapter.config["encoder"] == "res_mlp64"
    assert adapter.encode(X).shape == (2, 32)


def test_a_deep_encoder_that_lacks_a_layer_is_refused(tmp_path: Path) -> None:
    unet = tiny_unet(0)
    write_au_adapter(
        AUAdapter.for_unet(unet, 8, encoder="res_3mlp"), tmp_path, "sd15_", SAFETENSORS_SUFFIX
    )
    path = tmp_path / "sd15_au_encoder.safetensors"
    tensors = load_file(path)
    del tensors["au_encoder.mlp.2.bias"]
    save_file(tensors, path)
    with pytest.raises(WeightsError) as caught:
        read_au_adapter(tmp_path, unet, "sd15_", 1.0)
    assert str(caught.value) == (f"{path} does not fit the network; missing: au_encoder.mlp.2.bias")


def test_tensors_of_no_encoder_are_refused(tmp_path: Path) -> None:
    unet = tiny_unet(0)
    write_au_adapter(AUAdapter.for_unet(unet, 8), tmp_path, "sd15_", SAFETENSORS_SUFFIX)
    path = tmp_path / "sd15_au_encoder.safetensors"
    save_file({"au_encoder.conv.weight": torch.zeros(3, 12)}, path)
    with pytest.raises(WeightsError) as caught:
        read_au_adapter(tmp_path, unet, "sd15_", 1.0)
    assert str(caught.value) == (
        f"{path} does not fit the network; missing: au_encoder.weight, au_encoder.bias; "
        "unexpected: au_encoder.conv.weight"
    )


def test_unknown_and_too_wide_encoders_are_refused() -> None:
    with pytest.raises(WeightsError) as caught:
        make_encoder("transformer", 64, 1024)
    assert str(caught.value) == (
        "unknown AU encoder 'transformer'; those that exist: none, mlp, res_mlp, res_mlp64, "
        "res_3mlp, individual_mlp"
    )
    for kind, hidden_size, said in [
        ("res_mlp64", 64, "12 + 64"),
        ("individual_mlp", 6, "72"),
        ("mlp", 64, "64"),
    ]:
        with pytest.raises(WeightsError) as caught:
            make_encoder(kind, hidden_size, 32)
        assert str(caught.value) == (
            f"the AU token is {said} wide; the text embeddings of this UNet hold 32"
        )
