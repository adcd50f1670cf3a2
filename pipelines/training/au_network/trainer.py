"""One optimisation step after another for the AU network, and its state between them."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pipelines.libreface.network import LibreFaceNetwork
from pipelines.training.au_network.config import AUNetworkConfig
from pipelines.training.au_network.loss import au_loss
from pipelines.training.loop.ema import MovingAverage
from pipelines.training.loop.optimization import learning_rate, parameter_groups


class AUTrainer:
    """Learns the AU network; all that a step changes is in `state()`.

    Args:
        config: the training run; the first weights are a function of its seed.

    Attributes:
        step: steps that are done.
        average: moving average of the network; this is what is measured and exported.
    """

    def __init__(self, config: AUNetworkConfig) -> None:
        self._config = config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self._network = LibreFaceNetwork(config.input_size)
        set_dropout(self._network, config.dropout)
        self._network.to(memory_format=torch.channels_last).train()  # pyright: ignore[reportCallIssue]
        self._average = MovingAverage(self._network, config.ema_decay)
        self._optimizer = torch.optim.AdamW(
            parameter_groups(self._network.parameters(), config.optimizer.weight_decay),
            fused=True,
        )
        self.step = 0

    @property
    def average(self) -> LibreFaceNetwork:
        """Moving average of the network, in evaluation mode."""
        return self._average.network

    def learn(self, pixels: Float[Tensor, "B 3 h w"], aus: Float[Tensor, "B aus"]) -> float:
        """Do one step on a batch and return its loss."""
        config = self._config
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self.step, config.cycles)
        torch.manual_seed(config.seed + self.step)  # dropout: a function of the step alone
        loss = self._loss(pixels, aus)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._network.parameters(), config.optimizer.clip)
        self._optimizer.step()
        self._average.update(self._network, self.step)
        self.step += 1
        return float(loss.detach())

    def measure(self, pixels: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B aus"]:
        """Measure with the average, at the input size that is learned at now."""
        return self.average(self._coarsened(pixels))

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on besides the configuration."""
        return {
            "step": self.step,
            "network": self._network.state_dict(),
            "average": self._average.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self._network.load_state_dict(state["network"])
        self._average.network.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def _loss(self, pixels: Float[Tensor, "B 3 h w"], aus: Float[Tensor, "B aus"]) -> Tensor:
        network = self._network
        pixels = self._coarsened(pixels).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._config.dtype == "bfloat16"):
            features = network.encoder(pixels).flatten(1)  # [B, 512]
        features = features.float()
        intensity, detection = network.classifier(features), network.classifier_2(features)
        weights = torch.tensor(self._config.cycle(self.step).weights())
        return au_loss(intensity, detection, aus, weights, self._config.detection_weight)

    def _coarsened(self, pixels: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B 3 k l"]:
        coarse = self._config.coarse
        if self.step >= coarse.steps:
            return pixels
        size = (coarse.input_size, coarse.input_size)
        return functional.interpolate(pixels, size, mode="bilinear", antialias=True)


def set_dropout(network: nn.Module, chance: float) -> None:
    """Set the chance of every dropout layer."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = chance
