"""Prior `copula`: AUs with rates and intensities of their own, joined by a Gaussian copula."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from scipy.special import betaincinv, ndtr

from samplers.priors.au_sets import set_numbers
from samplers.priors.copula_section import BetaIntensity, CopulaKeys, Marginal
from samplers.priors.correlation import joint_probability, latent_matrix
from samplers.priors.latent_normals import SWEEPS, LatentNormals, bank_of
from samplers.priors.prior import ActiveSetsPrior, Part
from samplers.randomness import uniforms
from synthgen.action_units import DEFAULT_AUS, ActionUnitSet

LEVEL_BINS = {"A": (0.5, 1.5), "B": (1.5, 2.5), "C": (2.5, 3.5), "D": (3.5, 4.5), "E": (4.5, 5.0)}
"""Intensities of each FACS level."""

_BETA_PIECES = 1024
"""Pieces of a Beta's quantile function, finest at both ends."""

_HIGHEST = 1 - 2.0**-48
"""Largest probability that is still below 1 when an AU's number is added to it."""


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """A distribution as the pieces of its quantile function, each a straight line.

    Attributes:
        shares: probability of each piece; they add up to 1.
        starts: intensity at which each piece begins.
        stops: intensity at which it ends, not below its start.
    """

    shares: Float64[np.ndarray, " pieces"]
    starts: Float64[np.ndarray, " pieces"]
    stops: Float64[np.ndarray, " pieces"]

    @property
    def mean(self) -> float:
        """Mean intensity."""
        return float((self.shares * (self.starts + self.stops)).sum() / 2)


@dataclass(frozen=True, slots=True, eq=False)
class Intensities:
    """The quantile functions of the AUs, in one table.

    A piece of AU j stands at the place j + (its probabilities), so that one search finds the pieces
    of all AUs at once.

    Attributes:
        places: where each piece begins, in [0, aus).
        starts: intensity at its beginning.
        stops: intensity at its end.
        slopes: intensity per probability.
        means: mean intensity of each AU.
        lowest: lowest intensity of each AU.
        highest: highest intensity of each AU.
    """

    places: Float64[np.ndarray, " pieces"]
    starts: Float64[np.ndarray, " pieces"]
    stops: Float64[np.ndarray, " pieces"]
    slopes: Float64[np.ndarray, " pieces"]
    means: Float64[np.ndarray, " aus"]
    lowest: Float64[np.ndarray, " aus"]
    highest: Float64[np.ndarray, " aus"]

    @classmethod
    def join(cls, aus: list[Pieces]) -> "Intensities":
        """Join the distributions of the AUs."""
        before = [np.concatenate(([0.0], np.cumsum(au.shares)[:-1])) for au in aus]
        return cls(
            places=np.concatenate([number + place for number, place in enumerate(before)]),
            starts=np.concatenate([au.starts for au in aus]),
            stops=np.concatenate([au.stops for au in aus]),
            slopes=np.concatenate([(au.stops - au.starts) / au.shares for au in aus]),
            means=np.array([au.mean for au in aus]),
            lowest=np.array([au.starts[0] for au in aus]),
            highest=np.array([au.stops[-1] for au in aus]),
        )

    @classmethod
    def from_config(cls, marginals: dict[str, Marginal], aus: ActionUnitSet) -> "Intensities":
        """Take the distributions of a configuration; an AU that it does not name has any."""
        nobody = Marginal(rate=0.0)
        return cls.join([pieces(marginals.get(name, nobody)) for name in aus.names])

    def quantiles(
        self, aus: Int64[np.ndarray, " values"], levels: Float64[np.ndarray, " values"]
    ) -> Float64[np.ndarray, " values"]:
        """Return the intensities that AUs stay below with given probabilities.

        Args:
            aus: number of the AU of each value [0, aus).
            levels: probability of each value [0, 1].
        """
        places = aus + np.minimum(levels, _HIGHEST)
        piece = self.places.searchsorted(places, side="right") - 1
        values = self.starts[piece] + self.slopes[piece] * (places - self.places[piece])
        return np.minimum(values, self.stops[piece])


