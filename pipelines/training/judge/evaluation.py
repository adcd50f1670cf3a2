"""How well a judge reads portraits that it never saw."""

import dataclasses

import torch
from torch.utils.data import DataLoader

from pipelines.evaluation.agreement import agreement
from pipelines.evaluation.judge_network import INPUT_SIDE, JUDGED_TRAITS, JudgeNetwork
from pipelines.training.data.augmentation import middle
from pipelines.training.judge.faces import NOT_SHOWN, HeldOutPortraits, Portraits

_AT_ONCE = 50


def evaluate_judge(network: JudgeNetwork, portraits: HeldOutPortraits) -> dict[str, object]:
    """Compare what a judge reads with what was drawn.

    Returns:
        `aus`: AU → its agreement; `traits`: trait → share of portraits read rightly.
    """
    drawn, read, right = [], [], []
    with torch.inference_mode():
        for batch in DataLoader(portraits, _AT_ONCE):
            found = network(middle(batch.pixels.float() / 255, INPUT_SIDE))
            drawn.append(batch.aus)
            read.append(found.aus)
            right.append(_right(found.traits, batch))
    aus = agreement(torch.cat(drawn).numpy(), torch.cat(read).numpy())
    shares = torch.cat(right).nanmean(0).tolist()
    return {
        "aus": {name: dataclasses.asdict(value) for name, value in aus.items()},
        "traits": dict(zip(JUDGED_TRAITS, shares, strict=True)),
    }


def _right(logits: dict[str, torch.Tensor], batch: Portraits) -> torch.Tensor:
    """Return 1 where a trait was read rightly, 0 where not, NaN where it is not shown."""
    columns = [
        (logits[trait].argmax(1) == batch.traits[:, place]).float()
        for place, trait in enumerate(JUDGED_TRAITS)
    ]
    return torch.stack(columns, 1).masked_fill(batch.traits == NOT_SHOWN, float("nan"))
