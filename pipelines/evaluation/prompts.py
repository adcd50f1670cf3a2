"""Prompts that no caption of a training is, and the traits that they ask for.

Their words are those that the mini models know; their form is none that captions of the trainings
take. Identities come in the order of the identity source, so that more prompts keep the first ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.procedural.vocabulary import TRAITS
from samplers.identities import PromptIdentities
from samplers.randomness import derive_seed
from synthgen.config import PromptIdentitiesConfig

TEMPLATE = "a close-up photo, {age} {person} with {skin} skin, {hair} hair"
ASKED_TRAITS = ("hair", "skin", "age", "person")
"""Traits that every prompt names."""


@dataclass(frozen=True, slots=True)
class AskedPrompt:
    """A prompt of an evaluation.

    Attributes:
        number: its number, from 0.
        text: the prompt.
        traits: trait → value that it asks for.
        noise: seed of the noise that all its images start from [0, 2^63).
    """

    number: int
    text: str
    traits: Mapping[str, str]
    noise: int


def unseen_prompts(count: int, seed: int) -> tuple[AskedPrompt, ...]:
    """Return prompts, each for other traits.

    Args:
        count: number of prompts.
        seed: seed of the evaluation [0, 2^63).

    Raises:
        ConfigError: if there are fewer combinations of traits than prompts.
    """
    config = PromptIdentitiesConfig(
        source="prompts",
        template=TEMPLATE,
        slots={trait: list(TRAITS[trait]) for trait in ASKED_TRAITS},
    )
    identities = PromptIdentities.from_config(config, seed, samples=count)
    return tuple(_asked(identities, number, seed) for number in range(count))


def _asked(identities: PromptIdentities, number: int, seed: int) -> AskedPrompt:
    identity = identities.identity(number)
    noise = derive_seed(seed, "evaluation/noise", number)
    return AskedPrompt(number, identity.prompt, identity.values, noise)
