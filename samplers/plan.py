"""The plan of a run: every spec and every attempt, each computed alone."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Float64

from samplers.flame.expression import FlameExpression
from samplers.flame.rendering import FlameRenderer
from samplers.identities import Identities, Identity
from samplers.priors import Prior, build_prior
from samplers.randomness import derive_seed
from samplers.shares import Partition
from samplers.spec import Attempt, SampleSpec, Shard
from synthgen.action_units import ActionUnitSet
from synthgen.config import IdentitySection, PriorSection, RunConfig
from synthgen.errors import ConfigError
from synthgen.foreign import counted


@dataclass(frozen=True, slots=True)
class Series:
    """Order in which the samples of a split are dealt to its identities.

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


def category_shares(series: Series, prior: Prior) -> dict[str, float]:
    """Return the share of each category among all samples, neutral images included."""
    share = series.share
    shares = {name: share * part for name, part in prior.category_shares().items()}
    return {**shares, NEUTRAL: shares[NEUTRAL] + 1 - share} if NEUTRAL in shares else shares


def build_series(identities: IdentitySection, expressions: PriorSection, prior: Prior) -> Series:
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
    rendered = {"aus"} if expressions.flame is None else {"aus", "flame"}
    if identities.neutral_image and (more := sorted(expressions.given() - rendered)):
        raise ConfigError(
            f"identities.neutral_image adds faces without {', '.join(more)}, which "
            f"expressions.prior {expressions.prior!r} gives; leave one of them out"
        )
    return Series(
        _listed(expressions, prior) if asked == "grid" else asked, identities.neutral_image
    )


def _listed(expressions: PriorSection, prior: Prior) -> int:
    listed = prior.listed() if expressions.quotas is None else None
    if listed is None:
        raise ConfigError(
            f"identities.expressions_per_identity: grid needs a prior that lists expressions, each "
            f"as often as every other: grid, or emotions or combinations without weights and "
            f"quotas; this one is {expressions.prior!r}"
        )
    return listed


OWN_SHARE = 0.1
"""Share of its own noise that each further attempt blends into its identity's; half at most."""

NEUTRAL = "neutral"
"""Stratum of the neutral images, and their category where the prior has it."""


