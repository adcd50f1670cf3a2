"""What ends a training: one sentence, and the last good checkpoint in place."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tiny_training as tiny
import torch
from datasets import Dataset, Features, Image, Value

from pipelines.training.clip.train import train_clip
from pipelines.training.unet import train_unet
from pipelines.training.vae import train_vae
from synthgen.errors import (
    ConfigError,
    DatasetError,
    OutputError,
    SynthgenError,
    TrainingError,
    WeightsError,
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size: what a full disk is to a program."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def vae(folder: Path, **changes) -> Path:
    return tiny.write(folder / "vae.yaml", tiny.vae(**changes))


def refusal(kind: type[SynthgenError], train, *arguments) -> str:
    with pytest.raises(kind) as caught:
        train(*arguments)
    return str(caught.value)


def test_a_loss_that_is_not_finite_leaves_the_last_checkpoint(tmp_path):
    out = tmp_path / "out"
    train_vae(vae(tmp_path, cycles=[{"steps": 2}]), out)
    good = (out / "checkpoint.pt").read_bytes()
    worse = vae(tmp_path, cycles=[{"steps": 2}, {"steps": 9, "learning_rate": 1}])
    content = torch.load(out / "checkpoint.pt", weights_only=True)
    content["state"]["network"]["decoder.conv_in.weight"][:] = float("nan")
    torch.save(content, out / "checkpoint.pt")
    bad = (out / "checkpoint.pt").read_bytes()
    assert refusal(TrainingError, train_vae, worse, out) == (
        "step 2: the loss is not finite (loss nan); a lower learning rate or dtype: float32 may "
        "help; the last checkpoint is in place"
    )
    assert (out / "checkpoint.pt").read_bytes() == bad != good


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path):
    out, config = tmp_path / "out", vae(tmp_path, sample_every=99)
    train_vae(config, out, 2)
    good = (out / "checkpoint.pt").read_bytes()
    with files_of_at_most(len(good) // 2):
        said = refusal(OutputError, train_vae, config, out, 4)
    assert said == (
        f"cannot write {out / 'checkpoint.pt'}: File too large; the last checkpoint stays, and the "
        "same command continues from it"
    )
    assert (out / "checkpoint.pt").read_bytes() == good
    assert not list(out.rglob("*.partial"))
    train_vae(config, out)
    train_vae(config, tmp_path / "undisturbed")
    assert tiny.history(out) == tiny.history(tmp_path / "undisturbed")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("history.jsonl", {"checkpoint_every": 99, "sample_every": 99}),
        ("samples/00000003.png", {"log_every": 99, "checkpoint_every": 2}),
    ],
)
def test_a_curve_or_a_sheet_that_cannot_be_written_ends_the_training(tmp_path, name, changes):
    out = tmp_path / "out"
    train_vae(vae(tmp_path, **changes), out, 2)
    good = (out / "checkpoint.pt").read_bytes()
    target = out / name
    target.parent.mkdir(exist_ok=True)
    if target.exists():
        target.unlink()
    target.mkdir()
    said = refusal(OutputError, train_vae, vae(tmp_path, **changes), out)
    assert said.startswith(f"cannot write {target}: Is a directory; the last checkpoint stays")
    assert (out / "checkpoint.pt").read_bytes() == good


def test_an_unknown_device_is_refused(tmp_path):
    for name in ("gpu", "cuda:99"):
        said = refusal(ConfigError, train_vae, vae(tmp_path, device=name), tmp_path / "out")
        assert said.startswith(f"device {name!r} is not there; there is auto, cpu")


def test_half_precision_without_a_gpu_is_refused(tmp_path):
    said = refusal(ConfigError, train_vae, vae(tmp_path, dtype="float16"), tmp_path / "out")
    assert said == "dtype float16 needs a GPU, not the device cpu: use bfloat16 or float32"


@pytest.mark.parametrize(("computes", "told"), [("AVX2", True), ("AVX512", False)])
def test_bfloat16_that_a_cpu_emulates_is_told(tmp_path, monkeypatch, caplog, computes, told):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: computes)
    train_vae(vae(tmp_path, dtype="bfloat16"), tmp_path / "out", 1)
    said = (
        "dtype bfloat16: this CPU emulates it (AVX2, no AVX-512), and may take some ten times as "
        "long as with dtype float32"
    )
    assert caplog.messages == ([said] if told else [])


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    out = tmp_path / "out"
    train_vae(vae(tmp_path), out, 1)
    end = "; train into another folder with --to"
    begin = f"{out / 'checkpoint.pt'} was trained"
    larger = {**tiny.vae()["data"], "size": 72}
    assert refusal(OutputError, train_vae, vae(tmp_path, data=larger), out) == (
        f"{begin} with data.size 64, now it is 72{end}"
    )
    clip = tiny.write(tmp_path / "clip.yaml", tiny.clip())
    assert refusal(OutputError, train_clip, clip, out) == (
        f"{out / 'checkpoint.pt'} is of a training of vae, not of clip; train into another folder"
    )


def test_a_folder_without_a_vae_or_a_text_encoder_is_refused(tmp_path):
    path = tiny.write(tmp_path / "unet.yaml", tiny.unet(tmp_path / "no", tmp_path / "none"))
    assert refusal(WeightsError, train_unet, path, tmp_path / "out") == (
        f"vae: {tmp_path / 'no'} is no folder of the VAE; it lacks config.json, "
        "diffusion_pytorch_model.safetensors; synthgen train vae makes one"
    )
    assert os.listdir(tmp_path) == ["unet.yaml"]


def test_a_refused_training_leaves_no_empty_folder(tmp_path):
    (tmp_path / "here").mkdir()
    path = vae(tmp_path, dtype="float16")
    for out in (tmp_path / "a" / "b" / "out", tmp_path / "here"):
        refusal(ConfigError, train_vae, path, out)
    assert sorted(os.listdir(tmp_path)) == ["here", "vae.yaml"]


def test_a_row_that_cannot_be_read_ends_a_training_from_a_reader_process(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    content = {"bytes": b"no image", "path": None}
    good = {"bytes": _png(), "path": None}
    Dataset.from_dict(
        {"image": [good] * 8 + [content], "prompt": ["a"] * 9},
        features=Features({"image": Image(), "prompt": Value("string")}),
    ).save_to_disk(tmp_path / "data")
    data = {"source": "dataset", "path": str(tmp_path / "data"), "size": 64, "aus": None}
    path = vae(tmp_path, data=data, workers=1, batch_size=9)
    monkeypatch.setattr("pipelines.training.vae._ON_A_SHEET", 8)
    said = refusal(DatasetError, train_vae, path, tmp_path / "out")
    assert said == (
        f"{tmp_path / 'data'} (train), row 8: the image cannot be used: "
        "it is no picture of a kind that is known"
    )


def _png() -> bytes:
    import io

    from PIL import Image as PILImage

    buffer = io.BytesIO()
    PILImage.new("RGB", (70, 64), (90, 60, 40)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_changed_dataset_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    data = {"source": "dataset", "path": str(tmp_path / "data"), "size": 64, "aus": None}
    for number, count in enumerate((8, 9)):
        images = [{"bytes": _png(), "path": None}] * count
        rows = Dataset.from_dict(
            {"image": images, "prompt": ["a"] * count},
            features=Features({"image": Image(), "prompt": Value("string")}),
        )
        rows.save_to_disk(tmp_path / f"data{number}")
        (tmp_path / "data").unlink(missing_ok=True)
        (tmp_path / "data").symlink_to(tmp_path / f"data{number}")
        if number == 0:
            train_vae(vae(tmp_path, data=data), tmp_path / "out", 1)
            train_vae(vae(tmp_path, data=data), tmp_path / "out", 2)
    said = refusal(OutputError, train_vae, vae(tmp_path, data=data), tmp_path / "out")
    assert said.startswith(f"{tmp_path / 'out' / 'checkpoint.pt'} was trained with dataset '")
