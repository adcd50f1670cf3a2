"""The reader of AUs learns to read them."""

import torch

from pipelines.training.diffusion.config import ReaderConfig
from pipelines.training.diffusion.latents import LabelledLatents
from pipelines.training.fineface.learner import AUReaderLearner
from pipelines.training.settings import Cycle

CPU = torch.device("cpu")
SHAPE = (4, 8, 8)


def test_it_learns_to_read_aus_from_latents() -> None:
    torch.set_num_threads(1)
    config = ReaderConfig(seed=1, cycles=(Cycle(steps=80, learning_rate=0.003),), channels=(8, 8))
    learner = AUReaderLearner(config, SHAPE, CPU, 12)
    draw = torch.Generator().manual_seed(3)
    places = torch.randn(12, *SHAPE, generator=draw)

    def batch(count: int) -> LabelledLatents:
        aus = 5 * torch.rand(count, 12, generator=draw)
        return LabelledLatents(
            torch.einsum("bk,kchw->bchw", aus / 5, places), aus, torch.arange(count)
        )

    for _ in range(80):
        learner.learn(batch(32))
    seen = batch(200)
    with torch.no_grad():
        read = learner.average(seen.latents)
    pairs = zip(read.T, seen.aus.T, strict=True)
    assert min(torch.corrcoef(torch.stack(pair))[0, 1].item() for pair in pairs) > 0.6
