"""Aim of a round: which shares its images have, so that more of them show what was confused.

What is confused is a cell of category × AU level × slot value; what a configuration can ask for are
cells of category × AU level (`expressions.quotas.joint`) and shares of slot values
(`identities.quotas`), and their product. So a category gets a share of its own, may be parted once
more by one AU, and each slot is weighed over all expressions.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipelines.recognition.confusions import CategoryConfusion, Confusions, Group, Missed
from samplers.plan import Plan, build_plan
from samplers.priors import Prior, build_prior
from samplers.priors.prior import FIRST_SPLIT
from synthgen.config import RunConfig, parse_config
from synthgen.config.components import modules_of_the_working_folder
from synthgen.config.quotas import intensity_levels, parse_levels
from synthgen.dataset.markdown import percent
from synthgen.errors import ConfigError
from synthgen.foreign import counted

LEAST = 20
"""Pictures of a category that the test must have for its share to be moved."""

WEIGHT = 20.0
"""Confused pictures that the usual shares count for: few confusions move the shares little."""

_DRAWN = 20_000
_PLACES = 4  # decimals of a share


@dataclass(frozen=True, slots=True)
class CellAim:
    """Share of a cell of expressions.

    Attributes:
        category: its category.
        au: the AU that parts the category; None where none does.
        levels: levels of the AU; "" where none does.
        usual: share of the cell in the configuration as it is.
        share: share in the round.
        why: what was found in the test.
    """

    category: str
    au: str | None
    levels: str
    usual: float
    share: float
    why: str

    @property
    def name(self) -> str:
        """The cell for people to read."""
        return self.category if self.au is None else f"{self.category}, {self.au} {self.levels}"


@dataclass(frozen=True, slots=True)
class SlotAim:
    """Share of a slot's value among the identities; attributes as those of `CellAim`."""

    slot: str
    value: str
    usual: float
    share: float
    why: str


@dataclass(frozen=True, slots=True)
class Aim:
    """Shares of a round.

    Attributes:
        cells: cells of expressions; what is in none of them keeps its usual share.
        slots: values of slots.
        left_out: what is confused and cannot be asked for, with the reason.
    """

    cells: tuple[CellAim, ...]
    slots: tuple[SlotAim, ...] = ()
    left_out: tuple[str, ...] = ()

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Aim":
        """Read an aim from what `dataclasses.asdict` made of it."""
        return cls(
            tuple(CellAim(**cell) for cell in data["cells"]),
            tuple(SlotAim(**slot) for slot in data["slots"]),
            tuple(data["left_out"]),
        )


def check_can_aim(config: RunConfig) -> None:
    """Refuse a configuration that cannot ask for shares of categories.

    Raises:
        ConfigError: with the reason.
    """
    prior = build_prior(config.expressions)
    if len(prior.categories) < 2:
        raise ConfigError(
            f"expressions.prior is {config.expressions.prior!r} with "
            f"{counted(len(prior.categories), 'category', 'categories')}; `improve` moves shares "
            "of categories, so take a prior with two at least, such as emotions"
        )
    usual = _Usual.of(prior)
    cells = [
        CellAim(name, None, "", share, share, "")
        for name, share in usual.categories().items()
        if share
    ]
    try:
        build_plan(with_aim(config, Aim(tuple(cells))))
    except ConfigError as error:
        raise ConfigError(
            f"`improve` asks for what is confused by quotas of expressions, which this "
            f"configuration cannot have: {error}"
        ) from error


def aim_at(confusions: Confusions, config: RunConfig, focus: float) -> Aim | None:
    """Choose the shares of the next round.

    A share moves from the usual one towards the share that the cell has in all that is confused:

        share = (1 − focus) · usual + focus · (confused + w · usual) / (all confused + w)

    where `w` is `WEIGHT` pictures. For categories, *confused* is half of the pictures that are
    missed and half of those taken for it, so that both sides of a confusion get more images and
    none is called more often for having more. A category is parted by the AU whose level tells
    best which of its pictures are missed, where that is no chance; slots likewise. For these the
    pictures are counted as if the test had the usual shares.

    Args:
        confusions: what was found in the test.
        config: the configuration as it is.
        focus: part of the images that goes where confusions are (0, 1].

    Returns:
        The shares; None where nothing is confused, or of nothing there is enough to say.
    """
    usual = _Usual.of(build_prior(config.expressions))
    shares = {name: share for name, share in usual.categories().items() if share}
    told = {c.name: c for c in confusions.categories if c.name in shares}
    told = {name: c for name, c in told.items() if c.missed.pictures >= LEAST}
    confused = {name: c.confused for name, c in told.items()}
    if len(told) < 2 or not sum(confused.values()):
        return None
    moved = shifted(shares, confused, focus)
    parted = sorted(_best_parts(confusions.groups, told, usual), key=lambda group: group.chance)
    left_out: list[str] = []
    while True:
        cells = tuple(_cells(shares, moved, told, parted, usual, focus))
        try:
            before = build_plan(with_aim(config, Aim(cells)))
            break
        except ConfigError as error:
            if not parted:
                raise
            left_out.append(f"{parted.pop().name}: {error}")
    slots, unable = _slot_aims(confusions.groups, config, Aim(cells), before, focus)
    return Aim(cells, slots, (*left_out, *unable))


