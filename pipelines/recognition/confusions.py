"""Confusions of recognisers: which pictures of a test they miss, by category, AU level and slot.

A picture is *missed* in so far as the recognisers of all seeds call it something else: by two of
three seeds, two thirds of a picture are missed. Intervals and tests are those of a bootstrap over
the people of the test, as images of a person are not independent.

Shapes: n pictures, C categories, S seeds, P people, m marks (properties that a picture has or not).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import norm

from pipelines.evaluation.outside_statistics import codes_of
from pipelines.recognition.examples import Face
from synthgen.config.quotas import LEVELS, describe_levels, intensity_levels

LEAST = 20
"""Pictures that a group must have, and those that it is compared with, for anything to be said."""

CUTS = (0, 2)
"""Levels of an AU behind which pictures of a category are parted: none or some, weak or strong."""

_SIDES = {
    describe_levels(frozenset(range(cut + 1, LEVELS))): describe_levels(frozenset(range(cut + 1)))
    for cut in CUTS
}
"""Levels above a cut → those below it."""

FALSE_DISCOVERIES = 0.1
"""Share of the groups called weak that may be so by chance (Benjamini & Hochberg, 1995)."""

RESAMPLES = 1000
"""Draws of people for an interval."""

_ERROR = (2.5, 97.5)  # percentiles
_MOSTLY = 2
"""Other categories that are named for one that is missed."""


@dataclass(frozen=True, slots=True)
class Missed:
    """Part of a group of pictures that is missed; NaN where there is too little to say.

    Attributes:
        pictures: pictures of the group.
        share: share of them that is missed.
        low: lower end of its 95 % interval.
        high: upper end.
    """

    pictures: int
    share: float
    low: float
    high: float

    @property
    def number(self) -> float:
        """Pictures that are missed."""
        return self.pictures * self.share


@dataclass(frozen=True, slots=True)
class CategoryConfusion:
    """One category of the test.

    Attributes:
        name: the category.
        missed: of its pictures.
        taken: pictures of other categories that are called so.
        mostly: what its pictures are called instead → share of them, the most frequent ones.
    """

    name: str
    missed: Missed
    taken: float
    mostly: Mapping[str, float]

    @property
    def confused(self) -> float:
        """Pictures confused with others: half of those missed, and half of those taken for it.

        Each picture that is called wrongly counts one half for what it shows and one half for what
        it is called, so that a category which others are taken for gets its share too.
        """
        return (self.missed.number + self.taken) / 2


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures of a category by the level of an AU, or of a slot's value, beside the others.

    Attributes:
        category: their category; None for a slot's value.
        au: the AU; None for a slot's value.
        levels: levels of the AU, as quotas write them; "" for a slot's value.
        slot: the slot; "" for levels.
        value: its value; "" for levels.
        missed: of the group.
        others: of the pictures that it is compared with: the category's at the other levels, or
            those of the slot's other values.
        chance: chance of so large a difference, up or down, where there is none.
        weak: whether more of the group than of the others is missed, and not by chance.
    """

    category: str | None
    au: str | None
    levels: str
    slot: str
    value: str
    missed: Missed
    others: Missed
    chance: float
    weak: bool = False

    @property
    def name(self) -> str:
        """The group for people to read: `happy, AU12 0-2`, or `skin 'dark'`."""
        if self.category is None:
            return f"{self.slot} {self.value!r}"
        return f"{self.category}, {self.au} {self.levels}"


@dataclass(frozen=True, slots=True)
class Confusions:
    """Everything that recognisers confuse in a test.

    Attributes:
        missed: of all pictures that show a category which was learned.
        categories: those of the test, in the order of the outputs.
        groups: groups of levels and slots of which something can be said.
    """

    missed: Missed
    categories: tuple[CategoryConfusion, ...]
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Mark:
    """Property of pictures: the group itself, those that it is compared with, and its names."""

    inside: Bool[np.ndarray, " n"]
    others: Bool[np.ndarray, " n"]
    category: str | None = None
    au: str | None = None
    levels: str = ""
    slot: str = ""
    value: str = ""


def find_confusions(
    faces: Sequence[Face],
    shown: Sequence[str | None],
    told: Float[np.ndarray, "S n C"],
    categories: Sequence[str],
    aus: Sequence[str],
    seed: int,
) -> Confusions:
    """Tell what recognisers of several seeds confuse.

    Args:
        faces: the pictures of the test.
        shown: their categories; those without one, or of one that nobody learned, are left out.
        told: probabilities.
        categories: names of the categories, in order.
        aus: the AUs of the faces' vectors; none where nobody knows them.
        seed: of the bootstrap.
    """
    kept = [n for n, name in enumerate(shown) if name in categories]
    names = [categories.index(str(shown[n])) for n in kept]
    truth = np.array(names, dtype=np.int64)
    called = told[:, kept].argmax(2)
    missed = (called != truth).mean(0)
    known = [faces[n] for n in kept]
    people = codes_of([face.person or face.name for face in known])
    present = [n for n in range(len(categories)) if (truth == n).any()]
    marks = list(_marks(known, truth, categories, aus))
    own = [truth == n for n in present]
    everything = np.ones(len(known), dtype=bool)
    masks = [everything, *own, *(m.inside for m in marks), *(m.others for m in marks)]
    found, drawn = _missed(masks, missed, people, seed)
    inside, others = 1 + len(own), 1 + len(own) + len(marks)
    groups = [
        Group(
            mark.category,
            mark.au,
            mark.levels,
            mark.slot,
            mark.value,
            found[inside + n],
            found[others + n],
            _chance(found[inside + n], found[others + n], drawn[inside + n] - drawn[others + n]),
        )
        for n, mark in enumerate(marks)
    ]
    return Confusions(
        missed=found[0],
        categories=tuple(
            CategoryConfusion(
                categories[number],
                found[1 + place],
                float(((called == number) & (truth != number)).mean(0).sum()),
                _mostly(called[:, own[place]], number, categories),
            )
            for place, number in enumerate(present)
        ),
        groups=tuple(_weighed(groups)),
    )


