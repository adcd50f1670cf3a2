"""Rules that a prior cannot keep: which of them, exactly or by a fixed sample."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float64

from samplers.priors.prior import Prior
from samplers.priors.rules import Boxes, Rule
from samplers.priors.support import Part
from synthgen.errors import ConfigError

WHERE = "expressions.rules"
"""Key of the configuration that names rules."""

MIN_ACCEPTANCE = 0.01
"""Share of a part's vectors that the rules must leave."""

_PROBED = 1 << 14
"""Vectors of the fixed sample."""

_FEWEST = 400
"""Vectors of a part that are enough to estimate its acceptance; a rarer part is not judged."""


def refuse_conflicts(prior: Prior, rules: Sequence[Rule]) -> None:
    """Refuse rules that leave nothing, or too little, of a part of a prior.

    Raises:
        ConfigError: naming the part and a smallest set of rules that cannot be kept together, or
            that leaves less than one vector in a hundred.
    """
    parts = prior.parts()
    for part in parts:
        _refuse_impossible(part, [rule for rule in rules if rule.penalty == 1])
    kept, numbers = _probe(prior, rules)
    for number, part in enumerate(parts):
        _refuse_rare(part, rules, kept[numbers == number])


def _refuse_impossible(part: Part, rules: Sequence[Rule]) -> None:
    try:
        patterns = part.patterns(
            frozenset().union(*(rule.named(len(part.chances)) for rule in rules))
        )
    except ValueError as error:
        raise ConfigError(f"{WHERE}: {error}") from error
    if _possible(part, patterns, rules):
        return
    for chosen in _subsets(rules):
        if not _possible(part, patterns, chosen):
            raise ConfigError(
                f"{WHERE}: no vector of {part.name} keeps {_names(chosen)}; leave one out, "
                "give one a penalty, or change the prior"
            )


def _possible(part: Part, patterns: np.ndarray, rules: Sequence[Rule]) -> bool:
    low, high = (
        np.broadcast_to(part.low, patterns.shape),
        np.broadcast_to(part.high, patterns.shape),
    )
    boxes = Boxes(patterns.copy(), low.copy(), high.copy())
    for rule in rules:
        rule.narrow(boxes)
    return boxes.possible()


def _refuse_rare(
    part: Part, rules: Sequence[Rule], kept: Float64[np.ndarray, "rules rows"]
) -> None:
    if len(kept) < _FEWEST or kept.prod(axis=1).mean() >= MIN_ACCEPTANCE:
        return
    for chosen in _subsets(range(len(rules))):
        if (share := float(kept[:, chosen].prod(axis=1).mean())) < MIN_ACCEPTANCE:
            about = f"about {100 * share:.2f} %" if share else f"less than 1 in {len(kept)}"
            names = _names([rules[number] for number in chosen])
            raise ConfigError(
                f"{WHERE}: {names} leave {about} of the vectors of {part.name}; at least "
                f"{100 * MIN_ACCEPTANCE:.0f} % are needed, so leave one out, or change the prior"
            )


def _probe(
    prior: Prior, rules: Sequence[Rule]
) -> tuple[Float64[np.ndarray, "rows rules"], np.ndarray]:
    """Return how probably each rule lets each vector of a fixed sample pass, and its part."""
    strata = prior.strata(0, "train", 0, _PROBED)
    vectors = prior.vectors(0, "train", 0, strata)
    kept = [np.where(rule.broken(vectors), 1 - rule.penalty, 1.0) for rule in rules]
    return np.stack(kept, axis=1), prior.part_of(strata)


def _subsets(items: Sequence) -> list[tuple]:
    """Return the sets of some items, the smallest first."""
    sizes = range(1, len(items) + 1)
    return [chosen for size in sizes for chosen in combinations(items, size)]


def _names(rules: Sequence[Rule]) -> str:
    return " and ".join(f"{rule.text!r}" for rule in rules)
