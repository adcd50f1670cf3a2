"""Weights that a training starts from: tensors of another file, taken by name and shape.

Layers that both know are copied, layers of other shapes and names start fresh. Where a row of a
tensor stands for something of a name (an AU, a token), rows that both know may be copied alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.checkpoints import check_finite
from pipelines.weight_files import file_sha256
from synthgen.errors import WeightsError
from synthgen.foreign import excerpt

RowPairs = Sequence[tuple[int, int]]
"""Pairs of rows that stand for the same: the network's own first, then the file's."""

LEAST = 0.5
"""Share of a network's numbers that a file must hold by default."""


@dataclass(frozen=True, slots=True)
class Start:
    """Share of a network that was taken from a file before it began to learn.

    Attributes:
        sha256: checksum of the file.
        taken: numbers that were copied.
        numbers: numbers that the network has.
        grown: tensor of which rows were copied → how many.
        new: tensors that start fresh.
    """

    sha256: str
    taken: int
    numbers: int
    grown: Mapping[str, int] = field(default_factory=dict)
    new: tuple[str, ...] = ()

    def facts(self) -> dict[str, str]:
        """Return the checksum: the weights are a function of it."""
        return {"init_sha256": self.sha256}

    def summary(self) -> dict[str, Any]:
        """Return for a card what was taken and what is new."""
        return {
            "sha256": self.sha256,
            "numbers_taken": self.taken,
            "numbers": self.numbers,
            "rows_taken": dict(self.grown),
            "new": list(self.new),
        }


@torch.no_grad()
def start_from(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    file: Path,
    rows: Mapping[str, RowPairs] | None = None,
    least: float = LEAST,
) -> Start:
    """Copy into a network what a file holds of it.

    Args:
        network: the network, freshly drawn; nothing is changed if the file is refused.
        tensors: the file's tensors by name, as the network would call them.
        file: the file: its checksum is taken, and the error names it.
        rows: tensor → rows that both know; of these tensors those rows alone are copied.
        least: share of the network's numbers that must come from the file [0, 1].

    Raises:
        WeightsError: if the file holds less than that of the network, or a number that is not
            finite.
    """
    known = rows or {}
    own = network.state_dict()
    whole = [name for name in own if name not in known and _fits(own[name], tensors.get(name))]
    grown = {
        name: pairs
        for name, pairs in known.items()
        if name in own and pairs and _fits(own[name][0], _first_row(tensors.get(name)))
    }
    taken = sum(own[name].numel() for name in whole)
    taken += sum(len(pairs) * own[name][0].numel() for name, pairs in grown.items())
    numbers = sum(value.numel() for value in own.values())
    if taken < least * numbers:
        raise WeightsError(_refusal(own, tensors, whole, file, taken, least))
    for name in (*whole, *grown):
        check_finite(tensors[name], name, str(file))
    for name in whole:
        own[name].copy_(tensors[name])
    for name, pairs in grown.items():
        here, there = (list(places) for places in zip(*pairs, strict=True))
        own[name][here] = tensors[name][there].to(own[name].dtype)
    return Start(
        sha256=file_sha256(file),
        taken=taken,
        numbers=numbers,
        grown={name: len(pairs) for name, pairs in grown.items()},
        new=tuple(name for name in own if name not in whole and name not in grown),
    )


def same_rows(here: Sequence[str], there: Sequence[str]) -> RowPairs:
    """Return the rows that stand for the same names in a network and in a file."""
    return [(place, there.index(name)) for place, name in enumerate(here) if name in there]


def _fits(own: Tensor, found: Tensor | None) -> bool:
    return (
        found is not None
        and found.shape == own.shape
        and found.is_floating_point() == own.is_floating_point()
    )


def _first_row(found: Tensor | None) -> Tensor | None:
    return found[0] if found is not None and found.ndim and len(found) else None


def _refusal(
    own: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    whole: Sequence[str],
    file: Path,
    taken: int,
    least: float,
) -> str:
    name = next(name for name in own if name not in whole)
    found = f"{list(tensors[name].shape)} there" if name in tensors else "missing there"
    numbers = sum(value.numel() for value in own.values())
    return (
        f"{excerpt(file)} does not fit as a start: it holds {taken:,} of the network's "
        f"{numbers:,} numbers in layers of equal name and shape, at least {least:.0%} are needed; "
        f"the first other layer is {name}, {list(own[name].shape)} here and {found}"
    )
