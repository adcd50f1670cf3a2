"""IP-Adapter files of the FaceID kind: read strictly, written as they were."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_faceid import EMBEDDER, face_adapter_state, make_face_adapter
from tiny_fineface import tiny_unet

from pipelines.fineface.face_adapter import read_face_adapter, write_face_adapter
from synthgen.errors import WeightsError

State = dict[str, dict[str, torch.Tensor]]


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as error:
        read_face_adapter(path, tiny_unet(0))
    return str(error.value)


def write_changed(path: Path, change: Callable[[State], object]) -> Path:
    state = face_adapter_state()
    change(state)
    torch.save(state, path)
    return path


def test_both_kinds_of_file_hold_the_same(tmp_path: Path) -> None:
    nested = read_face_adapter(make_face_adapter(tmp_path), tiny_unet(0))
    path = make_face_adapter(tmp_path, "faceid.safetensors", EMBEDDER)
    flat = read_face_adapter(path, tiny_unet(0))

    assert (nested.embedder, flat.embedder) == (None, EMBEDDER)
    for part, named in face_adapter_state().items():
        for name, value in named.items():
            assert torch.equal(nested.tensors[part][name], value)
            assert torch.equal(flat.tensors[part][name], value)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    file = read_face_adapter(
        make_face_adapter(tmp_path, "faceid.safetensors", EMBEDDER), tiny_unet(0)
    )

    write_face_adapter(tmp_path / "again.safetensors", file)

    again = read_face_adapter(tmp_path / "again.safetensors", tiny_unet(0))
    assert again.embedder == EMBEDDER
    assert all(
        torch.equal(again.tensors[part][name], value)
        for part, named in file.tensors.items()
        for name, value in named.items()
    )


def test_a_missing_tensor_and_another_one_are_named(tmp_path: Path) -> None:
    path = write_changed(tmp_path / "x.bin", lambda s: s["ip_adapter"].pop("3.to_v_ip.weight"))
    assert refusal(path) == (
        f"{path} (ip_adapter) does not fit the network; missing: 3.to_v_ip.weight"
    )
    path = write_changed(
        tmp_path / "x.bin", lambda s: s["image_proj"].update(latents=torch.zeros(1))
    )
    assert refusal(path) == f"{path} (image_proj) does not fit the network; unexpected: latents"


def test_a_tensor_of_another_shape_is_named(tmp_path: Path) -> None:
    path = write_changed(
        tmp_path / "x.bin",
        lambda s: s["ip_adapter"].update({"1.to_k_ip.weight": torch.zeros(16, 48)}),
    )
    assert refusal(path) == (
        f"{path} (ip_adapter): 1.to_k_ip.weight has shape [16, 48]; it must have [16, 32]"
    )


def test_a_file_for_a_base_of_another_width_is_refused(tmp_path: Path) -> None:
    path = write_changed(
        tmp_path / "x.bin",
        lambda s: s["image_proj"].update({"proj.2.weight": torch.zeros(16 * 31, 1024)}),
    )
    assert refusal(path) == (
        f"{path} is no FaceID adapter for this base: its projection has 1024 inner and 496 outer "
        "numbers; they must be multiples of 512 and of the text width 32"
    )


def test_lora_layers_are_refused(tmp_path: Path) -> None:
    path = write_changed(
        tmp_path / "x.bin",
        lambda s: s["ip_adapter"].update({"0.to_q_lora.down.weight": torch.zeros(2, 16)}),
    )
    assert refusal(path) == (
        f"{path} holds LoRA layers; only FaceID files without them are read, such as "
        "ip-adapter-faceid-portrait-v11_sd15.bin"
    )


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    torch.save({"image_proj": {}}, path)
    assert refusal(path) == (
        f"{path} holds no ip_adapter; it must be an IP-Adapter file of image_proj and ip_adapter"
    )
    assert refusal(tmp_path / "gone.bin") == f"weight file {tmp_path}/gone.bin does not exist"
    torch.save({"image_proj": {}, "ip_adapter": {}}, path)
    assert refusal(path).startswith(
        f"{path} is no FaceID adapter for this base: its projection has 0 inner and 0 outer"
    )


class Code:
    def __reduce__(self) -> tuple:
        return print, ("ran",)


def test_code_in_a_file_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"image_proj": Code(), "ip_adapter": {}}, tmp_path / "x.bin")
    assert refusal(tmp_path / "x.bin") == (
        f"{tmp_path}/x.bin is refused: it is no PyTorch file of plain tensors, and a pickle can "
        "run code"
    )
    assert capsys.readouterr().out == ""