_Shown = tuple[int | None, tuple[float, ...]]
"""Stratum and AU vector of a sample; a neutral image has no stratum."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Plan of a run; a function of its configuration.

    A sample has an *index* in the run and a *position* in its split. Expressions are addressed by
    (split, position), so that each split is balanced; identities by index // expressions of each.

    Attributes:
        seed: seed of the run.
        samples: samples asked for.
        shard_size: samples of a shard.
        negative_prompt: what no image must show.
        partition: index ↔ (split, position).
        series: the samples of an identity.
        prior: the distribution of AU vectors.
        identities: who is shown.
        shared_noise: whether the samples of an identity start from the same noise.
        run_id: short name of the run, which samples and identities carry; empty for plain names.
        noiseless: whether an image follows from its spec alone, whatever its seed.
        renderer: the bank that shows requests in FLAME's numbers; None where there is none.
    """

    seed: int
    samples: int
    shard_size: int
    negative_prompt: str
    partition: Partition
    series: Series
    prior: Prior
    identities: Identities
    shared_noise: bool
    run_id: str = ""
    noiseless: bool = False
    renderer: FlameRenderer | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """Samples of each split, in the order of the configuration."""
        return {split: self.partition.size(split, self.samples) for split in self.partition.members}

    @property
    def empty_splits(self) -> str:
        """A sentence on the splits that get no sample; empty where each gets some."""
        empty = [split for split, size in self.sizes.items() if not size]
        if not empty:
            return ""
        people = counted(self.identities.count, "identity", "identities")
        samples = f"{self.samples} sample{' is' if self.samples == 1 else 's are'}"
        enough = max(self.partition.enough(split) for split in empty)
        lack, some = ("gets", "it gets some") if len(empty) == 1 else ("get", "each gets some")
        return (
            f"{' and '.join(empty)} {lack} no sample: {samples} {people}; from {enough} samples on "
            f"{some}, or with a larger share in output.splits"
            f"{', or fewer expressions_per_identity' * (self.series.expressions > 1)}"
        )

    @property
    def categories(self) -> tuple[str, ...]:
        """Emotion categories in the order of the ClassLabel; empty where the prior has none."""
        return self.prior.categories

    @property
    def expressions(self) -> tuple[str, ...]:
        """Names of expressions; empty where the prior has none."""
        return self.prior.expressions

    @property
    def has_levels(self) -> bool:
        """True where expressions have levels."""
        return self.prior.has_levels

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the identity slots, in the order of the template."""
        return self.identities.slots

    def expressions_fingerprint(self) -> dict[str, str]:
        """Return name → sha256 of each file that the expressions are a function of."""
        found = self.prior.fingerprint()
        return found if self.renderer is None else {**found, **self.renderer.fingerprint()}

    def licences(self) -> dict[str, str]:
        """Return name → licence of what identities and expressions come from."""
        banks = {} if self.renderer is None else self.renderer.bank.about.licences
        return {**self.identities.licences(), **banks}

    def category_shares(self) -> dict[str, float]:
        """Return the share of each category among all samples, neutral images included."""
        return category_shares(self.series, self.prior)

    def asked_rates(self) -> Float64[np.ndarray, " aus"]:
        """Return the share of all samples in which each AU is active, before rules and quotas."""
        return self.series.share * self.prior.asked_rates()

    def rates(self) -> Float64[np.ndarray, " aus"]:
        """Return the share of all samples in which each AU is active."""
        return self.series.share * self.prior.rates()

    def sample(self, index: int, replacement: int = 0) -> SampleSpec:
        """Return the spec of a sample.

        Raises:
            IndexError: if the run has no such sample.
        """
        if not 0 <= index < self.samples:
            raise IndexError(f"sample {index} is not among the {self.samples} of the run")
        return self.spec(*self.partition.locate(index), replacement)

    def spec(self, split: str, position: int, replacement: int = 0) -> SampleSpec:
        """Return the spec at a position of a split.

        A replacement shows the same identity and stratum; its AU vector is drawn anew. Where no
        face of a bank serves the new vector, it keeps that of the last replacement that one does.

        Raises:
            IndexError: if the split has no such position.
        """
        return self._specs(split, position, position + 1, replacement)[0]

    def specs(self, split: str, start: int, stop: int) -> list[SampleSpec]:
        """Return the specs at the positions start … stop−1 of a split, each as `spec` gives it.

        Raises:
            IndexError: if the split has no such positions.
        """
        return self._specs(split, start, stop, 0)

    def requests(self, split: str, start: int, stop: int) -> Float32[np.ndarray, "rows aus"]:
        """Return the AU vectors of the specs at the positions start … stop−1 of a split.

        Raises:
            IndexError: if the split has no such positions.
        """
        self._check_range(split, start, stop)
        return _vectors(self._shown(split, start, stop, 0))

    def attempt(self, spec: SampleSpec, number: int) -> Attempt:
        """Return a try at a spec.

        Its noise is its own; or its identity's, into which further attempts blend their own, and so
        do first attempts at what the identity shows already: they would be the same image.
        """
        seed = derive_seed(self.seed, "noise", spec.index, spec.replacement, number)
        asked = self.noiseless or (self.shared_noise and number == 0)
        shown = asked and self._is_shown_before(spec)
        repeats = self.noiseless and shown
        if not self.shared_noise:
            return Attempt(spec, number, seed, repeats=repeats)
        identity = derive_seed(self.seed, "noise/identity", spec.index // self.partition.group)
        share = min(number * OWN_SHARE, 0.5) if number else OWN_SHARE * shown
        return Attempt(spec, number, seed, identity, share, repeats)

    def shards(self) -> Iterator[Shard]:
        """Yield the shards, split by split; only the last of a split may be smaller."""
        for split, size in self.sizes.items():
            for start in range(0, size, self.shard_size):
                yield self.shard_of(split, start)

    def shard_of(self, split: str, position: int) -> Shard:
        """Return the shard that holds a position of a split.

        Raises:
            IndexError: if the split has no such position.
        """
        size = self._check_range(split, position, position + 1)
        number = position // self.shard_size
        start = number * self.shard_size
        return Shard(split, number, start, min(start + self.shard_size, size))

    def find(self, sample_id: str) -> int:
        """Return the index of a sample by its name.

        Raises:
            ConfigError: if the run has no such sample.
        """
        found = re.fullmatch(r"sample-(?:\w+-)?(\d{8,10})", sample_id, re.ASCII)
        index = int(found[1]) if found else self.samples
        if index < self.samples and self.sample(index).sample_id == sample_id:
            return index
        first, last = (self.sample(index).sample_id for index in (0, self.samples - 1))
        raise ConfigError(f"there is no sample {sample_id!r}; the run has {first} to {last}")

    @property
    def action_units(self) -> ActionUnitSet:
        """The AUs of a vector."""
        return self.prior.action_units

    @property
    def _neutral_face(self) -> _Shown:
        """No stratum, and no AU."""
        return None, (0.0,) * len(self.action_units)

    @property
    def _neutral_labels(self) -> tuple[str | None, str | None, float | None]:
        """Category, expression and level of neutral images: the prior's neutral ones."""
        named = NEUTRAL in self.expressions
        return (
            NEUTRAL if NEUTRAL in self.categories else None,
            NEUTRAL if named else None,
            0.0 if named and self.has_levels else None,
        )

    def _is_shown_before(self, spec: SampleSpec) -> bool:
        """Return whether an earlier spec of the identity asks for the same AU vector.

        Specs come in the order of their replacements, then of their samples. All samples that the
        identity may have count, so that a longer run finds the same.
        """
        start = spec.position - spec.position % self.partition.group
        for replacement in range(spec.replacement + 1):
            last = replacement == spec.replacement
            stop = spec.position if last else start + self.partition.group
            shown = self._shown(spec.split, start, stop, replacement)
            if any(aus == spec.aus for _, aus in shown):
                return True
        return False

    def _specs(self, split: str, start: int, stop: int, replacement: int) -> list[SampleSpec]:
        self._check_range(split, start, stop)
        shown = self._shown(split, start, stop, replacement)
        flames: Sequence[FlameExpression | None] = [None] * len(shown)
        if self.renderer is not None:
            shown = self._served(self.renderer, shown, split, start, replacement)
            flames = self.renderer.render(split, start, _vectors(shown), replacement)
        identity, number = None, -1
        specs = []
        for place, flame in enumerate(flames):
            index = self.partition.index(split, start + place)
            if identity is None or number != index // self.partition.group:
                number = index // self.partition.group
                identity = self.identities.identity(number)
            spec = self._spec(split, start + place, index, replacement, shown[place], identity)
            if flame is not None:
                spec = replace(spec, conditions={**spec.conditions, "flame": flame})
            specs.append(spec)
        return specs

    def _shown(self, split: str, start: int, stop: int, replacement: int) -> list[_Shown]:
        """Return stratum and AU vector of some positions; a neutral image has no stratum."""
        drawn = self._drawn(split, start, stop, replacement)
        return [
            self._neutral_face if self.series.is_neutral(position) else next(drawn)
            for position in range(start, stop)
        ]

    def _served(
        self,
        renderer: FlameRenderer,
        shown: list[_Shown],
        split: str,
        start: int,
        replacement: int,
    ) -> list[_Shown]:
        """Put the last replacement that a face serves in the place of those that none does."""
        if not replacement:
            return shown
        found = list(shown)
        for place in np.flatnonzero(renderer.serving(_vectors(shown)) == 0).tolist():
            position = start + place
            for earlier in reversed(range(replacement)):
                one = self._shown(split, position, position + 1, earlier)
                if renderer.serving(_vectors(one))[0]:
                    found[place] = one[0]
                    break
        return found

    def _drawn(self, split: str, start: int, stop: int, replacement: int) -> Iterator[_Shown]:
        """Yield stratum and AU vector of the expressions among some positions."""
        start, stop = self.series.expression(start), self.series.expression(stop)
        if start < stop:
            strata = self.prior.strata(self.seed, split, start, stop)
            vectors = self.prior.vectors(self.seed, split, start, strata, replacement)
            yield from zip(strata.tolist(), map(tuple, vectors.tolist()), strict=True)

    def _spec(
        self,
        split: str,
        position: int,
        index: int,
        replacement: int,
        shown: _Shown,
        identity: Identity,
    ) -> SampleSpec:
        stratum, aus = shown
        prior = self.prior
        if stratum is None:
            name, more = NEUTRAL, {}
            emotion, expression, level = self._neutral_labels
        else:
            name, more = prior.stratum_name(stratum), prior.conditions(stratum, aus)
            emotion, expression = prior.category(stratum), prior.expression(stratum)
            level = prior.level(stratum)
        return SampleSpec(
            index=index,
            split=split,
            position=position,
            replacement=replacement,
            stratum=name,
            conditions={**more, **identity.conditions, "aus": aus},
            emotion=emotion,
            expression=expression,
            level=level,
            identity_id=identity.identity_id,
            identity=identity.values,
            identity_seed=identity.seed,
            prompt=identity.prompt,
            negative_prompt=self.negative_prompt,
            run_id=self.run_id,
            action_units=self.action_units,
        )

    def _check_range(self, split: str, start: int, stop: int) -> int:
        size = self.partition.size(split, self.samples)
        if not 0 <= start <= stop <= size:
            raise IndexError(f"positions {start} to {stop} are not among the {size} of {split}")
        return size


