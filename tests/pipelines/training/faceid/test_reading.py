"""People are learned to be read from latents, and what is read counts where they are shown."""

import pytest
import torch
from torch.nn.functional import cosine_similarity, normalize

from pipelines.training.diffusion.config import ReaderConfig
from pipelines.training.diffusion.loss import Guess
from pipelines.training.diffusion.people import LabelledPeople, PeopleReaderLearner, read_error
from pipelines.training.diffusion.reader import LatentReader
from pipelines.training.settings import Cycle

CPU = torch.device("cpu")
SHAPE = (4, 8, 8)


def test_it_learns_to_read_people_and_their_aus_where_the_data_have_them() -> None:
    torch.set_num_threads(1)
    config = ReaderConfig(seed=1, cycles=(Cycle(steps=80, learning_rate=0.003),), channels=(8, 8))
    learner = PeopleReaderLearner(config, SHAPE, CPU, 512 + 12)
    draw = torch.Generator().manual_seed(3)
    places = torch.randn(8, *SHAPE, generator=draw)
    people = torch.randn(4, 512, generator=draw)  # what each trait adds to an embedding

    def batch(count: int) -> LabelledPeople:
        traits, first = (torch.randn(count, n, generator=draw) for n in (4, 4))
        latents = torch.einsum("bk,kchw->bchw", torch.cat([traits, first], 1), places)
        aus = first.repeat(1, 3)
        aus[: count // 4] = torch.nan
        faces = normalize(traits @ people)
        faces[count // 2 : 3 * count // 4] = 0
        return LabelledPeople(latents / 3, aus, faces)

    for _ in range(80):
        found = learner.learn(batch(32))
        assert found["loss"] == pytest.approx(found["faces"] + found["aus"])
    seen = batch(200)
    with torch.no_grad():
        read = learner.average(seen.latents)
    alike = cosine_similarity(read[:, :512], seen.faces)[seen.faces.any(1)]
    assert alike.mean() > 0.8
    told = ~seen.aus.isnan().any(1)
    pair = torch.stack([read[told, 512], seen.aus[told, 0]])
    assert torch.corrcoef(pair)[0, 1] > 0.8


def test_the_error_is_weighted_by_signal_and_leaves_out_who_is_not_shown() -> None:
    torch.manual_seed(2)
    reader = LatentReader(SHAPE, (8, 16), 524).requires_grad_(False)
    latents = torch.randn(3, *SHAPE, requires_grad=True)
    faces, unknown = normalize(torch.randn(3, 512)), torch.full((3, 12), torch.nan)
    faces[2] = 0
    guess = Guess(latents, torch.tensor([0.5, 0.0, 1.0]))
    read = reader(latents)

    found = read_error(reader, guess, faces, unknown, aus_weight=0.0)
    found.total.backward()

    alike = cosine_similarity(read[0, :512], faces[0], dim=0).item()
    assert found.total.item() == pytest.approx(0.5 * (1 - alike) / 3)
    assert list(found.parts("read")) == ["read faces"]
    assert latents.grad is not None
    assert [bool(row.any()) for row in latents.grad] == [True, False, False]
    assert all(weight.grad is None for weight in reader.parameters())

    aus = torch.rand(3, 12)
    both = read_error(reader, guess, faces, aus, aus_weight=0.1)
    errors = (read[:, 512:] - aus).square().mean(1)
    of_aus = (errors[0] / 2 + errors[2]).item() / 3
    assert both.parts("read")["read AUs"].item() == pytest.approx(of_aus)
    assert both.total.item() == pytest.approx(found.total.item() + 0.1 * of_aus)
