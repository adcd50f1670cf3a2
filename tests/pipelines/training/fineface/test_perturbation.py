import torch

from pipelines.training.fineface.config import Smoothing
from pipelines.training.fineface.learner import perturb


def test_noise_has_the_asked_variance_and_no_mean() -> None:
    torch.manual_seed(0)
    aus = torch.full((20_000, 12), 2.5)
    added = perturb(aus, Smoothing(variance=0.2, rounding=0)) - aus
    assert abs(added.var().item() - 0.2) < 0.003
    assert abs(added.mean().item()) < 0.003


def test_what_leaves_the_scale_is_clipped() -> None:
    torch.manual_seed(0)
    aus = torch.tensor([0.0, 5.0]).repeat(5000, 6)
    found = perturb(aus, Smoothing(variance=0.2, rounding=0))
    assert (found.min().item(), found.max().item()) == (0.0, 5.0)
    for value in (0.0, 5.0):
        share = (found[aus == value] == value).float().mean().item()
        assert abs(share - 0.5) < 0.01


def test_a_sample_is_rounded_whole_or_not_at_all() -> None:
    torch.manual_seed(0)
    found = perturb(torch.full((20_000, 12), 2.5), Smoothing(variance=0.2, rounding=0.2))
    whole = found == found.round()
    assert abs(whole.all(1).float().mean().item() - 0.2) < 0.01
    assert not (whole.any(1) & ~whole.all(1)).any()


def test_rounding_decides_no_noise() -> None:
    aus = torch.full((100, 12), 2.5)
    torch.manual_seed(0)
    smooth = perturb(aus, Smoothing(rounding=0))
    torch.manual_seed(0)
    some = perturb(aus, Smoothing(rounding=0.5))
    assert torch.equal(
        some, torch.where((some == smooth).all(1, keepdim=True), smooth, smooth.round())
    )


def test_without_smoothing_labels_stay() -> None:
    aus = 5 * torch.rand(50, 12)
    assert torch.equal(perturb(aus, Smoothing(variance=0, rounding=0)), aus)
