import numpy as np
import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler

from pipelines.diffusion.source import first_noise, own_generator
from pipelines.fineface.section import FineFaceConfig
from pipelines.fineface.source import FineFaceSource
from samplers.spec import Attempt, SampleSpec

SHAPE = (4, 32, 32)
SPEC = SampleSpec(
    index=0,
    split="train",
    position=0,
    replacement=0,
    stratum="",
    conditions={"aus": (0.0,) * 12},
    emotion=None,
    identity_id="",
    identity={},
    identity_seed=0,
    prompt="",
    negative_prompt="",
)


def noise(seed, shared_seed=None, own_share=1.0):
    attempt = Attempt(SPEC, 0, seed, shared_seed, own_share)
    return first_noise(attempt, own_generator(attempt), SHAPE)


def test_noise_is_the_attempts_own_by_default():
    assert torch.equal(noise(5), torch.randn(SHAPE, generator=torch.Generator().manual_seed(5)))
    assert not torch.equal(noise(5), noise(6))


def test_first_attempts_of_an_identity_share_their_noise_and_what_follows():
    assert torch.equal(noise(5, 9, 0.0), noise(6, 9, 0.0))
    attempts = [Attempt(SPEC, 0, seed, 9, 0.0) for seed in (5, 6)]
    one, other = [torch.randn(3, generator=own_generator(attempt)) for attempt in attempts]
    assert torch.equal(one, other)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_later_attempts_blend_and_keep_the_variance(share):
    blend, shared, own = noise(5, 9, share), noise(5, 9, 0.0), noise(5)
    assert blend.std().item() == pytest.approx(1, abs=0.05)
    assert torch.allclose(blend, (1 - share) ** 0.5 * shared + share**0.5 * own, atol=1e-6)
    correlation = (blend * shared).mean().item()
    assert correlation == pytest.approx((1 - share) ** 0.5, abs=0.06)


def test_a_sampler_that_draws_on_its_way_draws_the_same_for_an_identity(sd_folder, fineface_folder):
    weights = {"base": str(sd_folder), "fineface": str(fineface_folder)}
    config = {"name": "fineface", "weights": weights, "num_inference_steps": 2}
    source = FineFaceSource(FineFaceConfig.model_validate(config), "cpu")
    scheduler = source._pipeline.scheduler
    source._pipeline.scheduler = EulerAncestralDiscreteScheduler.from_config(scheduler.config)
    shared = [Attempt(SPEC, 0, seed, 9, 0.0) for seed in (5, 6)]
    one, other, blend = (
        np.asarray(source.generate([attempt])[0])
        for attempt in (*shared, Attempt(SPEC, 1, 5, 9, 0.3))
    )
    assert np.array_equal(one, other)
    assert not np.array_equal(one, blend)
