"""A training that several processes share: what each of them does, in modules that they import."""

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pipelines.training.learner import Learner
from pipelines.training.processes import Processes, joined, launched
from pipelines.training.settings import Cycle, TrainingSettings
from synthgen.errors import TrainingError

STEPS = 6


class Rows(NamedTuple):
    """Numbers [B, 3], and the noise that is drawn for them."""

    values: Tensor
    noise: Tensor | None = None


class Line(Learner):
    """Learns a line through noisy numbers."""

    def __init__(self, accumulate: int) -> None:
        settings = TrainingSettings(seed=4, batch_size=8, accumulate=accumulate, device="cpu")
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 5), nn.SiLU(), nn.Linear(5, 1))
        super().__init__(
            settings, [Cycle(steps=STEPS, learning_rate=0.05)], network, torch.device("cpu")
        )

    def drawn(self, part: Rows) -> Rows:
        """Draw the noise of each row."""
        return Rows(part.values, torch.randn(part.values.shape))

    def losses(self, batch: Rows) -> dict[str, Tensor]:
        """Return the error of what it finds in noisy rows."""
        seen = batch if batch.noise is not None else self.drawn(batch)
        assert seen.noise is not None
        found = self.network(seen.values + seen.noise)
        errors = (found - seen.values.sum(1, keepdim=True)).square().mean(1)
        return {"loss": errors.mean(), "largest": seen.noise.abs().mean()}

    def parts(self, batch: Tensor) -> Sequence[Rows]:
        """Cut a batch of numbers."""
        return [Rows(part) for part in batch.chunk(self.settings.accumulate)]


def curve(accumulate: int, processes: Processes) -> list[dict[str, float]]:
    """Learn some steps and return what each told."""
    torch.set_num_threads(1)
    line = Line(accumulate)
    line.processes = processes
    batches = (torch.randn(8, 3, generator=torch.Generator().manual_seed(s)) for s in range(STEPS))
    return [line.learn(batch) for batch in batches]


def free_port() -> int:
    """Return a port that nothing listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def work(number: int, count: int, port: int, folder: str) -> None:
    """Be one of `count` processes: learn, turn by turn, and keep what was found in a file."""
    torch.set_num_threads(1)  # a forked process has no threads of its parent's to compute by
    os.environ |= {
        "RANK": str(number),
        "LOCAL_RANK": str(number),
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    found: dict[str, Any] = {}
    with launched() as told:
        processes = joined(told, Line(1).settings)
        note = Path(folder) / "prepared"
        with processes.in_turn():
            found["before"] = note.exists()
            note.touch()
        for accumulate in (1, 2, 4):
            found[f"curve {accumulate}"] = curve(accumulate, processes)
        processes.check_alike(3, {"seed": 1})
        # Last, as nothing can be noted by a process once the first has ended, whose store it is.
        found["any"] = [processes.any(number == 1), processes.any(False)]
    torch.save(found, Path(folder) / f"{number}.pt")


def fail(number: int, count: int, port: int, folder: str) -> None:
    """Be one of `count` processes, of which the second ends in its second step."""
    torch.set_num_threads(1)  # a forked process has no threads of its parent's to compute by
    os.environ |= {
        "RANK": str(number),
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    with launched() as told:
        processes = joined(told, Line(1).settings)
        processes.any(True)
        if number == 1:
            os._exit(9)
        try:
            processes.any(True)
        except TrainingError as error:
            (Path(folder) / "said").write_text(str(error))
