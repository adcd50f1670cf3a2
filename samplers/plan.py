"""The plan of a run: every spec and every attempt, each computed alone."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from samplers.identities import Identity, PromptIdentities
from samplers.partition import Partition
from samplers.priors import Prior, build_prior
from samplers.randomness import derive_seed
from samplers.spec import Attempt, SampleSpec, Shard
from synthgen.config import RunConfig
from synthgen.errors import ConfigError


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What a run makes; a function of its configuration.

    A sample has an *index* in the run and a *position* in its split. Expressions are addressed by
    (split, position), so that each split is balanced; identities by index // expressions of each.

    Attributes:
        seed: seed of the run.
        samples: samples asked for.
        shard_size: samples of a shard.
        negative_prompt: what no image must show.
        partition: index ↔ (split, position).
        prior: the distribution of AU vectors.
        identities: who is shown.
    """

    seed: int
    samples: int
    shard_size: int
    negative_prompt: str
    partition: Partition
    prior: Prior
    identities: PromptIdentities

    @property
    def sizes(self) -> dict[str, int]:
        """Samples of each split, in the order of the configuration."""
        return {split: self.partition.size(split, self.samples) for split in self.partition.members}

    @property
    def categories(self) -> tuple[str, ...]:
        """Emotion categories in the order of the ClassLabel; empty where the prior has none."""
        return self.prior.categories

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the identity slots, in the order of the template."""
        return tuple(self.identities.slots)

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

        A replacement shows the same identity and stratum; its AU vector is drawn anew.

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

    def attempt(self, spec: SampleSpec, number: int) -> Attempt:
        """Return a try at a spec; its noise is its own."""
        seed = derive_seed(self.seed, "noise", spec.index, spec.replacement, number)
        return Attempt(spec, number, seed)

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
        found = re.fullmatch(r"sample-(\d{8,10})", sample_id, re.ASCII)
        index = int(found[1]) if found else self.samples
        if index < self.samples and self.sample(index).sample_id == sample_id:
            return index
        raise ConfigError(
            f"there is no sample {sample_id!r}; "
            f"the run has sample-{0:08d} to sample-{self.samples - 1:08d}"
        )

    def _specs(self, split: str, start: int, stop: int, replacement: int) -> list[SampleSpec]:
        self._check_range(split, start, stop)
        strata = self.prior.strata(self.seed, split, start, stop)
        vectors = self.prior.vectors(self.seed, split, start, strata, replacement)
        identity, number = None, -1
        specs = []
        for position, stratum, aus in zip(
            range(start, stop), strata.tolist(), vectors.tolist(), strict=True
        ):
            index = self.partition.index(split, position)
            if identity is None or number != index // self.partition.group:
                number = index // self.partition.group
                identity = self.identities.identity(number)
            specs.append(
                self._spec(split, position, index, replacement, stratum, tuple(aus), identity)
            )
        return specs

    def _spec(
        self,
        split: str,
        position: int,
        index: int,
        replacement: int,
        stratum: int,
        aus: tuple[float, ...],
        identity: Identity,
    ) -> SampleSpec:
        return SampleSpec(
            index=index,
            split=split,
            position=position,
            replacement=replacement,
            stratum=self.prior.stratum_name(stratum),
            aus=aus,
            emotion=self.prior.category(stratum),
            identity_id=identity.identity_id,
            identity=identity.values,
            identity_seed=identity.seed,
            prompt=identity.prompt,
            negative_prompt=self.negative_prompt,
        )

    def _check_range(self, split: str, start: int, stop: int) -> int:
        size = self.partition.size(split, self.samples)
        if not 0 <= start <= stop <= size:
            raise IndexError(f"positions {start} to {stop} are not among the {size} of {split}")
        return size


def build_plan(config: RunConfig) -> Plan:
    """Build the plan of a configuration.

    Raises:
        ConfigError: if categories are unknown, ambiguous or not to be shown, or if the template
            yields too few tuples for the identities.
    """
    partition = Partition.build(
        config.output.split_shares(), config.identities.expressions_per_identity
    )
    return Plan(
        seed=config.seed,
        samples=config.samples,
        shard_size=config.output.shard_size,
        negative_prompt=config.identities.negative_prompt,
        partition=partition,
        prior=build_prior(config.expressions),
        identities=PromptIdentities.from_config(
            config.identities, config.seed, config.samples, partition.pattern
        ),
    )
