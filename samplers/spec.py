"""Specs of samples: the values that the plan hands to pipelines."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from samplers.identities.identity import FaceIdentity, numbered
from synthgen.action_units import DEFAULT_AUS, ActionUnitSet
from synthgen.errors import ConfigError

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSpec:
    """Spec of one sample; a function of (configuration, index, replacement).

    Attributes:
        index: number of the sample in the run, from 0.
        split: the split that the sample's identity belongs to.
        position: number of the sample in its split's own numbering, from 0.
        replacement: 0 for the first spec of the sample, r for its r-th replacement.
        stratum: the cell that the index was given and that each replacement keeps, for people to
            read: category or active AUs.
        conditions: name → value of what the image is to show: `aus` of the expressions, and what
            the identity source gives, such as `faceid`. Who gives one and who takes it agree on
            its type; nobody else looks at it.
        action_units: the AUs of the run.
        emotion: category, or None where the prior has none.
        expression: name of the expression, or None where the prior has none.
        level: how strong the expression is on its owner's scale, or None where nothing is said.
        identity_id: name of the identity, the same for all samples that show it.
        identity: slot → value.
        identity_seed: seed of what the slots leave open about the identity.
        prompt: text for the pipeline.
        negative_prompt: what the image must not show.
        run_id: short name of the run, which the sample's name carries; empty for plain names.
    """

    index: int
    split: str
    position: int
    replacement: int
    stratum: str
    conditions: Mapping[str, Any]
    emotion: str | None
    identity_id: str
    identity: Mapping[str, str]
    identity_seed: int
    prompt: str
    negative_prompt: str
    run_id: str = ""
    action_units: ActionUnitSet = DEFAULT_AUS
    expression: str | None = None
    level: float | None = None

    def aus_of(self, others: ActionUnitSet) -> tuple[float, ...]:
        """Return the intensities of other AUs, as a network of these wants them: 0 for the rest."""
        return self.action_units.converted(self.aus, others)

    def condition(self, name: str, kind: type[_T]) -> _T:
        """Return a condition for whoever takes it.

        Args:
            name: name of the condition.
            kind: its type.

        Raises:
            ConfigError: if nobody gives it, or it is of another type.
        """
        if name not in self.conditions:
            raise ConfigError(
                f"{self.sample_id} has no condition {name!r}; it has "
                f"{', '.join(sorted(self.conditions))}"
            )
        value = self.conditions[name]
        if not isinstance(value, kind):
            raise ConfigError(
                f"the condition {name!r} of {self.sample_id} is a {type(value).__name__}; it must "
                f"be a {kind.__name__}"
            )
        return value

    @property
    def aus(self) -> tuple[float, ...]:
        """Requested AU vector, an intensity for each AU of the run."""
        return self.condition("aus", tuple)

    @property
    def faceid(self) -> FaceIdentity | None:
        """The person by face embeddings; None where the prompt alone says who is shown."""
        return self.condition("faceid", FaceIdentity) if "faceid" in self.conditions else None

    @property
    def sample_id(self) -> str:
        """Name of the sample in the dataset; the same for its replacements."""
        return numbered("sample", self.run_id, self.index)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a spec; attempts of a spec differ in their noise alone.

    Attributes:
        spec: what to show.
        number: 0 for the first attempt.
        seed: seed of the attempt's own noise [0, 2^63).
        shared_seed: seed of the noise that all samples of the identity start from; None where each
            starts from its own.
        own_share: share of the noise's variance that is the attempt's own [0, 1]; the rest is the
            identity's.
        repeats: whether the identity shows the spec's AUs already, where the image follows from the
            spec alone: the pipeline then varies what the spec leaves open.
    """

    spec: SampleSpec
    number: int
    seed: int
    shared_seed: int | None = None
    own_share: float = 1.0
    repeats: bool = False

    @property
    def noise_seed(self) -> int:
        """Seed of the noise that the image starts from, or, of a blend, of the attempt's part."""
        return self.seed if self.own_share or self.shared_seed is None else self.shared_seed

    @property
    def neutral(self) -> "Attempt":
        """The attempt at the neutral image of the spec's identity; a function of it alone.

        No AU, and the noise that all samples of the identity start from; where each starts from its
        own, noise by the identity's seed.
        """
        conditions = {**self.spec.conditions, "aus": (0.0,) * len(self.spec.aus)}
        spec = replace(self.spec, conditions=conditions)
        seed = spec.identity_seed if self.shared_seed is None else self.shared_seed
        return Attempt(spec, 0, seed, seed, 0.0)


@dataclass(frozen=True, slots=True, order=True)
class Shard:
    """A range of one split's own numbering: the unit of work, of commit, and of resumption."""

    split: str
    number: int
    start: int
    stop: int
