"""The table of emotion prototypes: `emotions.yaml`, and what is refused of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from synthgen.errors import ConfigError
from synthgen.foreign import shown

WHERE = "expressions.categories"
"""Key of the configuration that names categories."""


@dataclass(frozen=True, slots=True)
class Prototype:
    """What shows one emotion category, in FACS.

    Attributes:
        name: the category.
        shown: prototype AUs among those of the run.
        lost: prototype AUs that an AU vector does not hold.
        variants: further AU among them → share of subjects who show it, in (0, 1).
        lost_variants: the same for AUs that an AU vector does not hold.
    """

    name: str
    shown: tuple[str, ...]
    lost: tuple[str, ...]
    variants: Mapping[str, float]
    lost_variants: Mapping[str, float]


@cache
def prototype_table() -> dict[str, Prototype]:
    """Return the categories of the table, in its order."""
    categories = _read()["categories"]
    return {name: _prototype(name, entry) for name, entry in categories.items()}


def choose_prototypes(names: Iterable[str], allow_ambiguous: bool) -> tuple[Prototype, ...]:
    """Look the categories of a configuration up.

    Args:
        names: categories.
        allow_ambiguous: allow categories whose prototypes are the same on the AUs.

    Raises:
        ConfigError: if a category is not in the table, cannot be shown by the AUs, or cannot be
            told from another one.
    """
    chosen = tuple(_find(name) for name in names)
    if not allow_ambiguous:
        refuse_ambiguous(chosen)
    return chosen


def ambiguous_groups(chosen: Iterable[Prototype]) -> tuple[tuple[Prototype, ...], ...]:
    """Return the prototypes that are the same on the AUs, in groups of two or more."""
    groups: dict[frozenset[str], list[Prototype]] = {}
    for prototype in chosen:
        groups.setdefault(frozenset(prototype.shown), []).append(prototype)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def refuse_ambiguous(chosen: Iterable[Prototype]) -> None:
    """Refuse prototypes that are the same on the AUs.

    Raises:
        ConfigError: naming the first two.
    """
    for one, other, *_ in ambiguous_groups(chosen):
        raise ConfigError(
            f"{WHERE}: {one.name!r} and {other.name!r} have the same prototype on the 12 AUs "
            f"({', '.join(one.shown)}); leave one out, or set allow_ambiguous: true"
        )


def _find(name: str) -> Prototype:
    table, impossible = prototype_table(), _read()["impossible"]
    if name in impossible:
        raise ConfigError(f"{WHERE}: {name!r} cannot be shown: {impossible[name]}")
    if name not in table:
        raise ConfigError(
            f"{WHERE}: unknown category {shown(name)}; those that exist: {', '.join(table)}"
        )
    return table[name]


def _prototype(name: str, entry: Mapping[str, Mapping]) -> Prototype:
    prototype, variants = entry["prototype"], entry["variants"]
    return Prototype(
        name=name,
        shown=tuple(prototype["shown"]),
        lost=tuple(prototype["lost"]),
        variants={au: percent / 100 for au, percent in variants["shown"].items()},
        lost_variants={au: percent / 100 for au, percent in variants["lost"].items()},
    )


@cache
def _read() -> dict[str, dict]:
    return yaml.safe_load(files("samplers.priors").joinpath("emotions.yaml").read_text("utf-8"))
