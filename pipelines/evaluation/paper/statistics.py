"""Figures of the paper's protocol, with intervals by a bootstrap over prompts.

All images of a prompt start from one noise and show one person: they are not independent, so that
prompts are drawn, each with all its images. An image without a face, and an AU that a judge does
not see, is NaN and left out; what was asked for is clipped to [0, 5].

Shapes: P prompts, C images with AUs of each, A the 12 AUs, L intensities above 0, R draws.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

from pipelines.evaluation.outside_statistics import RESAMPLES, Estimate
from pipelines.evaluation.statistics import spearman
from pipelines.libreface.check import judge as verdict_on
from pipelines.libreface.section import ActionUnitPolicy
from synthgen.action_units import AUS, MAX_INTENSITY, MIN_INTENSITY, ActionUnitSet
from synthgen.dataset.proportions import Proportion, clustered

_INTERVAL = (2.5, 97.5)  # percentiles

LEAST_SLOPE = 0.1
"""Cross-talk from which it is told [measured intensity per intensity asked for]."""

LEAST_SHARE = 0.05
"""Difference of two acceptance rates from which it is told."""

PerPrompt = Float[np.ndarray, "P k"]


@lru_cache(maxsize=4)
def draws(prompts: int, seed: int) -> Int[np.ndarray, "R P"]:
    """Return how often each prompt stands in each bootstrap draw; the first row is all, once."""
    drawn = np.random.default_rng(seed).multinomial(
        prompts, np.full(prompts, 1 / prompts), RESAMPLES
    )
    return np.concatenate([np.ones((1, prompts), np.int64), drawn])


def estimate(
    sums: PerPrompt,
    figure: Callable[[Float[np.ndarray, "rows k"]], Float[np.ndarray, " rows"]],
    seed: int,
) -> Estimate:
    """Return a figure that depends on sums over prompts alone, with its 95 % interval.

    Args:
        sums: the sums of each prompt.
        figure: from rows of total sums to the figure; NaN where there is none.
        seed: of the bootstrap.

    Returns:
        The figure; without an interval (NaN) where there are fewer than 2 prompts.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        found = figure(draws(len(sums), seed) @ sums)
    value, drawn = float(found[0]), found[1:][np.isfinite(found[1:])]
    if len(sums) < 2 or not np.isfinite(value) or not len(drawn):
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.percentile(drawn, _INTERVAL)
    return Estimate(value, float(low), float(high))


def mean_of(values: Float[np.ndarray, "P n"], seed: int) -> Estimate:
    """Return the mean over all prompts of what is not NaN."""
    there = np.isfinite(values)
    sums = np.stack([np.where(there, values, 0).sum(1), there.sum(1)], 1)
    return estimate(sums, lambda total: total[:, 0] / total[:, 1], seed)


def correlation_of(
    asked: Float[np.ndarray, "P n"], found: Float[np.ndarray, "P n"], seed: int
) -> Estimate:
    """Return Pearson's r of two quantities over all prompts, where neither is NaN."""
    return estimate(_moments(asked, found), _r, seed)


def slope_of(
    asked: Float[np.ndarray, "P n"], found: Float[np.ndarray, "P n"], seed: int
) -> Estimate:
    """Return the least-squares slope of `found` over `asked`."""
    return estimate(_moments(asked, found), _slope, seed)


def _moments(asked: Float[np.ndarray, "P n"], found: Float[np.ndarray, "P n"]) -> PerPrompt:
    there = np.isfinite(asked) & np.isfinite(found)
    x, y = np.where(there, asked, 0.0), np.where(there, found, 0.0)
    return np.stack([there.sum(1), x.sum(1), y.sum(1), (x * x).sum(1), (y * y).sum(1),
                     (x * y).sum(1)], 1)  # fmt: skip


def _r(total: Float[np.ndarray, "rows 6"]) -> Float[np.ndarray, " rows"]:
    n, x, y, xx, yy, xy = total.T
    spread_x, spread_y = n * xx - x * x, n * yy - y * y
    scale = np.sqrt(np.maximum(spread_x, 0) * np.maximum(spread_y, 0))
    return np.where(scale > 1e-9, (n * xy - x * y) / scale, np.nan)


