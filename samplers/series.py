"""The samples of one identity: a neutral image on request, then its expressions."""

from dataclasses import dataclass

from samplers.priors import Prior
from synthgen.config import ExpressionsConfig, IdentitiesConfig
from synthgen.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Series:
    """How the samples of a split are dealt to its identities.

    Attributes:
        expressions: samples of an identity whose expression the prior draws.
        neutral: whether one sample more, the first, is the neutral face.
    """

    expressions: int
    neutral: bool = False

    @property
    def size(self) -> int:
        """Samples of an identity."""
        return self.expressions + self.neutral

    @property
    def share(self) -> float:
        """Share of the samples whose expression the prior draws."""
        return self.expressions / self.size

    def is_neutral(self, position: int) -> bool:
        """Return whether the sample at a position of a split is an identity's neutral image."""
        return self.neutral and position % self.size == 0

    def expression(self, position: int) -> int:
        """Return how many expressions stand before a position of a split."""
        identity, place = divmod(position, self.size)
        return identity * self.expressions + max(0, place - self.neutral)

    def describe(self) -> str:
        """Say how many samples an identity has, in the words of the configuration."""
        text = f"expressions_per_identity: {self.expressions}"
        return f"{text} and a neutral image" if self.neutral else text


def build_series(
    identities: IdentitiesConfig, expressions: ExpressionsConfig, prior: Prior
) -> Series:
    """Build the series of a configuration.

    Raises:
        ConfigError: if the prior has no list of expressions for a grid, or if neutral images would
            change the shares that quotas ask for.
    """
    asked = identities.expressions_per_identity
    if identities.neutral_image and expressions.quotas is not None:
        raise ConfigError(
            "identities.neutral_image adds samples that expressions.quotas do not count; leave "
            "one of them out"
        )
    return Series(
        _listed(expressions, prior) if asked == "grid" else asked, identities.neutral_image
    )


def _listed(expressions: ExpressionsConfig, prior: Prior) -> int:
    listed = prior.listed() if expressions.quotas is None else None
    if listed is None:
        raise ConfigError(
            f"identities.expressions_per_identity: grid needs a prior that lists expressions, each "
            f"as often as every other: grid, or emotions or combinations without weights and "
            f"quotas; this one is {expressions.prior!r}"
        )
    return listed
