"""From a configuration's section `identities` to its source."""

from samplers.identities.faceid import FaceIdIdentities
from samplers.identities.prompts import PromptIdentities
from samplers.shares import Partition
from synthgen.config import FaceIdIdentitiesConfig, IdentitiesConfig

Identities = PromptIdentities | FaceIdIdentities
"""An identity source."""


def build_identities(
    config: IdentitiesConfig,
    seed: int,
    samples: int,
    partition: Partition,
    asked: str,
    run_id: str = "",
) -> Identities:
    """Build the identities of a run.

    Args:
        config: the section `identities`.
        seed: seed of the run.
        samples: samples of the run.
        partition: the split of each sample.
        asked: samples of an identity in words, for sentences.
        run_id: short name of the run; empty for plain names.

    Raises:
        ConfigError: if there are too few identities.
        StoreError: if a store cannot be read, or holds what is no embedding.
    """
    if isinstance(config, FaceIdIdentitiesConfig):
        return FaceIdIdentities.from_config(config, seed, samples, partition, asked, run_id)
    return PromptIdentities.from_config(config, seed, samples, partition, asked, run_id)