def pieces(marginal: Marginal) -> Pieces:
    """Turn what the configuration says of one AU into its quantile function.

    Levels, ranges and quantiles are exact. A Beta is exact at 1,025 probabilities and straight in
    between: its distribution function is met to 2e-6 for shapes from 0.5 to 1000, and to the width
    of a piece, at most 0.0016, for smaller ones.
    """
    if marginal.levels is not None:
        return _of_levels(marginal.levels.weights())
    if marginal.beta is not None:
        return _of_beta(marginal.beta)
    return _between(np.array(marginal.quantiles or marginal.ends()))


def _of_levels(weights: dict[str, float]) -> Pieces:
    used = [level for level in LEVEL_BINS if weights[level] > 0]
    shares = np.array([weights[level] for level in used])
    bins = np.array([LEVEL_BINS[level] for level in used])
    return Pieces(shares / shares.sum(), bins[:, 0], bins[:, 1])


def _of_beta(beta: BetaIntensity) -> Pieces:
    nodes = (1 - np.cos(np.pi * np.arange(_BETA_PIECES + 1) / _BETA_PIECES)) / 2
    nodes[-1] = 1.0
    values = beta.low + (beta.high - beta.low) * betaincinv(beta.a, beta.b, nodes)
    return Pieces(np.diff(nodes), values[:-1], values[1:])


def _between(values: Float64[np.ndarray, " nodes"]) -> Pieces:
    steps = len(values) - 1
    return Pieces(np.full(steps, 1 / steps), values[:-1], values[1:])


_KEPT = 16_384
"""Rows of normals that are kept at most until their vectors are asked for."""


class CopulaConfig(CopulaKeys):
    """AUs with marginals of their own, joined by a Gaussian copula."""

    prior: Literal["copula"]  # pyright: ignore[reportIncompatibleVariableOverride]

    def build(self) -> "CopulaPrior":
        """Build the prior.

        Raises:
            ConfigError: if what is asked of pairs of AUs cannot stand together.
        """
        return CopulaPrior.from_config(self)


