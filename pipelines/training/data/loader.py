"""Batches of examples in an order that the seed and the step decide."""

import signal
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Int
from torch.utils.data import DataLoader, Dataset, default_collate

from samplers.randomness import uniforms
from synthgen.errors import SynthgenError


class Order:
    """Turns places of a training, 0, 1, 2, …, into examples.

    Examples without end come in their own order, each once. A number of examples is shuffled anew
    for each epoch, a function of (seed, epoch) alone.

    Args:
        count: number of examples; None: without end.
        seed: seed of the training.
        stage: name of the purpose.
    """

    def __init__(self, count: int | None, seed: int, stage: str) -> None:
        self._count, self._seed, self._stage = count, seed, stage
        self._epoch: int | None = None
        self._rows: Int[np.ndarray, " count"] = np.empty(0, np.int64)

    def __call__(self, place: int) -> tuple[int, int]:
        """Return the example that is learned from at a place, and the epoch."""
        if self._count is None:
            return place, 0
        epoch, within = divmod(place, self._count)
        if epoch != self._epoch:
            draws = uniforms(self._seed, f"{self._stage}/{epoch}", 0, self._count, 1)[:, 0]
            self._rows, self._epoch = np.argsort(draws, kind="stable"), epoch
        return int(self._rows[within]), epoch


_PREFETCH = 4


def load_batches(
    examples: Dataset[Any],
    places: Iterable[Iterable[Any]],
    workers: int,
    collate: Callable[[list[Any]], Any] | None = None,
) -> Iterator[Any]:
    """Yield batches in order.

    Args:
        examples: place → example; what it draws is a function of the place alone.
        places: the places of each batch.
        workers: processes that read; 0: this one.
        collate: makes a batch of a list of examples; None: as torch does.

    Raises:
        SynthgenError: the first that an example raises, as it was raised.
    """
    loader = DataLoader(
        _Guarded(examples),
        batch_sampler=_Once(places),
        num_workers=workers,
        prefetch_factor=_PREFETCH if workers else None,
        collate_fn=partial(_collated, collate),
        worker_init_fn=_ignore_interrupts,
    )
    for batch in loader:
        if isinstance(batch, SynthgenError):
            raise batch
        yield batch


def load_steps(
    examples: Dataset[Any], batch_size: int, first: int, last: int, workers: int
) -> Iterator[Any]:
    """Yield the batches of steps `first` to `last`: `load_batches` at `batch_places`."""
    return load_batches(examples, batch_places(batch_size, first, last), workers)


def batch_places(batch_size: int, first: int, last: int) -> Iterator[range]:
    """Yield the places of each batch of steps `first` to `last`: one after another from 0 on."""
    for step in range(first, last):
        yield range(step * batch_size, (step + 1) * batch_size)


class _Guarded(Dataset[Any]):
    """Returns the errors that a user can mend: torch would wrap them in a traceback."""

    def __init__(self, examples: Dataset[Any]) -> None:
        self._examples = examples

    def __getitem__(self, place: Any) -> Any:
        try:
            return self._examples[place]
        except SynthgenError as error:
            return error


class _Once:
    """The places of each batch, as a batch sampler."""

    def __init__(self, places: Iterable[Iterable[Any]]) -> None:
        self._places = places

    def __iter__(self) -> Iterator[list[Any]]:
        return map(list, self._places)


def _collated(collate: Callable[[list[Any]], Any] | None, examples: list[Any]) -> Any:
    faults = [example for example in examples if isinstance(example, SynthgenError)]
    if faults:
        return faults[0]
    return (collate or default_collate)(examples)


def _ignore_interrupts(_: int) -> None:
    """Leave Ctrl-C and SIGTERM to the training, which ends its readers when its step is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
