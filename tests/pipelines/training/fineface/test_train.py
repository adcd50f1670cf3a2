import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_fineface import make_sd

from pipelines.fineface import AUAdapter, FineFacePipeline
from pipelines.training.methods import train_by_method
from synthgen.errors import OutputError

ENCODER, ATTENTION = "au_encoder.safetensors", "attn_processors.safetensors"
LORA = "pytorch_lora_weights.safetensors"

CONFIG = """
seed: 3
cycles: [{{steps: 4, learning_rate: 0.01}}]
batch_size: 4
accumulate: 2
examples: 10
rank: 2
workers: 0
checkpoint_every: 2
log_every: 1
sample_every: 4
base: {base}
data: {{source: procedural, size: 64, expressions: [{{share: 1, rate: 0.4}}]}}
sheet: {{prompts: [a man, a woman], expressions: [{{}}, {{AU12: 5}}], num_inference_steps: 2}}
"""
READING = "reading: {weight: 0.1, reader: {seed: 5, cycles: [{steps: 3}], batch_size: 8}}\n"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_sd(tmp_path_factory.mktemp("base"), size=64, levels=3)


@pytest.fixture
def config(base: Path, tmp_path: Path) -> Path:
    path = tmp_path / "fineface.yaml"
    path.write_text(CONFIG.format(base=base))
    return path


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training from its first step to its last."""
    return trained(tmp_path_factory.mktemp("whole"), CONFIG.format(base=base))


@pytest.fixture(scope="module")
def read_too(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a reader's loss."""
    return trained(tmp_path_factory.mktemp("read"), CONFIG.format(base=base) + READING)


def trained(folder: Path, text: str) -> Path:
    path = folder / "fineface.yaml"
    path.write_text(text)
    train_by_method(path, folder / "out")
    return folder / "out"


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    files = [folder / name for name in (ATTENTION, ENCODER, LORA)]
    return {name: value for file in files for name, value in load_file(file).items()}


def test_it_writes_the_published_files_a_component_and_a_card(whole: Path) -> None:
    folder = whole / "fineface"
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        (ATTENTION, ENCODER, LORA, "card.json")
    )
    found = tensors(folder)
    assert {value.dtype for value in found.values()} == {torch.float16}
    component = AUAdapter.from_pretrained(whole / "au_adapter", dtype=torch.float16)
    assert all(torch.equal(found[k], v) for k, v in component.state_dict().items())
    card = json.loads((folder / "card.json").read_text())
    assert (card["steps"], card["examples_seen"]) == (4, 16)
    assert card["configuration"]["rank"] == 2
    assert card["licence"] == "Apache-2.0"
    assert sorted(card["sha256"]) == [ATTENTION, ENCODER, LORA]
    history = (whole / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in history] == [1, 2, 3, 4]
    assert (whole / "samples" / "00000004.png").is_file()


def test_the_pipeline_loads_what_it_wrote_also_as_pickles(
    config: Path, base: Path, tmp_path: Path
) -> None:
    config.write_text(config.read_text() + "export: {also: ckpt, dtype: float32}\n")
    folder = train_by_method(config, tmp_path / "out")
    settings = {"num_inference_steps": 2, "output_type": "latent"}

    def paint() -> torch.Tensor:
        pipeline = FineFacePipeline.from_pretrained(base)
        pipeline.load_au_adapter(folder)
        noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
        return pipeline("a boy", {"AU12": 5}, latents=noise, **settings).images

    painted = paint()
    for name in (ATTENTION, ENCODER):
        (folder / name).unlink()
    assert torch.equal(paint(), painted)


def test_stopped_and_continued_it_ends_in_the_same_weights(
    config: Path, whole: Path, tmp_path: Path
) -> None:
    stopped = train_by_method(config, tmp_path / "parts", stop_at=2)
    assert not stopped.exists()
    folder = train_by_method(config, tmp_path / "parts")
    assert folder == tmp_path / "parts" / "fineface"
    parts = tensors(folder)
    assert all(
        torch.equal(parts[name], value) for name, value in tensors(whole / "fineface").items()
    )
    lines = [part / "history.jsonl" for part in (whole, tmp_path / "parts")]
    assert lines[0].read_text() == lines[1].read_text()


def test_a_checkpoint_of_another_recipe_is_refused(config: Path, tmp_path: Path) -> None:
    train_by_method(config, tmp_path / "out", stop_at=1)
    config.write_text(config.read_text().replace("rank: 2", "rank: 3"))
    with pytest.raises(OutputError) as caught:
        train_by_method(config, tmp_path / "out")
    assert str(caught.value) == (
        f"{tmp_path / 'out' / 'checkpoint.pt'} was trained with rank 2, now it is 3; "
        "train into another folder with --to"
    )


