"""The report of a FaceID evaluation: likeness by two embedders, AUs, and its tables.

Shapes: n images, P people.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int
from PIL.Image import Image

from pipelines.evaluation.gallery import Candidate, files_section
from pipelines.evaluation.protocols import (
    COMBINED_CATEGORIES,
    AskedPrompt,
    Request,
    au_array,
    emotions_of,
)
from pipelines.evaluation.statistics import Errors, au_correlations, au_errors
from pipelines.evaluation.study import Findings
from pipelines.faceid.drawn import FIRST_EVALUATED, drawn_person, person_name
from pipelines.procedural import render
from pipelines.procedural.drawn_aus import aus_of_edition, edition_of
from pipelines.procedural.section import ProceduralConfig
from pipelines.procedural.source import ProceduralSource
from pipelines.procedural.vocabulary import TRAITS
from pipelines.training.data.drawing import OF_THE_PICTURE, in_another_picture
from samplers.identities import FaceIdentity
from samplers.identities.identity import filled
from samplers.randomness import derive_seed
from synthgen.action_units import DEFAULT_AUS, FACS, ActionUnitSet
from synthgen.dataset.markdown import number, percent, table
from synthgen.dataset.statistics import compare_faces
from synthgen.errors import ConfigError

BOUNDS = (0.7, 0.4)
"""Cosines of which the share above is told."""


@dataclass(frozen=True, slots=True)
class Cosines:
    """Some cosines; NaN where there are none.

    Attributes:
        mean: their mean.
        above: share at or above each of `BOUNDS`.
    """

    mean: float
    above: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Likeness:
    """Whom images show.

    Attributes:
        faceless: images without a face, which are left out.
        wanted: of each image with the person asked for.
        others: of each image with each other person.
        found: share of images whose nearest person, among all, is the one asked for.
        rank1: share of images whose nearest other image shows the same person.
        consistency: mean cosine of two images of one person.
    """

    faceless: int
    wanted: Cosines
    others: Cosines
    found: float
    rank1: float
    consistency: float


def likeness(
    faces: Float[np.ndarray, "n 512"],
    people: Int[np.ndarray, " n"],
    wanted: Float[np.ndarray, "P 512"],
) -> Likeness:
    """Compare images with the people that they should show, and with one another.

    Args:
        faces: unit vectors of the images; NaN rows where there is no face.
        people: the person of each image, a row of `wanted`.
        wanted: unit vectors of the people.
    """
    seen = np.isfinite(faces).all(1)
    faces, people = faces[seen], people[seen]
    cosines = faces.astype(np.float64) @ wanted.astype(np.float64).T  # [n, P]
    own = people[:, None] == np.arange(len(wanted))
    between = compare_faces(faces, [str(person) for person in people])
    nearest = cosines.argmax(1)
    return Likeness(
        faceless=int((~seen).sum()),
        wanted=cosines_of(cosines[own]),
        others=cosines_of(cosines[~own]),
        found=float((nearest == people).mean()) if len(people) else float("nan"),
        rank1=between.rank1,
        consistency=between.consistency,
    )


def cosines_of(values: Float[np.ndarray, " n"]) -> Cosines:
    """Sum up cosines."""
    if not values.size:
        return Cosines(float("nan"), (float("nan"),) * len(BOUNDS))
    return Cosines(float(values.mean()), tuple(float((values >= one).mean()) for one in BOUNDS))


def by_expression(
    faces: Float[np.ndarray, "n 512"],
    people: Int[np.ndarray, " n"],
    wanted: Float[np.ndarray, "P 512"],
    expressions: Sequence[str],
) -> dict[str, float]:
    """Return expression → mean cosine with the person asked for.

    Args:
        faces: unit vectors of the images, whose expressions follow one another in turn.
        people: the person of each image.
        wanted: unit vectors of the people.
        expressions: names of the expressions.
    """
    cosines = (faces.astype(np.float64) * wanted[people]).sum(1)
    turns = cosines.reshape(-1, len(expressions))
    return {
        name: cosines_of(column[np.isfinite(column)]).mean
        for name, column in zip(expressions, turns.T, strict=True)
    }


EXPRESSIONS = ("neutral", *COMBINED_CATEGORIES)
"""Expressions that each person is asked to show, once each."""


def numbers_of(people: int) -> range:
    """Return the numbers of the drawn people of an evaluation."""
    return range(FIRST_EVALUATED, FIRST_EVALUATED + people)


def people_requests(
    embeddings: Float32[np.ndarray, "people 512"],
    embedder: str,
    template: str,
    noise: str,
    seed: int,
    action_units: ActionUnitSet = DEFAULT_AUS,
) -> list[Request]:
    """Ask for each person with each expression: the people in order, in each the expressions.

    Args:
        embeddings: one L2-normalised embedding for each person.
        embedder: fingerprint of the recogniser that made them.
        template: the prompt; its slots are traits of the person.
        noise: `sample`: each image starts from noise of its own; `identity`: those of a person
            from one.
        seed: seed of the evaluation [0, 2^63).
        action_units: the AUs of the expressions; people are those of the edition of the drawings
            that shows them.

    Raises:
        ConfigError: if the template names what is no trait.
    """
    aus = _expressions(len(embeddings), seed, action_units)
    edition = edition_of(action_units)
    return [
        Request(prompt, tuple(map(float, shown)), prompt.text, person, action_units)
        for number, row in enumerate(embeddings)
        for person in [FaceIdentity(_name(number, edition), row[None], embedder)]
        for place, shown in enumerate(aus[number])
        for prompt in [_prompt(_traits(number, edition), number, place, template, noise, seed)]
    ]


def drawn_pictures(aus: ActionUnitSet = DEFAULT_AUS) -> Candidate:
    """Return the renderer, which shows the person and the expression exactly.

    Each noise is a picture of its own: other light, pose, clothes and background than those of the
    portrait that was embedded.
    """
    drawn = ProceduralSource(ProceduralConfig(name="procedural", edition=edition_of(aus)))

    def generate(requests: Sequence[Request]) -> list[Image]:
        return [_drawn(request) for request in requests]

    settings = {"size": drawn.config.size, "of the picture": OF_THE_PICTURE}
    return Candidate("drawn pictures", {"settings": settings, **drawn.fingerprint()}, generate)


def _drawn(request: Request) -> Image:
    edition = edition_of(request.action_units)
    person = drawn_person(FIRST_EVALUATED + request.prompt.number, edition)
    shown = request.action_units.converted(request.aus, aus_of_edition(edition))
    return render(in_another_picture(person, request.prompt.noise), shown)


def _name(number: int, edition: int) -> str:
    return person_name(FIRST_EVALUATED + number, edition)


def _traits(number: int, edition: int) -> dict[str, str]:
    return drawn_person(FIRST_EVALUATED + number, edition).traits


def _prompt(
    traits: dict[str, str], number: int, place: int, template: str, noise: str, seed: int
) -> AskedPrompt:
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


def _expressions(people: int, seed: int, aus: ActionUnitSet) -> Float[np.ndarray, "people 7 aus"]:
    drawn = [np.zeros((people, len(aus)), np.float32)]
    for place, category in enumerate(COMBINED_CATEGORIES):
        own = derive_seed(seed, "evaluation/expressions", place)
        drawn.append(emotions_of([category], aus).sample(people, seed=own))
    return np.stack(drawn, axis=1)


CONDITIONING, INDEPENDENT = "conditioning embedder", "independent embedder"


@dataclass(frozen=True, slots=True, eq=False)
class Generated:
    """Findings in the images of one model.

    Attributes:
        name: what the tables call it.
        found: people in order, in each the expressions.
    """

    name: str
    found: Findings

    def errors(self, judge: str) -> Errors:
        """Return how far AUs are off, and how they follow what was asked for."""
        return au_errors(au_array(self.found.requests), self.found.aus[judge])

    def correlations(self, judge: str) -> dict[str, float]:
        """Return AU → correlation of what was asked for with what was measured."""
        requests = self.found.requests
        return au_correlations(au_array(requests), self.found.aus[judge], requests[0].action_units)


@dataclass(frozen=True, slots=True)
class Unscaled:
    """Images of the face adapter at scale 0, against the model without it.

    Attributes:
        images: images compared.
        same: those that are the same to the bit.
        difference: largest difference of a pixel [grey values].
    """

    images: int
    same: int
    difference: int


@dataclass(frozen=True, slots=True, eq=False)
class PeopleResults:
    """All that the document tells.

    Attributes:
        command: the command that makes it again.
        template: prompt of every image.
        noise: whose noise images start from.
        ip_scale: scale of the face branch.
        judge: name of the AU network that judges.
        recognisers: the two embedders → their names.
        people: the person of each image.
        wanted: embedder → embedding of each person's portrait.
        shown: the model with faces.
        text: the same model without.
        drawn: drawn pictures of the same people and expressions: what can be had at best.
        unscaled: the model with faces at scale 0.
        files: what was used → sha256.
    """

    command: str
    template: str
    noise: str
    ip_scale: float
    judge: str
    recognisers: Mapping[str, str]
    people: Int[np.ndarray, " n"]
    wanted: Mapping[str, Float[np.ndarray, "P 512"]]
    shown: Generated
    text: Generated
    drawn: Generated
    unscaled: Unscaled
    files: Mapping[str, str]

    def likeness(self, generated: Generated, recogniser: str) -> Likeness:
        """Return whom the images of a model show, by one of the embedders."""
        return likeness(generated.found.faces[recogniser], self.people, self.wanted[recogniser])


def document(results: PeopleResults) -> str:
    """Write the document."""
    parts = [
        _head(results),
        *(_identity(results, recogniser) for recogniser in results.recognisers),
        _expression_section(results),
        _control(results),
        files_section(results.files),
    ]
    return "\n\n".join(parts) + "\n"


def _head(results: PeopleResults) -> str:
    people, images = len(results.wanted[CONDITIONING]), len(results.people)
    whose = "its own noise" if results.noise == "sample" else "the noise of its person"
    unscaled = results.unscaled
    lines = [
        "# Whether the model shows the person asked for, whatever the expression",
        "",
        f"Made by `{results.command}`; every number is from the images of that run.",
        "",
        f"- {people} drawn people whom no training saw, each with {len(EXPRESSIONS)} expressions: "
        f"{', '.join(EXPRESSIONS)}, from the prior `emotions` at intensities 2 to 5. {images} "
        f"images, each from {whose}.",
        "- A person is one embedding of one drawn portrait with a neutral face, and nothing else: "
        f"the prompt is `{results.template}`. Scale of the face branch: {results.ip_scale:g}.",
        f"- The *{CONDITIONING}* ({results.recognisers[CONDITIONING]}) is the one that the model "
        f"is given people by; the *{INDEPENDENT}* ({results.recognisers[INDEPENDENT]}) learned "
        "from other people and only judges.",
        f"- *{results.drawn.name}*: the same people and expressions by the renderer, in other "
        "light, pose, clothes and before another background than in the portrait: what can be had "
        "at best.",
        f"- *{results.text.name}*: the same base and AU adapter without a face; same prompts, AUs "
        "and noise. That is what the face adapter leaves at scale 0: "
        f"{unscaled.same} of {unscaled.images} images are the same to the bit, the largest "
        f"difference of a pixel is {unscaled.difference} of 255.",
        "- *Another person*: the images of the model against everyone but the person asked for; "
        "its last two columns are what chance gives.",
        f"- AUs are read by {results.judge}.",
    ]
    return "\n".join(lines)


def _identity(results: PeopleResults, recogniser: str) -> str:
    people, images = len(results.wanted[recogniser]), len(results.people)
    shown = results.likeness(results.shown, recogniser)
    chance = [1 / people, (len(EXPRESSIONS) - 1) / (images - 1)]
    rows = [
        _row(results.shown.name, shown.wanted, [shown.found, shown.rank1], shown.consistency),
        _row("another person", shown.others, chance, math.nan),
    ]
    for generated in (results.text, results.drawn):
        of = results.likeness(generated, recogniser)
        rows.append(_row(generated.name, of.wanted, [of.found, of.rank1], of.consistency))
    head = ["images", "cosine, mean", *(f"at least {bound:g}" for bound in BOUNDS),
            f"nearest of {people}", "rank-1", "consistency"]  # fmt: skip
    said = (
        "Cosine of image and portrait of the person asked for; *nearest*: that portrait is the "
        "nearest of all; *rank-1*: the nearest other image shows the same person; *consistency*: "
        f"mean cosine of two images of a person. Faces not found: {shown.faceless}."
    )
    return f"## Who is shown, by the {recogniser}\n\n{said}\n\n{table(head, rows)}"


def _row(name: str, cosines: Cosines, shares: list[float], consistency: float) -> list[str]:
    said = [percent(share) for share in (*cosines.above, *shares)]
    return [name, number(cosines.mean), *said, number(consistency)]


def _expression_section(results: PeopleResults) -> str:
    columns = {
        (generated.name, recogniser): by_expression(
            generated.found.faces[recogniser],
            results.people,
            results.wanted[recogniser],
            EXPRESSIONS,
        )
        for generated in (results.shown, results.drawn)
        for recogniser in results.recognisers
    }
    rows = [[name, *(number(column[name]) for column in columns.values())] for name in EXPRESSIONS]
    head = ["expression", *(f"{name}, {recogniser}" for name, recogniser in columns)]
    said = "Mean cosine with the person asked for."
    return f"## Each expression\n\n{said}\n\n{table(head, rows)}"


def _control(results: PeopleResults) -> str:
    judge = results.judge
    generated = (results.shown, results.text, results.drawn)
    overall = [one.errors(judge).pearson for one in generated]
    each = [one.correlations(judge) for one in generated]
    rows = [["all", "", *_with_ratio(overall)]]
    rows += [[au, FACS[au], *_with_ratio([one[au] for one in each])] for au in each[0]]
    head = ["AU", "", *(f"r, {one.name}" for one in generated),
            f"{generated[0].name} : {generated[1].name}"]  # fmt: skip
    said = (
        f"Pearson r of intensity asked for and measured. Over all AUs and images it is "
        f"{number(overall[0])} with faces and {number(overall[1])} without: "
        f"{percent(_kept(overall))} are kept."
    )
    return f"## Control of the AUs\n\n{said}\n\n{table(head, rows)}"


def _with_ratio(values: list[float]) -> list[str]:
    return [*map(number, values), number(_kept(values))]


def _kept(values: list[float]) -> float:
    """Return the first as a share of the second; NaN where that is not above 0."""
    return values[0] / values[1] if values[1] > 0 else math.nan
