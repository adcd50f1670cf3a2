"""A stock of latent normals by their active AUs, for redraws that must keep these."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float64, Int64

from samplers.priors.au_sets import set_numbers
from samplers.priors.latent_normals import LatentNormals
from samplers.randomness import normals

_SIZE = 1 << 16
_STAGE = "expressions/normals bank"


@dataclass(frozen=True, slots=True, eq=False)
class NormalsBank:
    """Draws of w, sorted by which AUs they make active.

    Attributes:
        independent: w of each draw.
        sets: the sets of active AUs that occur, ascending.
        firsts: number of the first draw of each, and the number of all.
    """

    independent: Float64[np.ndarray, "aus draws"]
    sets: Int64[np.ndarray, " sets"]
    firsts: Int64[np.ndarray, " firsts"]

    def pick(
        self, strata: Int64[np.ndarray, " rows"], numbers: Float64[np.ndarray, " rows"]
    ) -> tuple[Float64[np.ndarray, "aus rows"], Bool[np.ndarray, " rows"]]:
        """Pick a draw of each set of active AUs by a uniform; the mask tells where there is one."""
        place = np.minimum(np.searchsorted(self.sets, strata), len(self.sets) - 1)
        first = self.firsts[place]
        count = np.where(self.sets[place] == strata, self.firsts[place + 1] - first, 0)
        number = np.minimum(first + (numbers * count).astype(np.int64), _SIZE - 1)
        return self.independent[:, number], count > 0


@lru_cache(maxsize=8)
def bank_of(latent: LatentNormals) -> NormalsBank:
    """Return the stock of latent normals; it is filled at the first call."""
    independent = normals(0, _STAGE, 0, _SIZE, len(latent.factor)).T.copy()
    drawn = set_numbers(latent.active(latent.mix(independent)).T)
    order = np.argsort(drawn, kind="stable")
    sets, firsts = np.unique(drawn[order], return_index=True)
    return NormalsBank(independent[:, order], sets, np.append(firsts, _SIZE))
