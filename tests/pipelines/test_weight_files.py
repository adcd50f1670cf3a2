import io
import json
import os
import resource
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file
from torch import nn

from pipelines.checkpoints import load_strictly, read_pickled_tensors, read_safetensors
from pipelines.weight_files import (
    check_number_formats,
    check_tokenizer_files,
    read_json,
    read_model_config,
    read_safetensors_header,
)
from synthgen.errors import WeightsError

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 34\n"
READERS = [read_pickled_tensors, read_safetensors]
TINY = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.ones(2)}


def refusal(read, *args) -> str:
    with pytest.raises(WeightsError) as caught:
        read(*args)
    return str(caught.value)


def with_header(path: Path, header: bytes, rest: bytes = b"") -> Path:
    path.write_bytes(struct.pack("<Q", len(header)) + header + rest)
    return path


def test_a_bad_header_of_90_mb_makes_one_short_sentence(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    with file.open("wb") as out:
        out.write(struct.pack("<Q", 90_000_000))
        out.truncate(90_000_100)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert refusal(read_safetensors, file) == (
        f"{file} has a header of 90,000,000 bytes; at most 16,777,216 are read, so it is hardly a "
        "weight file"
    )
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


def test_a_header_longer_than_its_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    file.write_bytes(struct.pack("<Q", 2**63) + b"{}")
    assert refusal(read_safetensors, file) == (
        f"{file} is no safetensors file, or was cut off: its header would have "
        "9,223,372,036,854,775,808 bytes, the file has 10"
    )


def test_nested_and_foreign_headers_make_short_sentences(tmp_path: Path) -> None:
    deep = with_header(tmp_path / "deep.safetensors", b"[" * 200_000)
    assert refusal(read_safetensors, deep).startswith(f"the header of {deep} is no JSON: ")
    noise = with_header(tmp_path / "noise.safetensors", b"\xff" * 500_000)
    assert len(refusal(read_safetensors, noise)) < 400
    rows = with_header(tmp_path / "list.safetensors", b"[1]")
    assert refusal(read_safetensors, rows) == f"the header of {rows} holds no JSON object, but list"


def test_a_shape_that_its_bytes_cannot_hold_is_refused(tmp_path: Path) -> None:
    header = {"a": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4]}}
    file = with_header(tmp_path / "a.safetensors", json.dumps(header).encode(), b"1234")
    assert refusal(read_safetensors_header, file) == (
        f"the header of {file} gives a the shape [1000000000, 1000000000] of F32 and 4 bytes, "
        "which do not go together"
    )


