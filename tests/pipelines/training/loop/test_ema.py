import torch
from torch import nn

from pipelines.training.learner import moving_average


def network(value):
    layers = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        for tensor in layers.state_dict().values():
            tensor.fill_(value)
    return layers


def after(followed, decay, step):
    """Follow a network once, after a step."""
    average = moving_average(network(0), decay)
    average.n_averaged.fill_(step + 1)
    average.update_parameters(followed)
    return average.module.state_dict()


def test_it_keeps_the_share_that_decay_says_in_the_long_run():
    for tensor in after(network(1), 0.9, step=10_000).values():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, torch.full_like(tensor, 0.1))


def test_it_forgets_the_start_quickly():
    assert after(network(1), 0.999, step=0)["0.weight"].min() > 0.89


def test_counters_are_copied_and_the_followed_network_is_untouched():
    followed = network(3)
    average = moving_average(network(0), decay=0.9)
    average.update_parameters(followed)
    assert average.module.state_dict()["1.num_batches_tracked"] == 3
    assert followed.training
    assert not average.module.training


def test_each_step_is_the_formula_to_the_bit():
    torch.manual_seed(0)
    followed = nn.Linear(3, 3)
    average = moving_average(followed, decay=0.5)
    expected = followed.weight.detach().clone()
    for step in range(20):
        with torch.no_grad():
            followed.weight.copy_(torch.randn(3, 3))
        average.update_parameters(followed)
        expected.lerp_(followed.weight.detach(), 1 - min(0.5, (1 + step) / (10 + step)))
        assert torch.equal(average.module.weight, expected)
