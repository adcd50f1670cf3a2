"""A stock of latent normals by their active AUs, for redraws that must keep these."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float64, Int64

from samplers.priors.latent_normals import LatentNormals, active_sets
from samplers.randomness import normals
from synthgen.action_units import AU_COUNT

_SIZE = 1 << 16
_STAGE = "expressions/normals bank"


@dataclass(frozen=True, slots=True, eq=False)
class NormalsBank:
    """Draws of w, sorted by which AUs they make active.

    Attributes:
        independent: w of each draw.
        firsts: number of the first draw of each set of active AUs, and the number of all.
    """

    independent: Float64[np.ndarray, "aus draws"]
    firsts: Int64[np.ndarray, " sets"]

    def pick(
        self, strata: Int64[np.ndarray, " rows"], numbers: Float64[np.ndarray, " rows"]
    ) -> tuple[Float64[np.ndarray, "aus rows"], Bool[np.ndarray, " rows"]]:
        """Pick a draw of each set of active AUs by a uniform; the mask tells where there is one."""
        first = self.firsts[strata]
        count = self.firsts[strata + 1] - first
        number = np.minimum(first + (numbers * count).astype(np.int64), _SIZE - 1)
        return self.independent[:, number], count > 0


@lru_cache(maxsize=8)
def bank_of(latent: LatentNormals) -> NormalsBank:
    """Return the stock of latent normals; it is filled at the first call."""
    independent = normals(0, _STAGE, 0, _SIZE, AU_COUNT).T.copy()
    sets = active_sets(latent.active(latent.mix(independent)))
    order = np.argsort(sets, kind="stable")
    firsts = np.searchsorted(sets[order], np.arange((1 << AU_COUNT) + 1))
    return NormalsBank(independent[:, order], firsts)
