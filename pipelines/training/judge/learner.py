"""One step after another for the second judge."""

import torch
from torch import Tensor
from torch.nn import functional

from pipelines.evaluation.judge_network import INPUT_SIDE, JUDGED_TRAITS, JudgeNetwork
from pipelines.training.data.augmentation import augment
from pipelines.training.judge.config import JudgeConfig, JudgeModel
from pipelines.training.judge.faces import NOT_SHOWN, Portraits
from pipelines.training.loop.learner import Learner

_SMOOTHING = 0.02
_QUADRATIC_BELOW = 1.0


class JudgeLearner(Learner):
    """Learns a `JudgeNetwork`; batches are `Portraits`."""

    def __init__(self, config: JudgeConfig, device: torch.device) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            network = make_judge(config.model)
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        super().__init__(config, config.cycles, network, device)
        self._config = config

    def losses(self, batch: Portraits) -> dict[str, Tensor]:
        """Return the losses of a batch: Huber's for AUs, cross-entropies for traits."""
        pixels = augment(batch.pixels.float() / 255, self._config.augmentation, INPUT_SIDE)
        with self.autocast():
            found = self.network(pixels.contiguous(memory_format=torch.channels_last))
        errors = {"aus": functional.smooth_l1_loss(found.aus, batch.aus, beta=_QUADRATIC_BELOW)}
        for place, trait in enumerate(JUDGED_TRAITS):
            errors[trait] = _cross_entropy(found.traits[trait], batch.traits[:, place])
        traits = torch.stack([errors[trait] for trait in JUDGED_TRAITS]).sum()
        return {"loss": errors["aus"] + self._config.trait_weight * traits, **errors}


def make_judge(model: JudgeModel) -> JudgeNetwork:
    """Make an untrained judge."""
    return JudgeNetwork(model.channels, model.narrow, model.hidden)


def _cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the mean cross-entropy over portraits that show the trait; 0 where none does."""
    total = functional.cross_entropy(
        logits, classes, ignore_index=NOT_SHOWN, label_smoothing=_SMOOTHING, reduction="sum"
    )
    return total / (classes != NOT_SHOWN).sum().clamp(min=1)