def build_plan(config: RunConfig, run_id: str | None = None) -> Plan:
    """Build the plan of a configuration.

    Args:
        config: the run.
        run_id: short name of the run, where it is not that of this configuration: its paths may
            have been made absolute.

    Raises:
        ConfigError: if categories are unknown, ambiguous or not to be shown, or if there are too
            few identities.
        LabelsError: if a label file cannot be read.
        StoreError: if a store of faces cannot be read.
        BankError: if a bank of expressions cannot be read, or does not fit the run.
    """
    prior = build_prior(config.expressions)
    series = build_series(config.identities, config.expressions, prior)
    partition = Partition.build(config.output.split_shares(), series.size)
    run_id = config.run_id() if run_id is None else run_id
    identities = config.identities.build(
        config.seed, config.samples, partition, series.describe(), run_id
    )
    _check_given(config.identities, identities)
    return Plan(
        seed=config.seed,
        samples=config.samples,
        shard_size=config.output.shard_size,
        negative_prompt=config.identities.negative_prompt,
        partition=partition,
        series=series,
        prior=prior,
        identities=identities,
        shared_noise=config.identities.noise == "identity",
        run_id=run_id,
        noiseless=config.pipeline.noiseless,
        renderer=FlameRenderer.from_config(config),
    )


def _vectors(shown: Sequence[_Shown]) -> Float32[np.ndarray, "rows aus"]:
    return np.array([aus for _, aus in shown], dtype=np.float32)


def _check_given(section: IdentitySection, identities: object) -> None:
    """Refuse a source whose identities are not what its section says."""
    if not isinstance(identities, Identities):
        raise ConfigError(
            f"identities.source is {section.source!r}, whose build() returns a "
            f"{type(identities).__name__}; it must return a samplers.Identities"
        )
    given = identities.identity(0).conditions.keys()
    if given != section.given():
        there, said = (", ".join(sorted(names)) or "none" for names in (given, section.given()))
        raise ConfigError(
            f"identities.source is {section.source!r}, whose identities have the conditions "
            f"{there}; its section says that it gives {said}"
        )
