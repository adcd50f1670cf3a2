"""Portraits whose AUs and traits are learned and measured together.

Shapes: B batch.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL.Image import Image
from torch import Tensor
from torch.nn import functional

from pipelines.procedural import Identity
from pipelines.procedural.vocabulary import TRAITS

SIZE = 128
"""Side of a portrait [pixels]."""

NOT_SHOWN = -100
"""Class of a trait that cannot be seen, such as the colour of no hair."""

_SMOOTHING = 0.02


class Portraits(NamedTuple):
    """Portraits to learn from; without the batch axis, one of them.

    Attributes:
        pixels: RGB [0–255].
        aus: AU intensities [0–5].
        traits: class of each trait that is learned; `NOT_SHOWN` where it cannot be seen.
    """

    pixels: UInt8[Tensor, "*B 3 128 128"]
    aus: Float[Tensor, "*B aus"]
    traits: Int[Tensor, "*B traits"]


def portrait(
    picture: Image, identity: Identity, aus: Float[np.ndarray, " aus"], traits: Iterable[str]
) -> Portraits:
    """Make a portrait to learn from of a picture.

    Args:
        picture: RGB, 128×128.
        identity: the person shown.
        aus: the AUs shown.
        traits: traits to learn, in their order.
    """
    return Portraits(
        torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous(),
        torch.from_numpy(aus),
        torch.tensor(trait_classes(identity, traits)),
    )


def trait_classes(identity: Identity, traits: Iterable[str]) -> list[int]:
    """Return the class of each trait: the place of its value in `vocabulary.TRAITS`."""
    return [
        NOT_SHOWN
        if trait == "hair" and identity.hair_style == "bald"
        else TRAITS[trait].index(identity.traits[trait])
        for trait in traits
    ]


def trait_losses(
    logits: Mapping[str, Float[Tensor, "B values"]], classes: Int[Tensor, "B traits"]
) -> dict[str, Tensor]:
    """Return the cross-entropy of each trait, over the portraits that show it.

    Args:
        logits: trait → logits of its values, in the order of the classes' columns.
        classes: class of each trait.
    """
    losses = {}
    for place, (trait, found) in enumerate(logits.items()):
        shown = classes[:, place]
        total = functional.cross_entropy(
            found, shown, ignore_index=NOT_SHOWN, label_smoothing=_SMOOTHING, reduction="sum"
        )
        losses[trait] = total / (shown != NOT_SHOWN).sum().clamp(min=1)
    return losses


def read_rightly(
    found: Mapping[str, Float[Tensor, "B values"]], classes: Int[Tensor, "B traits"]
) -> Float[Tensor, "B traits"]:
    """Return 1 where a trait is read rightly, 0 where not, NaN where it cannot be seen.

    Args:
        found: trait → logits or probabilities of its values, in the order of the classes' columns.
        classes: class of each trait.
    """
    told = torch.stack([values.argmax(1) for values in found.values()], 1)
    return (told == classes).float().masked_fill(classes == NOT_SHOWN, float("nan"))


def rates(right: Float[Tensor, "n traits"], traits: Sequence[str]) -> dict[str, float]:
    """Return trait → share of the portraits that show it in which it is read rightly."""
    return dict(zip(traits, right.nanmean(0).tolist(), strict=True))
