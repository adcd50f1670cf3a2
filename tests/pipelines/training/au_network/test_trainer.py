import copy

import pytest
import torch

from pipelines.training.au_network.faces import Face
from pipelines.training.au_network.learner import AUNetworkConfig
from pipelines.training.au_network.train import AUTrainer

CONFIG = AUNetworkConfig.model_validate(
    {
        "seed": 3,
        "cycles": [{"steps": 6}],
        "batch_size": 4,
        "input_size": 32,
        "dropout": 0.3,
        "faces": {"expressions": [{"share": 1, "rate": 0.3}]},
    }
)


def batch(step):
    generator = torch.Generator().manual_seed(step)
    pixels = torch.randn(4, 3, 32, 32, generator=generator)
    return Face(pixels, 5 * torch.rand(4, 12, generator=generator), torch.zeros(4, 2, 0))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_restored_trainer_goes_on_to_the_bit():
    whole, first, second = AUTrainer(CONFIG), AUTrainer(CONFIG), AUTrainer(CONFIG)
    losses = [whole.learn(batch(step)) for step in range(4)]
    for step in range(2):
        first.learn(batch(step))
    second.restore(copy.deepcopy(first.state()))
    torch.manual_seed(99)
    assert [second.learn(batch(step)) for step in (2, 3)] == losses[2:]
    for name, tensor in whole.average.state_dict().items():
        assert torch.equal(tensor, second.average.state_dict()[name]), name


def test_the_first_weights_are_a_function_of_the_seed():
    first, again = AUTrainer(CONFIG).average, AUTrainer(CONFIG).average
    other = AUTrainer(CONFIG.model_copy(update={"seed": 4})).average
    assert torch.equal(first.encoder[0].weight, again.encoder[0].weight)
    assert not torch.equal(first.encoder[0].weight, other.encoder[0].weight)


def test_steps_on_one_batch_lower_its_loss():
    trainer = AUTrainer(CONFIG.model_copy(update={"dropout": 0.0}))
    losses = [trainer.learn(batch(0)) for _ in range(6)]
    assert losses[-1] < 0.9 * losses[0]


def test_it_begins_coarse():
    coarse = {"steps": 3, "input_size": 32}
    config = AUNetworkConfig.model_validate(CONFIG.model_dump() | {"coarse": coarse})
    trainer, plain = AUTrainer(config), AUTrainer(CONFIG)
    plainly = batch(0)
    large = plainly.pixels.repeat_interleave(2, 2).repeat_interleave(2, 3)
    large = large + torch.randn(large.shape, generator=torch.Generator().manual_seed(1))
    small = torch.nn.functional.interpolate(large, (32, 32), mode="bilinear", antialias=True)
    large, small = (plainly._replace(pixels=pixels) for pixels in (large, small))
    assert trainer.learn(large) == plain.learn(small)
    trainer.step = plain.step = 3
    assert trainer.learn(large) != plain.learn(small)