def with_aim(config: RunConfig, aim: Aim, **changes: Any) -> RunConfig:
    """Return a configuration with the shares of an aim in place of its own quotas.

    Args:
        config: the configuration.
        aim: the shares.
        changes: further keys of the top level; `output` is a mapping of the keys that change.

    Raises:
        ConfigError: if they cannot be.
    """
    data = config.model_dump(mode="json")
    joint = []
    for cell in aim.cells:
        aus = {} if cell.au is None else {"aus": {cell.au: cell.levels}}
        joint.append({"category": cell.category, **aus, "share": cell.share})
    if joint:
        data["expressions"]["quotas"] = {"joint": joint}
    if aim.slots:
        wanted: dict[str, dict[str, float]] = {k: dict(v) for k, v in _own_quotas(config).items()}
        for slot in aim.slots:
            wanted.setdefault(slot.slot, {})
        for name in {slot.slot for slot in aim.slots}:
            wanted[name] = {s.value: s.share for s in aim.slots if s.slot == name}
        section = config.identities.with_slot_shares(wanted)
        if section is None:
            raise ConfigError(f"identities.source {config.identities.source!r} has no quotas")
        data["identities"] = section.model_dump(mode="json")
    data["output"] = {**data["output"], **changes.pop("output", {})}
    with modules_of_the_working_folder():
        return parse_config({**data, **changes}, "the round's configuration")


def shifted(
    usual: Mapping[str, float], confused: Mapping[str, float], focus: float
) -> dict[str, float]:
    """Move shares towards what is confused; see `aim_at`.

    Args:
        usual: name → usual share.
        confused: name → confused pictures, of the names that something is known of; the others
            keep their shares.
        focus: part that moves (0, 1].

    Returns:
        Name → share; they add up to what the usual ones do.
    """
    mass = sum(usual[name] for name in confused)
    total = sum(confused.values()) + WEIGHT
    moved = dict(usual)
    for name, number in confused.items():
        part = (number + WEIGHT * usual[name] / mass) / total
        moved[name] = (1 - focus) * usual[name] + focus * mass * part
    return moved


@dataclass(frozen=True, slots=True, eq=False)
class _Usual:
    """A fixed draw of the configuration's prior.

    Attributes:
        prior: the prior.
        labels: category number of each draw, that after the last for none.
        levels: level of each AU, [draws, aus].
    """

    prior: Prior
    labels: np.ndarray
    levels: np.ndarray

    @classmethod
    def of(cls, prior: Prior) -> "_Usual":
        strata = prior.strata(0, FIRST_SPLIT, 0, _DRAWN)
        vectors = prior.vectors(0, FIRST_SPLIT, 0, strata)
        known = [*prior.categories, None]
        kinds, kind = np.unique(strata, return_inverse=True)
        numbers = np.array([known.index(prior.category(int(one))) for one in kinds])
        return cls(prior, numbers[kind.reshape(-1)], intensity_levels(vectors))

    def categories(self) -> dict[str, float]:
        """Return the share of each category."""
        counts = np.bincount(self.labels, minlength=len(self.prior.categories) + 1)
        return {n: float(counts[i] / _DRAWN) for i, n in enumerate(self.prior.categories)}

    def inside(self, category: str, au: str, levels: str) -> float:
        """Return the share of a category in which an AU has some levels."""
        rows = self.levels[self.labels == self.prior.categories.index(category)]
        column = rows[:, self.prior.action_units.index(au)]
        return float(np.isin(column, list(parse_levels(levels))).mean())


def _best_parts(
    groups: Iterable[Group], told: Mapping[str, CategoryConfusion], usual: _Usual
) -> list[Group]:
    """Return for each category the weak group of levels that is the least likely by chance."""
    best: dict[str, Group] = {}
    for group in groups:
        if group.category is None or group.au is None or not group.weak:
            continue
        if group.category not in told or group.au not in usual.prior.action_units.names:
            continue
        if not 0 < usual.inside(group.category, group.au, group.levels) < 1:
            continue
        if group.category not in best or group.chance < best[group.category].chance:
            best[group.category] = group
    return list(best.values())


_OPPOSITE = {"0": "active", "active": "0", "0-2": "3-5", "3-5": "0-2"}