def test_the_place_of_the_base_and_the_sheets_do_not_count(
    config: Path, base: Path, tmp_path: Path
) -> None:
    train_by_method(config, tmp_path / "out", stop_at=1)
    moved = tmp_path / "moved"
    moved.symlink_to(base)
    text = config.read_text().replace(str(base), str(moved)).replace("a man", "a boy")
    config.write_text(text)

    folder = train_by_method(config, tmp_path / "out")

    assert json.loads((folder / "card.json").read_text())["steps"] == 4


def test_a_reader_is_learned_beside_the_latents_and_its_loss_counts(
    whole: Path, read_too: Path
) -> None:
    read = tensors(read_too / "fineface")
    plain = tensors(whole / "fineface")
    assert not all(torch.equal(read[name], value) for name, value in plain.items())
    assert (read_too / "latents" / "reader" / "checkpoint.pt").is_file()
    for found in map(json.loads, (read_too / "history.jsonl").read_text().splitlines()):
        assert found["loss"] == pytest.approx(found["diffusion"] + 0.1 * found["read"])
    card = json.loads((read_too / "fineface" / "card.json").read_text())
    assert card["configuration"]["reading"]


def test_with_a_reader_too_it_goes_on_in_the_same_weights(
    config: Path, read_too: Path, tmp_path: Path
) -> None:
    config.write_text(config.read_text() + READING)
    train_by_method(config, tmp_path / "parts", stop_at=1)
    parts = tensors(train_by_method(config, tmp_path / "parts"))
    whole = tensors(read_too / "fineface")
    assert all(torch.equal(parts[name], value) for name, value in whole.items())


def test_latents_with_another_reader_are_refused(config: Path, tmp_path: Path) -> None:
    text = config.read_text() + READING
    config.write_text(text)
    train_by_method(config, tmp_path / "out", stop_at=1)
    config.write_text(text.replace("seed: 5", "seed: 6"))
    with pytest.raises(OutputError) as caught:
        train_by_method(config, tmp_path / "out")
    assert str(caught.value) == (
        f"{tmp_path / 'out' / 'latents' / 'reader' / 'checkpoint.pt'} was trained with seed 5, "
        "now it is 6; train into another folder with --to"
    )


def test_what_it_paints_is_read_in_a_cycle_that_is_added(
    config: Path, read_too: Path, tmp_path: Path
) -> None:
    config.write_text(config.read_text() + READING)
    shutil.copytree(read_too, tmp_path / "out")
    longer = "[{steps: 4, learning_rate: 0.01}, {steps: 2, painted: 0.5, painting_steps: 4}]"
    config.write_text(config.read_text().replace("[{steps: 4, learning_rate: 0.01}]", longer))
    train_by_method(config, tmp_path / "out", stop_at=5)
    parts = tensors(train_by_method(config, tmp_path / "out"))

    lines = (tmp_path / "out" / "history.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert ["painted" in one for one in found] == [False] * 4 + [True] * 2
    last = found[-1]
    assert last["loss"] == pytest.approx(
        last["diffusion"] + 0.1 * last["read"] + 0.5 * last["painted"]
    )
    whole = tensors(train_by_method(config, tmp_path / "whole"))
    assert all(torch.equal(parts[name], value) for name, value in whole.items())


def test_several_readers_and_one_of_traits_read_what_it_paints(
    config: Path, tmp_path: Path
) -> None:
    """Each reader has a folder and a seed of its own; the traits' loss counts by its weight."""
    several = READING.replace("weight: 0.1", "weight: 0.1, readers: 2, traits: 3")
    cycles = "[{steps: 2, painted: 0.5, painting_steps: 4}]"
    text = config.read_text().replace("[{steps: 4, learning_rate: 0.01}]", cycles) + several
    config.write_text(text)
    whole = tensors(train_by_method(config, tmp_path / "out"))
    latents = tmp_path / "out" / "latents"
    folders = [latents / "reader", latents / "reader-2", latents / "traits" / "reader"]
    first, second, _ = [torch.load(each / "checkpoint.pt", weights_only=True) for each in folders]
    assert [each["config"]["seed"] for each in (first, second)] == [5, 6]

    for found in map(json.loads, (tmp_path / "out" / "history.jsonl").read_text().splitlines()):
        assert found["traits"] > 0
        assert found["loss"] == pytest.approx(
            found["diffusion"]
            + 0.1 * found["read"]
            + 0.5 * (found["painted"] + 3 * found["traits"])
        )

    one = text.replace("readers: 2, ", "")
    config.write_text(one)
    alone = tensors(train_by_method(config, tmp_path / "one"))
    assert not all(torch.equal(alone[name], value) for name, value in whole.items())
