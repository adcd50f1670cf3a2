import torch
from torch import nn

from pipelines.training.learner import MovingAverage


def network(value):
    layers = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        for tensor in layers.state_dict().values():
            tensor.fill_(value)
    return layers


def test_it_keeps_the_share_that_decay_says_in_the_long_run():
    average = MovingAverage(network(0), decay=0.9)
    average.update(network(1), step=10_000)
    for tensor in average.network.state_dict().values():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, torch.full_like(tensor, 0.1))


def test_it_forgets_the_start_quickly():
    average = MovingAverage(network(0), decay=0.999)
    average.update(network(1), step=0)
    assert average.network.state_dict()["0.weight"].min() > 0.89


def test_counters_are_copied_and_the_followed_network_is_untouched():
    followed = network(3)
    average = MovingAverage(network(0), decay=0.9)
    average.update(followed, step=0)
    assert average.network.state_dict()["1.num_batches_tracked"] == 3
    assert followed.training
    assert not average.network.training
