"""Measures of a text encoder: what a word changes in the states that a UNet sees.

Captions of two people who differ in one trait, or in one AU, are told by the same choices, so that
they differ in the words for it alone. The *separation* of a word is the mean distance of the
states of such pairs, relative to that of the words for hair colours.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count, islice
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipelines.procedural import Identity, random_identity
from pipelines.procedural.vocabulary import TRAITS, traits_in
from pipelines.training.data.captions import Wording, told_by, wordings
from pipelines.training.data.contrasts import EXPRESSION
from pipelines.training.data.examples import HELD_OUT, Examples, first_rows
from synthgen.action_units import FACS, INTENSITY_WORDS, ActionUnitSet

States = Callable[[Sequence[str]], Float[Tensor, "n tokens width"]]
"""Captions → the states of a text encoder, float32."""

_AT_ONCE = 64
_PAIRS = 24
"""Pairs of captions that a word is measured on."""

_BEYOND = 2**39
"""First seed of the people who are told of, beyond those of the held-out pictures."""

_RIDGE = 1e-3


def states_of(encoder: nn.Module, tokenizer: Any) -> States:
    """Return the function of captions that gives the states of a text encoder."""
    device = next(encoder.parameters()).device

    @torch.inference_mode()
    def encoded(captions: Sequence[str]) -> Float[Tensor, "n tokens width"]:
        found = []
        for start in range(0, len(captions), _AT_ONCE):
            tokens = tokenizer(
                list(captions[start : start + _AT_ONCE]),
                padding="max_length",
                truncation=True,
                return_tensors="pt",
            )
            states = encoder(input_ids=tokens.input_ids.to(device)).last_hidden_state
            found.append(states.float().cpu())
        return torch.cat(found)

    return encoded


def measure_separation(
    encode: States, names: ActionUnitSet, pairs: int = _PAIRS
) -> dict[str, dict[str, float]]:
    """Measure the separation of each word that captions have for a trait or an AU.

    Args:
        encode: the text encoder.
        names: the AUs that captions may name.
        pairs: pairs of captions for each word.

    Returns:
        Trait, `AU` or `intensity` → word → separation; 1 is that of an average hair colour.
    """
    distances: dict[str, dict[str, float]] = {}
    for group, words in _words(names).items():
        distances[group] = {}
        for word, told in words.items():
            one, other = zip(*islice(told, pairs), strict=True)
            apart = (encode(one) - encode(other)).norm(dim=2).mean()
            distances[group][word] = float(apart)
    unit = float(np.mean(list(distances["hair"].values())))
    return {
        group: {word: value / unit for word, value in found.items()}
        for group, found in distances.items()
    }


def measure_readers(
    encode: States, examples: Examples, captions: int
) -> dict[str, dict[str, float]]:
    """Measure how well a linear reader finds what captions tell in the states.

    It is fitted by ridge regression to three quarters of the captions that tell a trait, and
    measured on the others.

    Args:
        encode: the text encoder.
        examples: whose captions are read.
        captions: number of captions.

    Returns:
        `mean`, of the mean of all states, and `last`, of the last state alone: trait → share of
        captions whose value is read rightly; traits that few captions tell are not there.
    """
    texts = [examples.caption(row) for row in first_rows(examples, captions)]
    told, states = [traits_in(text) for text in texts], encode(texts)
    found: dict[str, dict[str, float]] = {}
    for name, features in (("mean", states.mean(1)), ("last", states[:, -1])):
        found[name] = {}
        for trait in wordings():
            rows = [row for row, traits in enumerate(told) if trait in traits]
            classes = torch.tensor([TRAITS[trait].index(told[row][trait]) for row in rows])
            if len(rows) >= 8 * len(TRAITS[trait]):
                found[name][trait] = _read(features[rows], classes)
    return found


def _read(features: Float[Tensor, "n width"], classes: Tensor) -> float:
    """Fit a linear reader to three quarters of the rows; return its hits among the others."""
    learned = 3 * len(features) // 4
    features = features.double()
    mean, spread = features[:learned].mean(0), features[:learned].std(0) + 1e-6
    inputs = nn.functional.pad((features - mean) / spread, (0, 1), value=1.0)
    wanted = nn.functional.one_hot(classes).double()
    known = inputs[:learned]
    gram = known.T @ known + _RIDGE * learned * torch.eye(known.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(gram, known.T @ wanted[:learned])
    hits = (inputs[learned:] @ weights).argmax(1) == classes[learned:]
    return float(hits.double().mean())


def states_text(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """Say what was measured: a line for each trait, and one for each reader."""
    lines = ["separation, of a hair colour's:"]
    for group, words in found["separation"].items():
        shown = ", ".join(f"{word} {value:.2f}" for word, value in words.items())
        lines.append(f"  {group}: {shown}")
    for name, traits in found["readers"].items():
        shown = ", ".join(f"{trait} {value:.3f}" for trait, value in traits.items())
        lines.append(f"linear reader of the {name} state: {shown}")
    return "\n".join(lines)


def _words(names: ActionUnitSet) -> dict[str, dict[str, Iterator[tuple[str, str]]]]:
    """Return group → word → pairs of captions without end, the first of which tells the word."""
    found: dict[str, dict[str, Iterator[tuple[str, str]]]] = {
        trait: {
            word: _trait_pairs(trait, value, word)
            for value, words in values.items()
            for word in words
        }
        for trait, values in wordings().items()
    }
    found["AU"] = {FACS[name]: _au_pairs(name, names) for name in names.names}
    found["intensity"] = {
        word: _intensity_pairs(level, names) for level, word in enumerate(INTENSITY_WORDS, 1)
    }
    return found


def _trait_pairs(trait: str, value: str, word: str) -> Iterator[tuple[str, str]]:
    others = [other for other in TRAITS[trait] if other != value]
    named = {trait, "hair", "no glasses"} if trait in {"hair_style", "glasses"} else {trait}
    for number in count():
        person = _teller(trait, number)
        one = replace(person, **{trait: value})
        other = replace(person, **{trait: others[number % len(others)]})
        seed = _BEYOND + number
        told = Wording(seed, apart=True, named=named, words={trait: word})
        pair = (
            told_by(told, one),
            told_by(Wording(seed, apart=True, named=named), other),
        )
        if traits_in(pair[0]).get(trait) == value and pair[0] != pair[1]:
            yield pair  # "boy" leaves out the word for an age


def _teller(trait: str, number: int) -> Identity:
    """Return a held-out person of whom a caption can tell a trait."""
    pinned = {
        "hair": {"hair_style": "short"},
        "beard": {"person": "man"},
        "person": {"beard": "none"},
    }.get(trait, {})
    return random_identity(HELD_OUT + _BEYOND + number, edition=2, even=True, **pinned)


def _au_pairs(name: str, names: ActionUnitSet) -> Iterator[tuple[str, str]]:
    others = [other for other in names.names if other != name]
    for number in count():
        yield _expression_pair(number, names, (name, 3), (others[number % len(others)], 3))


def _intensity_pairs(level: int, names: ActionUnitSet) -> Iterator[tuple[str, str]]:
    others = [other for other in range(1, 6) if other != level]
    for number in count():
        name = names.names[number % len(names)]
        yield _expression_pair(number, names, (name, level), (name, others[number % len(others)]))


def _expression_pair(number: int, names: ActionUnitSet, *shown: tuple[str, int]) -> tuple[str, str]:
    """Tell one person's expression twice: the AU and the intensity of each."""
    person, seed = _teller(EXPRESSION, number), _BEYOND + number
    one, other = (
        told_by(Wording(seed, apart=True, named={"facs"}), person, names.vector({au: level}), names)
        for au, level in shown
    )
    return one, other
