import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipelines.training.learner import Learner, learning_rate
from pipelines.training.settings import Cycle, TrainingSettings, pick_training_device
from synthgen.errors import TrainingError

CPU = torch.device("cpu")


class Line(Learner):
    """Learns y = 2x with noise that it draws itself."""

    def __init__(self, **changes: Any) -> None:
        values = {"seed": 1, "batch_size": 8, "optimizer": {"weight_decay": 0.0}, **changes}
        settings = TrainingSettings.model_validate(values)
        torch.manual_seed(0)
        cycles = [Cycle(steps=200, learning_rate=0.05, warmup=0)]
        super().__init__(settings, cycles, nn.Linear(1, 1), CPU)

    def losses(self, batch: Tensor) -> dict[str, Tensor]:
        found = self.network(batch + 0.01 * torch.randn_like(batch))
        return {"loss": (found - 2 * batch).square().mean()}

    def parts(self, batch: Tensor) -> Sequence[Tensor]:
        return batch.chunk(self.settings.accumulate)


def batch(step: int) -> Tensor:
    return torch.randn(8, 1, generator=torch.Generator().manual_seed(step))


def test_it_learns_and_its_average_follows():
    line = Line(ema_decay=0.9)
    first = line.learn(batch(0))["loss"]
    for step in range(1, 200):
        last = line.learn(batch(step))["loss"]
    assert last < 0.01 * first
    assert float(line.average.weight) == pytest.approx(2, abs=0.05)


def test_restored_it_goes_on_to_the_bit():
    whole, first, second = Line(), Line(), Line()
    losses = [whole.learn(batch(step)) for step in range(6)]
    for step in range(3):
        first.learn(batch(step))
    second.restore(copy.deepcopy(first.state()))
    torch.manual_seed(99)
    assert [second.learn(batch(step)) for step in range(3, 6)] == losses[3:]


def test_parts_of_a_batch_add_up_to_it():
    class Sure(Line):
        def losses(self, batch: Tensor) -> dict[str, Tensor]:
            return {"loss": (self.network(batch) - 2 * batch).square().mean()}

    whole, parts = Sure(), Sure(accumulate=4)
    for step in range(3):
        assert parts.learn(batch(step)) == pytest.approx(whole.learn(batch(step)), rel=1e-5)


def test_a_loss_that_is_not_finite_changes_nothing():
    line = Line()
    before = copy.deepcopy(line.state()["network"])
    with pytest.raises(TrainingError) as caught:
        line.learn(torch.full((8, 1), float("inf")))
    assert str(caught.value) == (
        "step 0: the loss is not finite (loss inf); a lower learning rate or dtype: float32 may "
        "help; the last checkpoint is in place"
    )
    assert all(
        torch.equal(value, before[name]) for name, value in line.network.state_dict().items()
    )


def test_a_gradient_that_is_not_finite_is_named():
    class Cliff(Line):
        def losses(self, batch: Tensor) -> dict[str, Tensor]:
            return {"loss": (0 * self.network(batch).mean()).sqrt()}

    with pytest.raises(TrainingError, match=r"^step 0: the gradient is not finite \(loss 0\)"):
        Cliff().learn(batch(0))


@pytest.mark.slow
def test_compiled_it_learns_the_same_and_its_average_is_plain():
    compiled, plain = Line(compile=True), Line()
    for step in range(3):
        assert compiled.learn(batch(step)) == pytest.approx(plain.learn(batch(step)), rel=1e-4)
    assert list(compiled.state()["network"]) == ["weight", "bias"]
    assert compiled.average._compiled_call_impl is None


def test_the_learning_rate_of_a_constant_schedule_stays():
    cycles = [
        Cycle(steps=10, learning_rate=0.5, warmup=0.4, schedule="constant"),
        Cycle(steps=4, warmup=0),
    ]
    rates = [learning_rate(step, cycles) for step in range(15)]
    assert rates[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert rates[4:10] == [0.5] * 6
    assert rates[10] == pytest.approx(1e-4)
    assert rates[14] == 0


def test_the_device_is_the_one_that_is_named():
    assert pick_training_device("cpu") == CPU
    assert pick_training_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