def _marks(
    faces: Sequence[Face], truth: Int[np.ndarray, " n"], categories: Sequence[str], aus
) -> Iterator[_Mark]:
    """Yield the groups of which there are enough pictures, and enough beside them."""
    yield from _level_marks(faces, truth, categories, aus)
    slots = sorted({slot for face in faces for slot, _ in face.slots})
    for slot in slots:
        values = np.array([dict(face.slots).get(slot) or "" for face in faces], dtype=object)
        known = np.array([slot in dict(face.slots) for face in faces])
        for value in sorted(set(values[known].tolist())):
            inside = known & (values == value)
            if _enough(inside, known & ~inside):
                yield _Mark(inside, known & ~inside, slot=slot, value=value)


def _level_marks(
    faces: Sequence[Face], truth: Int[np.ndarray, " n"], categories: Sequence[str], aus
) -> Iterator[_Mark]:
    known = np.array([face.aus is not None for face in faces])
    if not aus or not known.any():
        return
    blank = np.zeros(len(aus), np.float32)
    levels = intensity_levels(np.array([blank if f.aus is None else f.aus for f in faces]))
    for number, category in enumerate(categories):
        shows = known & (truth == number)
        seen = set()
        for place, au in enumerate(aus):
            for cut in CUTS:
                low = shows & (levels[:, place] <= cut)
                if not _enough(low, shows & ~low) or (au, low.tobytes()) in seen:
                    continue
                seen.add((au, low.tobytes()))  # where no level lies between two cuts they are one
                for inside, side in ((low, range(cut + 1)), (shows & ~low, range(cut + 1, LEVELS))):
                    text = describe_levels(frozenset(side))
                    yield _Mark(inside, shows & ~inside, category, au, text)


def _enough(one: Bool[np.ndarray, " n"], other: Bool[np.ndarray, " n"]) -> bool:
    return bool(one.sum() >= LEAST and other.sum() >= LEAST)


def _missed(
    masks: Sequence[Bool[np.ndarray, " n"]],
    missed: Float[np.ndarray, " n"],
    people: Int[np.ndarray, " n"],
    seed: int,
) -> tuple[list[Missed], Float[np.ndarray, "m draws"]]:
    """Return the share of each group that is missed, and the same of each draw of people."""
    count = int(people.max()) + 1 if len(people) else 0
    sizes = np.array([np.bincount(people, mask, count) for mask in masks])
    wrong = np.array([np.bincount(people, mask * missed, count) for mask in masks])
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(count, np.full(count, 1 / count), RESAMPLES).T.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = (wrong @ weights) / (sizes @ weights)
    found = []
    for number, mask in enumerate(masks):
        pictures, there = int(mask.sum()), drawn[number][np.isfinite(drawn[number])]
        share = float(wrong[number].sum() / pictures) if pictures else float("nan")
        low, high = np.percentile(there, _ERROR) if len(there) else (np.nan, np.nan)
        found.append(Missed(pictures, share, float(low), float(high)))
    return found, drawn


def _chance(one: Missed, other: Missed, drawn: Float[np.ndarray, " draws"]) -> float:
    """Return the two-sided chance of a difference, by the spread of its draws as a normal law."""
    drawn = drawn[np.isfinite(drawn)]
    spread = float(drawn.std()) if len(drawn) > 1 else 0.0
    difference = abs(one.share - other.share)
    if not spread:
        return 1.0
    return float(2 * norm.sf(difference / spread))


def _weighed(groups: Sequence[Group]) -> list[Group]:
    """Tell which groups are weak; both sides of a cut are one test, as is each slot's value."""
    chances: dict[tuple[object, ...], float] = {}
    for group in groups:
        chances.setdefault(_test_of(group), group.chance)
    ordered = sorted(chances.values())
    last = max(
        (n for n, p in enumerate(ordered, 1) if p <= FALSE_DISCOVERIES * n / len(ordered)),
        default=0,
    )
    limit = ordered[last - 1] if last else -1.0
    return [
        Group(
            **{name: getattr(group, name) for name in Group.__slots__ if name != "weak"},
            weak=group.chance <= limit and group.missed.share > group.others.share,
        )
        for group in groups
    ]


def _test_of(group: Group) -> tuple[object, ...]:
    below = _SIDES.get(group.levels, group.levels)
    return (group.category, group.au, below, group.slot, group.value)


def _mostly(
    called: Int[np.ndarray, "S n"], number: int, categories: Sequence[str]
) -> dict[str, float]:
    counts = np.bincount(called.reshape(-1), minlength=len(categories)).astype(np.float64)
    counts[number] = 0
    order = [n for n in np.argsort(-counts, kind="stable")[:_MOSTLY] if counts[n] > 0]
    return {str(categories[n]): float(counts[n] / called.size) for n in order}
