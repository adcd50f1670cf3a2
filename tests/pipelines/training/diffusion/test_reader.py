"""What is read from a guess at clean latents, and the loss that it makes."""

import pytest
import torch
from diffusers import DDPMScheduler  # pyright: ignore[reportPrivateImportUsage]

from pipelines.training.diffusion.config import NoiseSettings
from pipelines.training.diffusion.loss import Guess, guess_of, noised
from pipelines.training.diffusion.reader import LatentReader, au_error, read_guess

SHAPE = (4, 8, 8)


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
    reader = LatentReader(SHAPE, (8, 16), 12).requires_grad_(False)
    guess = torch.randn(2, *SHAPE, requires_grad=True)
    aus = torch.rand(2, 12)
    errors = (reader(guess) - aus).square().mean(1)

    signal = torch.tensor([0.5, 0.0])
    found = au_error(read_guess(reader, Guess(guess, signal)), aus, signal)
    found.backward()

    assert found.item() == pytest.approx(errors[0].item() / 4)
    assert guess.grad is not None
    assert guess.grad[0].any()
    assert not guess.grad[1].any()
    assert all(weight.grad is None for weight in reader.parameters())


def test_a_reading_loss_without_a_reader_is_no_loss_of_zero() -> None:
    guess = Guess(torch.zeros(1, *SHAPE), torch.ones(1))
    with pytest.raises(ValueError, match=r"^the configuration has the reading loss, but there is"):
        read_guess(None, guess)
