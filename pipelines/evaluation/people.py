"""Drawn people of an evaluation, whom no training saw, each with every expression."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32
from PIL.Image import Image

from pipelines.evaluation.painting import Candidate
from pipelines.evaluation.prompts import AskedPrompt
from pipelines.evaluation.protocols import COMBINED_CATEGORIES, Request, emotions_of
from pipelines.faceid.drawn import FIRST_EVALUATED, drawn_person, person_name
from pipelines.procedural import render
from pipelines.procedural.source import ProceduralSource
from pipelines.procedural.vocabulary import TRAITS
from pipelines.training.data.pictures import OF_THE_PICTURE, in_another_picture
from samplers.identities import FaceIdentity
from samplers.identities.identity import filled
from samplers.randomness import derive_seed
from synthgen.action_units import AU_COUNT
from synthgen.config import ProceduralConfig
from synthgen.errors import ConfigError

EXPRESSIONS = ("neutral", *COMBINED_CATEGORIES)
"""What each person is asked to show, once each."""


def numbers_of(people: int) -> range:
    """Return the numbers of the drawn people of an evaluation."""
    return range(FIRST_EVALUATED, FIRST_EVALUATED + people)


def people_requests(
    embeddings: Float32[np.ndarray, "people 512"],
    embedder: str,
    template: str,
    noise: str,
    seed: int,
) -> list[Request]:
    """Ask for each person with each expression: the people in order, in each the expressions.

    Args:
        embeddings: one L2-normalised embedding for each person.
        embedder: fingerprint of the recogniser that made them.
        template: the prompt; its slots are traits of the person.
        noise: `sample`: each image starts from noise of its own; `identity`: those of a person
            from one.
        seed: seed of the evaluation [0, 2^63).

    Raises:
        ConfigError: if the template names what is no trait.
    """
    aus = _expressions(len(embeddings), seed)
    return [
        Request(prompt, tuple(map(float, shown)), prompt.text, person)
        for number, row in enumerate(embeddings)
        for person in [FaceIdentity(_name(number), row[None], embedder)]
        for place, shown in enumerate(aus[number])
        for prompt in [_prompt(number, place, template, noise, seed)]
    ]


def drawn_pictures() -> Candidate:
    """Return the renderer, which shows the person and the expression exactly.

    Each noise is a picture of its own: other light, pose, clothes and background than those of the
    portrait that was embedded.
    """
    drawn = ProceduralSource(ProceduralConfig(name="procedural"))

    def paint(requests: Sequence[Request]) -> list[Image]:
        return [_drawn(request) for request in requests]

    settings = {"size": drawn.config.size, "of the picture": OF_THE_PICTURE}
    return Candidate("drawn pictures", {"settings": settings, **drawn.fingerprint()}, paint)


def _drawn(request: Request) -> Image:
    person = drawn_person(FIRST_EVALUATED + request.prompt.number)
    return render(in_another_picture(person, request.prompt.noise), request.aus)


def _name(number: int) -> str:
    return person_name(FIRST_EVALUATED + number)


def _prompt(number: int, place: int, template: str, noise: str, seed: int) -> AskedPrompt:
    traits = drawn_person(FIRST_EVALUATED + number).traits
    try:
        text = filled(template, traits)
    except (LookupError, ValueError) as error:
        raise ConfigError(
            f"--prompt-template {template!r} cannot be filled; its slots in braces must be among "
            f"{', '.join(TRAITS)}"
        ) from error
    own = number if noise == "identity" else number * len(EXPRESSIONS) + place
    start = derive_seed(seed, f"evaluation/people/{noise}", own)
    return AskedPrompt(number, text, traits, start)


def _expressions(people: int, seed: int) -> Float[np.ndarray, "people 7 aus"]:
    drawn = [np.zeros((people, AU_COUNT), np.float32)]
    for place, category in enumerate(COMBINED_CATEGORIES):
        own = derive_seed(seed, "evaluation/expressions", place)
        drawn.append(emotions_of([category]).sample(people, seed=own))
    return np.stack(drawn, axis=1)
