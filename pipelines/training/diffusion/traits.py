"""Traits that captions tell, read from guessed latents: a second loss of the base.

A diffusion loss hardly minds a missing pair of glasses: few pixels. So a small network learns to
read the traits of drawn people from latents, and the base learns that its guess shows each trait
that the caption tells.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from pipelines.procedural.vocabulary import TRAITS, traits_in
from pipelines.training.data.examples import ProceduralExamples
from pipelines.training.data.portraits import NOT_SHOWN, trait_classes, trait_losses
from pipelines.training.diffusion.config import ReaderConfig
from pipelines.training.diffusion.latents import LatentStore
from pipelines.training.diffusion.loss import Guess
from pipelines.training.diffusion.reader import (
    LatentReader,
    ReaderLearner,
    read_guess,
    trained_reader,
)
from pipelines.training.provenance import training_fingerprint

_VALUES = [len(values) for values in TRAITS.values()]


class ToldBatch(NamedTuple):
    """Examples as the base sees them, and the traits that their captions tell.

    Attributes:
        latents: scaled, float32 [B, c, h, w].
        input_ids: tokens of the captions, int64 [B, L].
        aus: AU intensities [0–5], float32 [B, aus].
        told: class of each trait of `TRAITS`; `NOT_SHOWN` where the caption does not tell it.
    """

    latents: Float[Tensor, "B c h w"]
    input_ids: Int[Tensor, "B L"]
    aus: Float[Tensor, "B aus"]
    told: Int[Tensor, "B traits"]


class LabelledTraits(NamedTuple):
    """Examples as what reads traits from latents sees them.

    Attributes:
        latents: scaled, float32 [B, c, h, w].
        traits: class of each trait of `TRAITS`; `NOT_SHOWN` where it cannot be seen.
    """

    latents: Float[Tensor, "B c h w"]
    traits: Int[Tensor, "B traits"]


_UNTOLD = {"beard": "none", "glasses": "no"}


def told_batches(
    store: LatentStore, first: int, last: int, *, untold: bool = False
) -> Iterator[ToldBatch]:
    """Yield the batches of steps `first` to `last`; each is a function of its step alone.

    Args:
        store: the examples.
        first: first step.
        last: step to end before.
        untold: count no beard and no glasses as told where a caption that is not empty tells none.
    """
    for step, batch in zip(range(first, last), store.batches(first, last), strict=True):
        named = [
            {**(_UNTOLD if untold and caption else {}), **traits_in(caption)}
            for caption in store.captions(step)
        ]
        yield ToldBatch(*batch, torch.tensor([told_classes(each) for each in named]))


def told_classes(named: Mapping[str, str]) -> list[int]:
    """Return the class of each trait: the place of the value that is named for it."""
    return [
        values.index(named[trait]) if trait in named else NOT_SHOWN
        for trait, values in TRAITS.items()
    ]


class TraitReaderLearner(ReaderLearner):
    """Learns to read the traits of drawn people."""

    def errors(self, read: Float[Tensor, "B values"], batch: LabelledTraits) -> dict[str, Tensor]:
        """Return the cross-entropy of the traits, and its mean over them as what is learned."""
        losses = trait_losses(by_trait(read), batch.traits)
        return {"loss": torch.stack([*losses.values()]).mean(), **losses}


def by_trait(read: Float[Tensor, "B values"]) -> dict[str, Float[Tensor, "B own"]]:
    """Part what was read: trait → logits of its values."""
    return dict(zip(TRAITS, read.split(_VALUES, 1), strict=True))


def trait_reader(
    config: ReaderConfig, store: LatentStore, examples: ProceduralExamples, device: torch.device
) -> LatentReader:
    """Return a reader of the traits in a store's latents; goes on by itself, and is kept there.

    Args:
        config: how it is learned.
        store: the latents.
        examples: who they show.
        device: torch device.

    Raises:
        OutputError: if the store holds a reader of another configuration.
        TrainingError: if the loss is not finite.
    """

    def batches(first: int, last: int) -> Iterator[LabelledTraits]:
        for latents, _, rows in store.labelled(first, last, config.batch_size, config.seed):
            classes = [trait_classes(examples.identity(row), TRAITS) for row in rows.tolist()]
            yield LabelledTraits(latents, torch.tensor(classes))

    return trained_reader(
        TraitReaderLearner(config, store.shape, device, sum(_VALUES)),
        Path(store.folder) / "traits",
        training_fingerprint(config, latents=store.made_of),
        batches,
    )


def told_error(reader: LatentReader | None, guess: Guess, told: Int[Tensor, "B traits"]) -> Tensor:
    """Return the cross-entropy of the traits that captions tell, read from guessed latents.

    Args:
        reader: reads traits; its weights do not learn.
        guess: guessed latents. Each counts as the share of the signal's amplitude in what the
            model saw: a guess from noise alone is a mean of many faces.
        told: class of each trait; `NOT_SHOWN` where the caption does not tell it.

    Raises:
        ValueError: if the training was made without a reader.
    """
    logits = by_trait(read_guess(reader, guess))
    weights = guess.signal.sqrt()
    errors = [
        functional.cross_entropy(found, told[:, i], ignore_index=NOT_SHOWN, reduction="none")
        for i, found in enumerate(logits.values())
    ]
    shown = (told != NOT_SHOWN).sum().clamp(min=1)
    return (torch.stack(errors, 1).sum(1) * weights).sum() / shown