def _slope(total: Float[np.ndarray, "rows 6"]) -> Float[np.ndarray, " rows"]:
    n, x, y, xx, _, xy = total.T
    spread = n * xx - x * x
    return np.where(spread > 1e-9, (n * xy - x * y) / spread, np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Readings of one judge in the images of a protocol.

    Attributes:
        levels: the intensities at which each AU is asked for alone, rising.
        neutral: readings of the neutral faces [0–5].
        singles: those of each AU alone, by AU and level.
        combined: those of the combinations.
        asked: AU vectors of the combinations, the same for all prompts.
        sees: the AUs that the judge sees; others are NaN.
    """

    levels: tuple[float, ...]
    neutral: Float[np.ndarray, "P A"]
    singles: Float[np.ndarray, "P A L A"]
    combined: Float[np.ndarray, "P K A"]
    asked: Float[np.ndarray, "K A"]
    sees: tuple[str, ...] = AUS

    @property
    def seen(self) -> Bool[np.ndarray, " A"]:
        """Mask of the AUs that the judge sees."""
        return np.isin(AUS, self.sees)

    def of(self, kind: str) -> tuple[Float[np.ndarray, "P C A"], Float[np.ndarray, "C A"]]:
        """Return the readings and the AU vectors asked for, of `singles` or `combined`."""
        if kind == "combined":
            return self.combined, self.asked
        prompts, count = len(self.neutral), len(AUS)
        asked = np.zeros((count, len(self.levels), count))
        for place in range(count):
            asked[place, :, place] = self.levels
        return self.singles.reshape(prompts, -1, count), asked.reshape(-1, count)

    def faceless(self) -> int:
        """Return the number of images with AUs in which no face was found."""
        return sum(int(np.isnan(self.of(kind)[0][..., self.seen]).all(-1).sum())
                   for kind in ("singles", "combined"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Distance of measured AUs from those asked for.

    Attributes:
        mse_sum: squared error, summed over the AUs that the judge sees (Eq. 3 of the paper).
        mse_mean: the same, mean over these AUs.
        mae_asked: mean absolute error over the AUs asked for.
        mae_unasked: mean absolute error over the others.
        r: correlation of asked and measured, over all AUs and images.
    """

    mse_sum: Estimate
    mse_mean: Estimate
    mae_asked: Estimate
    mae_unasked: Estimate
    r: Estimate


def accuracy(found: Measured, kind: str, seed: int, neutral: bool = False) -> Accuracy:
    """Compare readings with what was asked for.

    Args:
        found: the readings.
        kind: `singles` or `combined`.
        seed: of the bootstrap.
        neutral: judge the neutral face of each prompt in place of its images: what doing nothing
            would give.
    """
    read, vectors = found.of(kind)
    seen = found.seen
    asked = np.broadcast_to(np.clip(vectors, MIN_INTENSITY, MAX_INTENSITY), read.shape)[..., seen]
    if neutral:
        read = np.broadcast_to(found.neutral[:, None], read.shape)
    read = read[..., seen].astype(np.float64)
    error = np.abs(read - asked)
    squares = error**2
    active, flat = asked != 0, (len(read), -1)
    return Accuracy(
        mse_sum=mean_of(squares.sum(-1), seed),
        mse_mean=mean_of(squares.mean(-1), seed),
        mae_asked=mean_of(np.where(active, error, np.nan).reshape(flat), seed),
        mae_unasked=mean_of(np.where(active, np.nan, error).reshape(flat), seed),
        r=correlation_of(asked.reshape(flat), read.reshape(flat), seed),
    )


@dataclass(frozen=True, slots=True)
class Response:
    """Response of one AU to its own intensity, asked for alone.

    Attributes:
        means: mean measured at 0 (the neutral face) and at each level.
        slope: measured intensity per intensity asked for; 1 is ideal.
        r: correlation of asked and measured.
        spearman: rank correlation of the intensity with the mean measured at it.
    """

    means: tuple[Estimate, ...]
    slope: Estimate
    r: Estimate
    spearman: float


def responses(found: Measured, seed: int) -> dict[str, Response]:
    """Follow each AU that the judge sees over its intensities."""
    asked = _sweep(found)
    result = {}
    for name in found.sees:
        place = AUS.index(name)
        own = _with_neutral(found, place, place)
        means = tuple(mean_of(own[:, [level]], seed) for level in range(own.shape[1]))
        result[name] = Response(
            means,
            slope_of(asked, own, seed),
            correlation_of(asked, own, seed),
            spearman([0.0, *found.levels], [mean.value for mean in means]),
        )
    return result


def cross_talk(found: Measured, seed: int) -> dict[str, dict[str, Estimate]]:
    """Return AU asked for → AU read → measured intensity of it per intensity asked for.

    Slopes over all levels and the neutral face; the diagonal is the AU's own response.
    """
    asked = _sweep(found)
    return {
        name: {
            other: slope_of(asked, _with_neutral(found, place, AUS.index(other)), seed)
            for other in found.sees
        }
        for place, name in enumerate(AUS)
    }


def _sweep(found: Measured) -> Float[np.ndarray, "P L1"]:
    return np.broadcast_to(
        np.array([0.0, *found.levels]), (len(found.neutral), len(found.levels) + 1)
    )


def _with_neutral(found: Measured, asked: int, read: int) -> Float[np.ndarray, "P L1"]:
    """Return what is read of an AU while another is asked for, the neutral face first."""
    own = found.singles[:, asked, :, read]
    return np.concatenate([found.neutral[:, [read]], own], axis=1).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Share of images that a policy keeps, of a group and of the others.

    Attributes:
        about: `AU`, or the trait.
        value: the AU, or the trait's value.
        kept: images of the group; its interval knows that images of a prompt go together.
        others: images of the other values.
    """

    about: str
    value: str
    kept: Proportion
    others: Proportion

    @property
    def name(self) -> str:
        """The group in words."""
        return self.value if self.about == "AU" else f"{self.about} {self.value}"

    @property
    def differs(self) -> bool:
        """True where it is told: intervals with nothing in common, and 5 points between them."""
        apart = abs(self.kept.share - self.others.share) >= LEAST_SHARE
        return apart and self.kept.differs_from(self.others)


def kept_images(
    found: Measured, policy: ActionUnitPolicy
) -> tuple[Bool[np.ndarray, "P C"], Float[np.ndarray, "C A"]]:
    """Return which images with AUs a policy keeps, and what they were asked for."""
    parts = [found.of(kind) for kind in ("singles", "combined")]
    read = np.concatenate([part[0] for part in parts], axis=1)
    asked = np.concatenate([part[1] for part in parts])
    places = np.flatnonzero(found.seen)
    names = ActionUnitSet.of(found.sees)
    kept = np.array(
        [
            [
                verdict_on(vector[places], row[places], int(there), policy, names).accepted
                for vector, row, there in zip(
                    asked, rows, np.isfinite(rows[:, places]).all(1), strict=True
                )
            ]
            for rows in read
        ],
        bool,
    ).reshape(read.shape[:2])
    return kept, asked


def acceptances(
    found: Measured, traits: Sequence[Mapping[str, str]], policy: ActionUnitPolicy
) -> list[Acceptance]:
    """Return what a policy keeps of all images, for each AU asked for, and for each trait's values.

    Args:
        found: the readings.
        traits: trait → value that each prompt names.
        policy: the bounds.
    """
    kept, asked = kept_images(found, policy)
    everything = np.ones(kept.shape, bool)
    result = [Acceptance("all", "", _share(kept, everything), Proportion(0, 0))]
    for name in found.sees:
        with_it = np.broadcast_to(asked[:, AUS.index(name)] != 0, kept.shape)
        result.append(Acceptance("AU", name, _share(kept, with_it), _share(kept, ~with_it)))
    for trait in dict.fromkeys(name for one in traits for name in one):
        said = np.array([one.get(trait, "") for one in traits], object)
        for value in dict.fromkeys(one for one in said if one):
            of_it = np.broadcast_to((said == value)[:, None], kept.shape)
            others = np.broadcast_to(((said != value) & (said != ""))[:, None], kept.shape)
            result.append(Acceptance(trait, value, _share(kept, of_it), _share(kept, others)))
    return result


def _share(kept: Bool[np.ndarray, "P C"], these: Bool[np.ndarray, "P C"]) -> Proportion:
    sizes, hits = these.sum(1), (kept & these).sum(1)
    there = sizes > 0
    return clustered(
        total=int(sizes.sum()),
        hits=int(hits.sum()),
        groups=int(there.sum()),
        squares=int((sizes**2).sum()),
        products=int((sizes * hits).sum()),
        hit_squares=int((hits**2).sum()),
    )