def _cells(
    shares: Mapping[str, float],
    moved: Mapping[str, float],
    told: Mapping[str, CategoryConfusion],
    parted: Sequence[Group],
    usual: _Usual,
    focus: float,
) -> list[CellAim]:
    parts = {group.category: group for group in parted}
    cells = []
    for name, share in shares.items():
        why = _category_why(told[name]) if name in told else "too few pictures to say"
        group = parts.get(name)
        if group is None or group.au is None:
            cells.append(CellAim(name, None, "", share, moved[name], why))
            continue
        part = usual.inside(name, group.au, group.levels)
        other = _OPPOSITE[group.levels]
        inner = shifted(
            {group.levels: part, other: 1 - part},
            _missed_as_usual(
                {group.levels: part, other: 1 - part},
                {group.levels: group.missed, other: group.others},
            ),
            focus,
        )
        for levels, fraction in ((group.levels, part), (other, 1 - part)):
            said = f"{why}; {_group_why(group)}" if levels == group.levels else why
            asked = moved[name] * inner[levels]
            cells.append(CellAim(name, group.au, levels, share * fraction, asked, said))
    written = _rounded([cell.share for cell in cells], sum(shares.values()))
    return [replace(cell, share=share) for cell, share in zip(cells, written, strict=True)]


def _slot_aims(
    groups: Sequence[Group], config: RunConfig, aim: Aim, before: Plan, focus: float
) -> tuple[tuple[SlotAim, ...], list[str]]:
    """Choose shares of slot values, and tell which weak ones cannot be asked for.

    A slot is left as it is where its quotas would cut people into splits another way: then who is
    tested by one round would be learned in the next.
    """
    weights = config.identities.weighted_slots()
    chances: dict[str, float] = {}
    for group in groups:
        if group.weak and group.slot in weights and group.value in weights[group.slot]:
            chances[group.slot] = min(group.chance, chances.get(group.slot, 1.0))
    found: tuple[SlotAim, ...] = ()
    left_out = []
    for slot in sorted(chances, key=lambda name: chances[name]):
        usual = _usual_values(config, slot)
        told = {g.value: g for g in groups if g.slot == slot and g.value in usual}
        missed = {value: group.missed for value, group in told.items()}
        moved = shifted(usual, _missed_as_usual(usual, missed), focus)
        written = _rounded(list(moved.values()), 1.0)
        more = tuple(
            SlotAim(slot, value, usual[value], share, _slot_why(told.get(value)))
            for value, share in zip(moved, written, strict=True)
        )
        try:
            plan = build_plan(with_aim(config, replace(aim, slots=(*found, *more))))
        except ConfigError as error:
            left_out.append(f"{slot}: {error}")
            continue
        if plan.identities.fingerprint() != before.identities.fingerprint():
            left_out.append(
                f"{slot}: its quotas would cut people into splits another way than the "
                "configuration does"
            )
            continue
        found = (*found, *more)
    return found, left_out


def _missed_as_usual(usual: Mapping[str, float], missed: Mapping[str, Missed]) -> dict[str, float]:
    """Return the pictures that would be missed of a test in which all have their usual shares.

    How often a level or a slot's value stands in the test says nothing of how hard it is.
    """
    mass = sum(usual[name] for name in missed)
    pictures = sum(one.pictures for one in missed.values())
    return {name: usual[name] / mass * pictures * one.share for name, one in missed.items()}


def _own_quotas(config: RunConfig) -> Mapping[str, Mapping[str, float]]:
    return config.identities.slot_shares()


def _usual_values(config: RunConfig, slot: str) -> dict[str, float]:
    """Return the share of each value of a slot, by its quota or else by its weights."""
    weights = config.identities.weighted_slots()[slot]
    total = sum(weights.values())
    usual = {value: weight / total for value, weight in weights.items()}
    named = _own_quotas(config).get(slot)
    if not named:
        return usual
    others = {value: share for value, share in usual.items() if value not in named}
    rest = max(0.0, 1 - sum(named.values()))
    return {
        value: named[value] if value in named else rest * share / sum(others.values())
        for value, share in usual.items()
    }


def _rounded(shares: Sequence[float], total: float) -> list[float]:
    """Round shares to what a person reads; none becomes 0, and their sum stays."""
    least = 10**-_PLACES
    written = [max(least, round(share, _PLACES)) for share in shares]
    largest = max(range(len(written)), key=lambda n: written[n])
    gap = round(total, _PLACES) - sum(written)
    written[largest] = round(written[largest] + gap, _PLACES)
    return written


def _category_why(found: CategoryConfusion) -> str:
    missed = found.missed
    called = ", ".join(f"{name} {percent(share)}" for name, share in found.mostly.items())
    return (
        f"{percent(missed.share)} of {counted(missed.pictures, 'picture')} missed "
        f"({percent(missed.low)} to {percent(missed.high)}"
        f"{f'; called {called}' if called else ''}), {found.taken:.0f} others taken for it"
    )


def _group_why(group: Group) -> str:
    return (
        f"with {group.au} {group.levels} {percent(group.missed.share)} of "
        f"{group.missed.pictures} missed, else {percent(group.others.share)} of "
        f"{group.others.pictures}"
    )


def _slot_why(group: Group | None) -> str:
    if group is None:
        return "too few pictures to say"
    return (
        f"{percent(group.missed.share)} of {counted(group.missed.pictures, 'picture')} missed "
        f"({percent(group.missed.low)} to {percent(group.missed.high)})"
    )