def test_a_cut_file_says_so(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file(TINY, file)
    file.write_bytes(file.read_bytes()[:-4])
    assert refusal(read_safetensors, file) == (
        f"{file} is damaged or was cut off: its tensors take 32 bytes, the file holds 28; copy or "
        "download it again"
    )


@pytest.mark.parametrize("read", READERS)
def test_what_a_failed_download_leaves_is_named(tmp_path: Path, read) -> None:
    file = tmp_path / "w"
    file.write_text(POINTER)
    assert refusal(read, file) == (
        f"{file} is a Git LFS pointer, not the file itself; run `git lfs pull` in its folder, or "
        "download the file"
    )
    file.write_text("\n<!DOCTYPE html><title>Sign in</title>")
    assert refusal(read, file) == (
        f"{file} is a web page, not weights: a download went wrong (a login or an error page, "
        "perhaps); download the file again"
    )
    file.write_text("")
    assert refusal(read, file) == f"{file} is empty; copy or download it again"


@pytest.mark.parametrize("read", READERS)
def test_no_pipe_is_waited_for_and_no_folder_opened(tmp_path: Path, read) -> None:
    os.mkfifo(tmp_path / "pipe")
    said = refusal(read, tmp_path / "pipe")
    assert said == f"weight file {tmp_path}/pipe is a named pipe; it must be a regular file"
    said = refusal(read, tmp_path)
    assert said == f"weight file {tmp_path} is a folder; it must be a regular file"


def test_a_compressed_pickle_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    plain, bomb = tmp_path / "plain.pt", tmp_path / "bomb.ckpt"
    torch.save({"a": torch.zeros(2**20)}, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(bomb, "w") as packed:
        for part in source.infolist():
            packed.writestr(part.filename, source.read(part), zipfile.ZIP_DEFLATED)
    said = refusal(read_pickled_tensors, bomb)
    assert said.startswith(f"{bomb} unpacks to 4,19")
    assert said.endswith("PyTorch files are not compressed, so this one is refused")


def test_one_number_spread_over_a_billion_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "wide.pt"
    torch.save({"a": torch.zeros(1).expand(10**9, 12)}, file)
    assert refusal(read_pickled_tensors, file) == (
        f"{file} claims a tensor of 12,000,000,000 numbers and stores 1"
    )


@pytest.mark.parametrize(
    ("dtype", "said"),
    [(torch.int64, "int64"), (torch.bool, "bool"), (torch.complex64, "complex64")],
)
def test_other_than_floats_are_no_weights(dtype: torch.dtype, said: str) -> None:
    found = {**TINY, "weight": TINY["weight"].to(dtype)}
    assert refusal(load_strictly, nn.Linear(3, 2), found, "x.pt") == (
        f"x.pt: weight holds numbers of the format {said}; it must be float16, bfloat16, float32 "
        "or float64"
    )


def test_floats_are_no_counters() -> None:
    network = nn.BatchNorm1d(2)
    found = {**network.state_dict(), "num_batches_tracked": torch.tensor(1.5)}
    assert refusal(load_strictly, network, found, "x.pt") == (
        "x.pt: num_batches_tracked holds numbers of the format float32; it must be int64"
    )


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    found = {**TINY, "bias": torch.tensor([1.0, value])}
    assert refusal(load_strictly, nn.Linear(3, 2), found, "x.pt") == (
        "x.pt: bias holds values that are not finite numbers (1 of 2); take another file, or "
        "download it again"
    )


def test_whole_numbers_in_a_model_file_are_told_from_its_header(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"a.position_ids": torch.arange(3), "b.weight": torch.arange(3)}, file)
    said = refusal(check_number_formats, read_safetensors_header(file)[0], str(file))
    assert said == (
        f"{file}: b.weight holds numbers of the format I64; weights must be F16, BF16, F32, F64"
    )


def test_json_of_others_is_bounded(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(b" " * 2_000_000)
    assert refusal(read_json, file) == (
        f"file {file} has 2,000,000 bytes; at most 1,048,576 are read, so it is hardly what it is "
        "taken for"
    )
    file.write_text("[" * 100_000)
    assert refusal(read_json, file).startswith(f"file {file} is no JSON: ")
    file.write_text('"text"')
    assert refusal(read_json, file) == f"file {file} holds no JSON object, but str"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"hidden_size": 10**9}, "hidden_size is 1000000000; at most 1,048,576 is possible"),
        ({"widths": [8, 10**30]}, "widths is 10000000000000000000000000000…; at most 1,048"),
        ({"num_hidden_layers": 900}, "num_hidden_layers is 900; the weights beside it are 12"),
        ({"eps": float("nan")}, "eps is nan; at most 1,048,576 is possible"),
    ],
)
def test_sizes_that_cannot_be_are_refused(tmp_path: Path, config: dict, said: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    assert f"model configuration {file}: {said}" in refusal(read_model_config, file, 12)


def test_tokenizer_files_of_no_tokenizer_are_refused(tmp_path: Path) -> None:
    assert refusal(check_tokenizer_files, tmp_path / "none") == (
        f"{tmp_path}/none is no folder of a tokenizer"
    )
    (tmp_path / "vocab.json").write_text("<html>")
    said = refusal(check_tokenizer_files, tmp_path)
    assert said.startswith(f"tokenizer file {tmp_path}/vocab.json is no JSON: ")
    (tmp_path / "vocab.json").unlink()
    os.mkfifo(tmp_path / "merges.txt")
    said = refusal(check_tokenizer_files, tmp_path)
    assert (
        said == f"tokenizer file {tmp_path}/merges.txt is a named pipe; it must be a regular file"
    )


def valid(kind: str) -> bytes:
    if kind == "safetensors":
        return save(TINY)
    file = io.BytesIO()
    torch.save(TINY, file, _use_new_zipfile_serialization=kind == "zip")
    return file.getvalue()


VALID = {kind: valid(kind) for kind in ("safetensors", "zip", "legacy")}
MUTATIONS = st.lists(
    st.tuples(
        st.floats(0, 1), st.sampled_from(["flip", "cut", "insert", "repeat"]), st.binary(max_size=9)
    ),
    min_size=1,
    max_size=4,
)


def mutated(content: bytes, mutations) -> bytes:
    for place, kind, piece in mutations:
        at = int(place * len(content))
        if kind == "cut":
            content = content[:at]
        elif kind == "insert":
            content = content[:at] + piece + content[at:]
        elif kind == "repeat":
            content = content[:at] + content[max(0, at - 40) :]
        else:
            content = content[:at] + piece + content[at + len(piece) :]
    return content


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", VALID)
@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(mutations=MUTATIONS)
def test_mutated_files_load_whole_or_are_refused(tmp_path: Path, kind: str, mutations) -> None:
    file = tmp_path / kind
    file.write_bytes(mutated(VALID[kind], mutations))
    read = read_safetensors if kind == "safetensors" else read_pickled_tensors
    network, said = nn.Linear(3, 2), ""
    try:
        found = read(file)
        load_strictly(network, found[0] if kind == "safetensors" else found, str(file))
    except WeightsError as error:
        said = str(error)
    assert len(said) < 1000
    assert "\n" not in said
    assert said or all(bool(value.isfinite().all()) for value in network.state_dict().values())


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from(
        [
            *(torch.int8, torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn),
            *(torch.float16, torch.bfloat16, torch.float64),
        ]
    ),
    shape=st.lists(st.integers(0, 4), max_size=3),
    name=st.sampled_from(["weight", "bias", "other"]),
)
def test_swapped_formats_and_shapes_load_whole_or_are_refused(dtype, shape, name) -> None:
    value = torch.from_numpy(np.ones(shape, np.float32)).to(dtype)
    network = nn.Linear(3, 2)
    try:
        load_strictly(network, {**TINY, name: value}, "x")
    except WeightsError:
        return
    assert tuple(shape) in ((2, 3), (2,))
    assert dtype in (torch.float16, torch.bfloat16, torch.float64)
