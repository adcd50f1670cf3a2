"""Protocols: which prompts and AUs are asked of a model.

Their words are those that the mini models know; their form is none that captions of the trainings
take. Identities come in the order of the identity source, so that more prompts keep the first ones.

A protocol asks each prompt for its neutral face, for each AU alone at each intensity, and for
combinations. All images of a prompt start from the same noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from pipelines.procedural.vocabulary import TRAITS
from pipelines.training.data.captions import expression_phrase
from samplers.identities import FaceIdentity, PromptIdentities
from samplers.identities.prompts import PromptIdentitiesConfig
from samplers.priors import Prior, load_prior
from samplers.randomness import derive_seed
from synthgen.action_units import DEFAULT_AUS, ActionUnitSet

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


COMBINED_CATEGORIES = ("happy", "sad", "surprised", "fearful", "angry", "disgusted")
"""Categories whose prototypes and variants are the combinations."""


@dataclass(frozen=True, slots=True)
class Request:
    """One image that is asked for.

    Attributes:
        prompt: its prompt.
        aus: its AU intensities [0–5].
        text: what the model is told; the prompt's own text unless the AUs are put into words.
        person: whom the image is to show, by face embeddings; None: the text alone says it.
        action_units: which AUs they are.
    """

    prompt: AskedPrompt
    aus: tuple[float, ...]
    text: str
    person: FaceIdentity | None = None
    action_units: ActionUnitSet = DEFAULT_AUS


@dataclass(frozen=True, slots=True)
class Protocol:
    """Size of the evaluation of each prompt.

    Attributes:
        prompts: number of prompts.
        levels: intensities at which each AU is asked for alone, without 0: a neutral face is that.
        combinations: combinations of AUs for each prompt, from the prior `emotions` at intensities
            2 to 5.
        action_units: the AUs that are asked for.
    """

    prompts: int
    levels: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0, 5.0)
    combinations: int = 10
    action_units: ActionUnitSet = DEFAULT_AUS

    @property
    def images(self) -> int:
        """Images with AUs: each AU at each level, and the combinations, for each prompt."""
        return self.prompts * (len(self.action_units) * len(self.levels) + self.combinations)


def neutral_requests(
    prompts: Sequence[AskedPrompt], aus: ActionUnitSet = DEFAULT_AUS
) -> list[Request]:
    """Ask for the neutral face of each prompt."""
    neutral = aus.vector({})
    return [Request(prompt, neutral, prompt.text, action_units=aus) for prompt in prompts]


def single_requests(
    prompts: Sequence[AskedPrompt], levels: Sequence[float], aus: ActionUnitSet = DEFAULT_AUS
) -> list[Request]:
    """Ask for each AU alone: the prompts in order, in each the AUs, in each the levels."""
    return [
        Request(prompt, aus.vector({au: level}), prompt.text, action_units=aus)
        for prompt in prompts
        for au in aus.names
        for level in levels
    ]


def combined_requests(
    prompts: Sequence[AskedPrompt], protocol: Protocol, seed: int
) -> list[Request]:
    """Ask for combinations: the prompts in order, in each its combinations.

    Args:
        prompts: the prompts.
        protocol: how many, and from which prior.
        seed: seed of the evaluation [0, 2^63).
    """
    drawn = _combinations(protocol, len(prompts), seed)  # [prompts, combinations, aus]
    return [
        Request(prompt, tuple(map(float, aus)), prompt.text, action_units=protocol.action_units)
        for prompt, rows in zip(prompts, drawn, strict=True)
        for aus in rows
    ]


def in_words(requests: Sequence[Request], seed: int) -> list[Request]:
    """Put the AUs into the prompts, by FACS name and word of intensity, as captions do.

    What is asked for stays the same; it is for models that are told nothing but the text.
    """
    return [
        replace(request, text=_told(request, number, seed))
        for number, request in enumerate(requests)
    ]


def au_array(requests: Sequence[Request]) -> Float[np.ndarray, "n aus"]:
    """Return the AU vectors of requests."""
    width = len(requests[0].action_units if requests else DEFAULT_AUS)
    return np.array([request.aus for request in requests], np.float32).reshape(-1, width)


def emotions_of(categories: Sequence[str], aus: ActionUnitSet = DEFAULT_AUS) -> Prior:
    """Return the prior `emotions` of some AUs over some categories, at intensities 2 to 5."""
    section = {
        "prior": "emotions",
        "categories": list(categories),
        "intensity": {"low": 2.0, "high": 5.0},
        "action_units": list(aus.names),
    }
    return load_prior(section)


def _told(request: Request, number: int, seed: int) -> str:
    words = derive_seed(seed, "evaluation/words", number)
    phrase = expression_phrase(request.aus, words, request.action_units)
    return f"{request.text}, {phrase}"


def _combinations(
    protocol: Protocol, prompts: int, seed: int
) -> Float[np.ndarray, "prompts combinations aus"]:
    count, aus = protocol.combinations, protocol.action_units
    drawn = emotions_of(COMBINED_CATEGORIES, aus).sample(prompts * count, seed=seed)
    return drawn.reshape(prompts, count, len(aus))
