"""The reader of AUs in latents, and the loss that it makes."""

import pytest
import torch
from diffusers import DDPMScheduler  # pyright: ignore[reportPrivateImportUsage]

from pipelines.training.diffusion.config import NoiseSettings
from pipelines.training.diffusion.latents import LabelledLatents
from pipelines.training.diffusion.loss import guess_of, noised
from pipelines.training.fineface.reader import LatentReader, reading_error
from pipelines.training.fineface.reader_config import ReaderConfig
from pipelines.training.fineface.reader_learner import ReaderLearner
from pipelines.training.loop.settings import Cycle

CPU = torch.device("cpu")
SHAPE = (4, 8, 8)


def test_it_learns_to_read_aus_from_latents() -> None:
    torch.set_num_threads(1)
    config = ReaderConfig(seed=1, cycles=(Cycle(steps=80, learning_rate=0.003),), channels=(8, 8))
    learner = ReaderLearner(config, SHAPE, CPU)
    draw = torch.Generator().manual_seed(3)
    places = torch.randn(12, *SHAPE, generator=draw)

    def batch(count: int) -> LabelledLatents:
        aus = 5 * torch.rand(count, 12, generator=draw)
        return LabelledLatents(torch.einsum("bk,kchw->bchw", aus / 5, places), aus)

    for _ in range(80):
        learner.learn(batch(32))
    seen = batch(200)
    with torch.no_grad():
        read = learner.average(seen.latents)
    pairs = zip(read.T, seen.aus.T, strict=True)
    assert min(torch.corrcoef(torch.stack(pair))[0, 1].item() for pair in pairs) > 0.6


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_a_right_prediction_means_the_clean_latents(prediction: str) -> None:
    torch.manual_seed(1)
    scheduler = DDPMScheduler(prediction_type=prediction)
    latents = torch.randn(6, *SHAPE)
    seen = noised(latents, scheduler, NoiseSettings())
    guess = guess_of(scheduler, seen, seen.target)
    torch.testing.assert_close(guess.latents, latents, rtol=1e-3, atol=1e-3)
    assert torch.equal(guess.signal, scheduler.alphas_cumprod[seen.timesteps])


def test_the_error_is_weighted_by_signal_and_reaches_the_guess_alone() -> None:
    torch.manual_seed(2)
    reader = LatentReader(SHAPE, (8, 16)).requires_grad_(False)
    guess = torch.randn(2, *SHAPE, requires_grad=True)
    aus = torch.rand(2, 12)
    errors = (reader(guess) - aus).square().mean(1)

    found = reading_error(reader, guess, aus, torch.tensor([0.5, 0.0]))
    found.backward()

    assert found.item() == pytest.approx(errors[0].item() / 4)
    assert guess.grad is not None
    assert guess.grad[0].any()
    assert not guess.grad[1].any()
    assert all(weight.grad is None for weight in reader.parameters())
