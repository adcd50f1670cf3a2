"""An exponential moving average of a network: its weights and its batch statistics."""

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


class MovingAverage(Generic[Network]):
    """Follows a network, early on faster than `decay` says, so that it forgets the start.

    Args:
        network: the network to follow; it is copied.
        decay: share of the average that a step keeps in the long run [0, 1).
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.network: Network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: Network, step: int) -> None:
        """Take in the network after step `step`, counted from 0."""
        keep = min(self._decay, (1 + step) / (10 + step))
        followed = network.state_dict()
        for name, average in self.network.state_dict().items():
            if average.is_floating_point():
                average.lerp_(followed[name], 1 - keep)
            else:
                average.copy_(followed[name])
