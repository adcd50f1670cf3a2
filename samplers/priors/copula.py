"""Prior `copula`: AUs with rates and intensities of their own, joined by a Gaussian copula."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from scipy.special import ndtr

from samplers.priors.active_sets import ActiveSetsPrior
from samplers.priors.au_sets import set_numbers
from samplers.priors.dependence import latent_matrix
from samplers.priors.latent_normals import SWEEPS, LatentNormals
from samplers.priors.marginals import Intensities
from samplers.priors.normals_bank import bank_of
from samplers.priors.support import Part
from samplers.priors.tetrachoric import joint_probability
from samplers.randomness import uniforms
from synthgen.action_units import AU_COUNT, AUS
from synthgen.config import CopulaConfig

_KEPT = 16_384
"""Rows of normals that are kept at most until their vectors are asked for."""


@dataclass(frozen=True, slots=True, eq=False)
class CopulaPrior(ActiveSetsPrior):
    """A Gaussian copula over the AUs' marginals. A stratum is the set of active AUs.

    Standard normals z_1 … z_12 have the correlation matrix R. AU j of rate p_j is active where
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
    """

    active_rates: Float64[np.ndarray, " aus"]
    correlation: Float64[np.ndarray, "aus aus"]
    tied: bool
    intensities: Intensities
    repairs: tuple[str, ...] = ()
    normals: LatentNormals = field(init=False)

    stage: ClassVar[str] = "expressions/active"
    set_width: ClassVar[int] = AU_COUNT

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
        rates = np.array([marginals[au].rate if au in marginals else 0.0 for au in AUS])
        correlation, repairs = latent_matrix(config, rates)
        return cls(
            active_rates=rates,
            correlation=correlation,
            tied=config.intensity_correlation == "latent",
            intensities=Intensities.from_config(marginals),
            repairs=repairs,
        )

    @property
    def width(self) -> int:
        """Uniforms that a vector takes where it is drawn for a stratum."""
        return 1 + AU_COUNT * (1 + SWEEPS) if self.tied else AU_COUNT

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
        or at a sequential draw by the columns 1–12 where none has this set of active AUs; it goes
        on by the columns 13–60.
        """
        active = self.members(strata).T
        if not self.tied:
            places = np.flatnonzero(active)
            levels = numbers[:, :AU_COUNT].T.ravel()[places]
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
        one, other = np.triu_indices(AU_COUNT, 1)
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
        made = self.normals.begin(self.members(strata).T, numbers[:, 1 : 1 + AU_COUNT].T)
        return np.where(found, stored, made)

    def _again(
        self,
        begun: Float64[np.ndarray, "aus rows"],
        active: Bool[np.ndarray, "aus rows"],
        numbers: Float64[np.ndarray, "rows width"],
    ) -> Float64[np.ndarray, "aus rows"]:
        again = self.normals.draw_again(begun, active, numbers[:, 1 + AU_COUNT :].T)
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
        intensities = np.zeros(AU_COUNT * rows, dtype=np.float32)
        intensities[places] = self.intensities.quantiles(places // rows, levels)
        return np.ascontiguousarray(intensities.reshape(AU_COUNT, rows).T)


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
    independent, mixed = normals.drawn(uniforms(seed, stage, start, stop, AU_COUNT))
    independent.flags.writeable = mixed.flags.writeable = False
    return independent, mixed
