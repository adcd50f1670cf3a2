from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_training as tiny
import torch
from diffusers import AutoencoderKL

from pipelines.training.clip.tokenizer import train_tokenizer
from pipelines.training.data.captions import describe
from pipelines.training.data.config import ProceduralData
from pipelines.training.data.examples import ProceduralExamples
from pipelines.training.diffusion.latents import AUS, LATENTS, MADE_OF, LatentStore
from pipelines.training.vae import VAEModel, make_vae
from synthgen.errors import ConfigError, OutputError

DATA = ProceduralData.model_validate(tiny.DRAWN)
EXAMPLES = ProceduralExamples(DATA, 0)
TOKENIZER = train_tokenizer((describe(EXAMPLES.identity(i), i) for i in range(40)), 560, 16)


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    torch.manual_seed(0)
    model = VAEModel(block_out_channels=(2, 2, 4), norm_num_groups=2)
    return make_vae(model, 64).eval().requires_grad_(False)


class Limited(ProceduralExamples):
    """Portraits of which only some can be drawn, as when a training is killed."""

    def __init__(self, last: int) -> None:
        super().__init__(DATA, 0)
        self.last, self.asked = last, []

    def image(self, index: int) -> Any:
        if index > self.last:
            raise KeyboardInterrupt
        self.asked.append(index)
        return super().image(index)


def store(folder: Path, vae: AutoencoderKL, **changes: Any) -> LatentStore:
    values = {"examples": EXAMPLES, "count": 20, "made_of": {"vae": "a"}, "drop_caption": 0.0}
    values |= {"batch_size": 8, "seed": 1, **changes}
    return LatentStore(folder, vae=vae, tokenizer=TOKENIZER, **values)


def test_a_batch_is_a_function_of_its_step(tmp_path, vae):
    first = list(store(tmp_path / "a", vae).batches(0, 6))
    again = list(store(tmp_path / "a", vae).batches(4, 6))
    for one, other in zip(first[4:], again, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert first[0].latents.shape == (8, 4, 16, 16)
    assert first[0].input_ids.shape == (8, 16)
    assert first[0].aus.shape == (8, 12)


def test_each_epoch_sees_each_example_once_in_another_order(tmp_path, vae):
    batches = list(store(tmp_path, vae, batch_size=10).batches(0, 4))
    aus = [torch.cat([batches[i].aus, batches[i + 1].aus]) for i in (0, 2)]
    wanted = np.stack([EXAMPLES.aus(i) for i in range(20)])
    for epoch in aus:
        assert sorted(map(tuple, epoch.tolist())) == sorted(map(tuple, wanted.tolist()))
    assert not torch.equal(*aus)


def test_latents_are_scaled_and_belong_to_their_rows(tmp_path, vae):
    (batch,) = store(tmp_path, vae, batch_size=20).batches(0, 1)
    latents, aus = np.load(tmp_path / LATENTS), np.load(tmp_path / AUS)
    for latent, expression in zip(batch.latents, batch.aus, strict=True):
        (row,) = np.flatnonzero((aus == expression.numpy()).all(1))
        scaled = vae.config["scaling_factor"] * latents[row].astype(np.float32)
        assert np.allclose(latent, scaled)


def test_a_killed_store_goes_on(tmp_path, vae, monkeypatch):
    monkeypatch.setattr("pipelines.training.diffusion.latents._NOTED_AFTER", 16)
    with pytest.raises(KeyboardInterrupt):
        store(tmp_path / "killed", vae, count=40, examples=Limited(last=35))
    rest = Limited(last=99)
    store(tmp_path / "killed", vae, count=40, examples=rest)
    assert min(rest.asked[1:]) == 32, "32 were done; the first tells the shape"
    store(tmp_path / "whole", vae, count=40)
    for name in (LATENTS, AUS, MADE_OF):
        killed, whole = (tmp_path / part / name for part in ("killed", "whole"))
        assert killed.read_bytes() == whole.read_bytes(), name


def test_captions_are_dropped_as_often_as_asked(tmp_path, vae):
    (batch,) = store(tmp_path, vae, batch_size=300, drop_caption=0.25).batches(0, 1)
    empty = TOKENIZER("", padding="max_length", return_tensors="pt").input_ids
    assert (batch.input_ids == empty).all(1).float().mean() == pytest.approx(0.25, abs=0.08)


def test_a_store_of_something_else_is_refused(tmp_path, vae):
    store(tmp_path, vae, count=4)
    with pytest.raises(OutputError) as caught:
        store(tmp_path, vae, count=4, made_of={"vae": "b"})
    assert str(caught.value) == (
        f"{tmp_path / MADE_OF} was made of {{'vae': 'a', 'count': 4}}, now it is "
        "{'vae': 'b', 'count': 4}; train into another folder"
    )


def test_portraits_without_end_need_a_number(tmp_path, vae):
    with pytest.raises(ConfigError) as caught:
        store(tmp_path, vae, count=None)
    assert str(caught.value) == (
        "examples is null; drawn portraits have no end: it must be a number"
    )


def test_more_examples_than_there_are_are_refused(tmp_path, vae):
    class Few(ProceduralExamples):
        count = 3  # pyright: ignore

    with pytest.raises(ConfigError) as caught:
        store(tmp_path, vae, count=4, examples=Few(DATA, 0))
    assert str(caught.value) == ("examples is 4; the dataset has 3 rows: null takes them all")


def test_a_full_disk_leaves_no_half_store(tmp_path, vae):
    import resource

    from synthgen.errors import OutputError

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OutputError) as caught:
            store(tmp_path, vae)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value).startswith(f"cannot write {tmp_path / LATENTS}: File too large; ")
    assert not list(tmp_path.iterdir())