@dataclass(frozen=True, slots=True, eq=False)
class CopulaPrior(ActiveSetsPrior):
    """A Gaussian copula over the AUs' marginals. A stratum is the set of active AUs.

    Standard normals z_1 … z_n have the correlation matrix R. AU j of rate p_j is active where
    z_j > Φ⁻¹(1 − p_j), and is then as strong as its intensity's quantile at
    (Φ(z_j) − (1 − p_j)) / p_j, which is uniform where the AU is active: so rates, joint
    probabilities and intensities are those asked for, exactly, and AUs that go together also rise
    together. With `tied` false, intensities are drawn by their marginals alone.

    A replacement draws z again given which AUs are active, by a Gibbs sampler that begins at the z
    of the sample itself: that is a draw from the conditional law, so the result is one too.

    Attributes:
        active_rates: p, probability of each AU [0, 1].
        correlation: R, positive definite.
        tied: intensities come from the same normals.
        intensities: quantile functions of the AUs' intensities where active.
        repairs: what the correlations that were asked for had to become, a sentence each.
        normals: factor and thresholds of z.
        action_units: the AUs of a vector.
    """

    active_rates: Float64[np.ndarray, " aus"]
    correlation: Float64[np.ndarray, "aus aus"]
    tied: bool
    intensities: Intensities
    repairs: tuple[str, ...] = ()
    normals: LatentNormals = field(init=False)
    action_units: ActionUnitSet = field(default=DEFAULT_AUS, kw_only=True)

    stage: ClassVar[str] = "expressions/active"

    def __post_init__(self) -> None:
        """Factor the correlation matrix."""
        normals = LatentNormals.build(self.correlation, self.active_rates)
        object.__setattr__(self, "normals", normals)

    @classmethod
    def from_config(cls, config: CopulaConfig) -> "CopulaPrior":
        """Build the prior of a configuration.

        Raises:
            ConfigError: if a pair cannot go together as asked with the rates of its AUs, or if the
                pairs cannot go together all at once but by a move larger than `max_repair`.
        """
        marginals = config.marginals
        rates = np.array(
            [marginals[au].rate if au in marginals else 0.0 for au in config.action_units]
        )
        correlation, repairs = latent_matrix(config, rates)
        return cls(
            active_rates=rates,
            correlation=correlation,
            tied=config.intensity_correlation == "latent",
            intensities=Intensities.from_config(marginals, config.au_set),
            repairs=repairs,
            action_units=config.au_set,
        )

    @property
    def set_width(self) -> int:
        """Uniforms that decide a set."""
        return len(self.active_rates)

    @property
    def width(self) -> int:
        """Uniforms that a vector takes where it is drawn for a stratum."""
        aus = len(self.active_rates)
        return 1 + aus * (1 + SWEEPS) if self.tied else aus

    def active(self, numbers: Float64[np.ndarray, "rows aus"]) -> Bool[np.ndarray, "rows aus"]:
        """Compare each AU's normal with its threshold."""
        _, mixed = self.normals.drawn(numbers)
        return np.ascontiguousarray(self.normals.active(mixed).T)

    def strata(self, seed: int, split: str, start: int, stop: int) -> Int64[np.ndarray, " rows"]:
        """Draw the set of active AUs of each position, bit i for AU i."""
        _, mixed = _drawn(self.normals, seed, split, start, stop)
        return set_numbers(self.normals.active(mixed).T)

    def vectors(
        self,
        seed: int,
        split: str,
        start: int,
        strata: Int64[np.ndarray, " rows"],
        replacement: int = 0,
    ) -> Float32[np.ndarray, "rows aus"]:
        """Draw the AU vectors of the positions from `start` of a split.

        Strata that `strata` gave for these positions bring the normals that they were drawn with;
        others are drawn as `draw` does.
        """
        if not self.tied:
            return self.draw(strata, self._numbers(seed, split, start, len(strata), replacement))
        independent, mixed = _drawn(self.normals, seed, split, start, start + len(strata))
        active, first = self.members(strata).T, self.normals.active(mixed)
        known = (first == active).all(axis=0)
        if replacement == 0 and known.all():
            return self._shown(mixed, active)
        numbers = self._numbers(seed, split, start, len(strata), replacement)
        begun = independent
        if not known.all():
            begun = np.where(known, independent, self._begin(strata, numbers))
        again = self._again(begun, active, numbers)
        return self._shown(np.where(known & (replacement == 0), mixed, again), active)

    def draw(
        self, strata: Int64[np.ndarray, " rows"], numbers: Float64[np.ndarray, "rows width"]
    ) -> Float32[np.ndarray, "rows aus"]:
        """Give each active AU an intensity.

        Where these are tied, the Gibbs sampler begins at one of 65,536 stored draws, by column 0,
        or at a sequential draw by a column for each AU where none has this set of active AUs; it
        goes on by the others.
        """
        active = self.members(strata).T
        if not self.tied:
            places = np.flatnonzero(active)
            levels = numbers[:, : len(self.active_rates)].T.ravel()[places]
            return self._vectors(len(strata), places, levels)
        return self._shown(self._again(self._begin(strata, numbers), active, numbers), active)

    def complete(
        self,
        strata: Int64[np.ndarray, " rows"],
        set_numbers: Float64[np.ndarray, "rows aus"],
        numbers: Float64[np.ndarray, "rows width"],
    ) -> Float32[np.ndarray, "rows aus"]:
        """Give each active AU the intensity of the normals that made it active."""
        if not self.tied:
            return self.draw(strata, numbers)
        _, mixed = self.normals.drawn(set_numbers)
        active = self.members(strata).T
        known = (self.normals.active(mixed) == active).all(axis=0)
        shown = self._shown(mixed, active)
        return shown if known.all() else np.where(known[:, None], shown, self.draw(strata, numbers))

    def parts(self) -> tuple[Part, ...]:
        """Return the whole: no share is fixed."""
        low, high = self.intensities.lowest, self.intensities.highest
        return (Part.of("this prior", self.active_rates, low, high),)

    def rates(self) -> Float64[np.ndarray, " aus"]:
        """Return the rates of the configuration."""
        return self.active_rates.copy()

    def joint(self) -> Float64[np.ndarray, "aus aus"]:
        """Return the exact share of samples in which each two AUs are active; rates as diagonal."""
        one, other = np.triu_indices(len(self.active_rates), 1)
        rates = self.active_rates
        joint = np.diag(rates)
        joint[one, other] = joint_probability(
            rates[one], rates[other], self.correlation[one, other]
        )
        joint[other, one] = joint[one, other]
        return joint

    def mean_intensities(self) -> Float64[np.ndarray, " aus"]:
        """Return the means of the AUs' intensities where active."""
        return self.intensities.means.copy()

    def notes(self) -> tuple[str, ...]:
        """Return what the correlations that were asked for had to become."""
        return self.repairs

    def _begin(
        self, strata: Int64[np.ndarray, " rows"], numbers: Float64[np.ndarray, "rows width"]
    ) -> Float64[np.ndarray, "aus rows"]:
        """Return normals with given active AUs, of the conditional law or near it."""
        stored, found = bank_of(self.normals).pick(strata, numbers[:, 0])
        if found.all():
            return stored
        made = self.normals.begin(
            self.members(strata).T, numbers[:, 1 : 1 + len(self.active_rates)].T
        )
        return np.where(found, stored, made)

    def _again(
        self,
        begun: Float64[np.ndarray, "aus rows"],
        active: Bool[np.ndarray, "aus rows"],
        numbers: Float64[np.ndarray, "rows width"],
    ) -> Float64[np.ndarray, "aus rows"]:
        again = self.normals.draw_again(begun, active, numbers[:, 1 + len(active) :].T)
        return self.normals.mix(again)

    def _shown(
        self, mixed: Float64[np.ndarray, "aus rows"], active: Bool[np.ndarray, "aus rows"]
    ) -> Float32[np.ndarray, "rows aus"]:
        """Read the intensities of active AUs off their normals, from the precise upper tail."""
        places = np.flatnonzero(active)
        aus = places // active.shape[1]
        above = ndtr(-mixed.ravel()[places]) / self.active_rates[aus]
        return self._vectors(active.shape[1], places, np.clip(1 - above, 0.0, 1.0))

    def _vectors(
        self,
        rows: int,
        places: Int64[np.ndarray, " values"],
        levels: Float64[np.ndarray, " values"],
    ) -> Float32[np.ndarray, "{rows} aus"]:
        """Return vectors with the quantiles of `levels` at `places` of the [aus, rows] table."""
        aus = len(self.active_rates)
        intensities = np.zeros(aus * rows, dtype=np.float32)
        intensities[places] = self.intensities.quantiles(places // rows, levels)
        return np.ascontiguousarray(intensities.reshape(aus, rows).T)


def _drawn(
    normals: LatentNormals, seed: int, split: str, start: int, stop: int
) -> tuple[Float64[np.ndarray, "aus rows"], Float64[np.ndarray, "aus rows"]]:
    """Return the normals of positions, independent and mixed; strata and vectors share them."""
    draw = _draw_kept if stop - start <= _KEPT else _draw_kept.__wrapped__
    return draw(normals, seed, split, start, stop)


@lru_cache(maxsize=2)
def _draw_kept(
    normals: LatentNormals, seed: int, split: str, start: int, stop: int
) -> tuple[Float64[np.ndarray, "aus rows"], Float64[np.ndarray, "aus rows"]]:
    stage = f"{CopulaPrior.stage}/{split}"
    independent, mixed = normals.drawn(uniforms(seed, stage, start, stop, len(normals.thresholds)))
    independent.flags.writeable = mixed.flags.writeable = False
    return independent, mixed
