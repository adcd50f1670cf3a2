"""Blends: two categories of the table in one face."""

from collections.abc import Mapping

from samplers.priors.prototypes import Prototype, prototype_table
from synthgen.action_units import AUS

_JOIN = "+"


def category_prototype(name: str) -> Prototype:
    """Return the prototype of a category of the table, or of a blend such as `happy+surprised`."""
    table = prototype_table()
    if name in table:
        return table[name]
    return blended(*(table[part] for part in name.split(_JOIN)))


def blended(one: Prototype, other: Prototype) -> Prototype:
    """Unite two categories.

    The prototype holds the AUs of both prototypes. A variant appears as often as if each category
    showed it by itself: 1 − (1 − p)(1 − q).
    """
    shown = {*one.shown, *other.shown}
    return Prototype(
        name=f"{one.name}{_JOIN}{other.name}",
        shown=tuple(au for au in AUS if au in shown),
        lost=tuple(dict.fromkeys((*one.lost, *other.lost))),
        variants=_either(one.variants, other.variants, shown),
        lost_variants=_either(one.lost_variants, other.lost_variants, {*one.lost, *other.lost}),
    )


def blend_scales(one: Prototype, other: Prototype, share: float) -> tuple[float, ...]:
    """Return the factor of the intensity of each AU (0, 1].

    The AUs of the category with the larger share have the factor 1, also where both have them; the
    others have the ratio of the shares.

    Args:
        one: the first category.
        other: the second category.
        share: share of the first (0, 1).
    """
    strong, weak = (one, other) if share >= 0.5 else (other, one)
    ratio = min(share, 1 - share) / max(share, 1 - share)
    full = {*strong.shown, *strong.variants}
    part = {*weak.shown, *weak.variants} - full
    return tuple(ratio if au in part else 1.0 for au in AUS)


def _either(
    one: Mapping[str, float], other: Mapping[str, float], shown: set[str]
) -> dict[str, float]:
    names = [name for name in dict.fromkeys((*one, *other)) if name not in shown]
    return {name: 1 - (1 - one.get(name, 0.0)) * (1 - other.get(name, 0.0)) for name in names}
