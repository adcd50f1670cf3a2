import pytest
from torch import nn

from pipelines.training.learner import learning_rate, parameter_groups
from pipelines.training.settings import Cycle


def test_the_learning_rate_rises_and_falls_in_each_cycle():
    cycles = [
        Cycle(steps=100, learning_rate=0.01, warmup=0.1),
        Cycle(steps=50, learning_rate=0.004, warmup=0.0),
    ]
    rates = [learning_rate(step, cycles) for step in range(151)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:100] == sorted(rates[10:100], reverse=True)
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert (rates[10], rates[100], rates[150]) == pytest.approx((0.01, 0.004, 0))
    assert rates[99] < 1e-5


def test_norms_and_biases_do_not_decay():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    decaying, free = parameter_groups(network.parameters(), 0.1)
    assert (len(decaying["params"]), len(free["params"])) == (2, 4)
    assert (decaying["weight_decay"], free["weight_decay"]) == (0.1, 0)
    assert all(parameter.ndim > 1 for parameter in decaying["params"])
    assert all(parameter.ndim == 1 for parameter in free["params"])
