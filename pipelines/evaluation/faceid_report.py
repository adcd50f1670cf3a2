"""`docs/mini-identities.md`: whether images show the person asked for, and the expression."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from pipelines.evaluation.documents import files_section
from pipelines.evaluation.findings import Findings
from pipelines.evaluation.likeness import BOUNDS, Cosines, Likeness, by_expression, likeness
from pipelines.evaluation.people import EXPRESSIONS
from pipelines.evaluation.protocols import au_array
from pipelines.evaluation.statistics import Errors, au_correlations, au_errors
from synthgen.action_units import AU_NAMES
from synthgen.dataset.markdown import number, percent, table

CONDITIONING, INDEPENDENT = "conditioning embedder", "independent embedder"


@dataclass(frozen=True, slots=True, eq=False)
class Painted:
    """What was found in the images of one model.

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
        return au_correlations(au_array(self.found.requests), self.found.aus[judge])


@dataclass(frozen=True, slots=True)
class Unscaled:
    """What the face adapter paints at scale 0, against the model without it.

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
    shown: Painted
    text: Painted
    drawn: Painted
    unscaled: Unscaled
    files: Mapping[str, str]

    def likeness(self, painted: Painted, recogniser: str) -> Likeness:
        """Return whom the images of a model show, by one of the embedders."""
        return likeness(painted.found.faces[recogniser], self.people, self.wanted[recogniser])


def document(results: PeopleResults) -> str:
    """Write the document."""
    parts = [
        _head(results),
        *(_identity(results, recogniser) for recogniser in results.recognisers),
        _expressions(results),
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
    for painted in (results.text, results.drawn):
        of = results.likeness(painted, recogniser)
        rows.append(_row(painted.name, of.wanted, [of.found, of.rank1], of.consistency))
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


def _expressions(results: PeopleResults) -> str:
    columns = {
        (painted.name, recogniser): by_expression(
            painted.found.faces[recogniser],
            results.people,
            results.wanted[recogniser],
            EXPRESSIONS,
        )
        for painted in (results.shown, results.drawn)
        for recogniser in results.recognisers
    }
    rows = [[name, *(number(column[name]) for column in columns.values())] for name in EXPRESSIONS]
    head = ["expression", *(f"{name}, {recogniser}" for name, recogniser in columns)]
    said = "Mean cosine with the person asked for."
    return f"## Each expression\n\n{said}\n\n{table(head, rows)}"


def _control(results: PeopleResults) -> str:
    judge = results.judge
    painted = (results.shown, results.text, results.drawn)
    overall = [one.errors(judge).pearson for one in painted]
    each = [one.correlations(judge) for one in painted]
    rows = [["all", "", *_with_ratio(overall)]]
    rows += [[au, name, *_with_ratio([one[au] for one in each])] for au, name in AU_NAMES.items()]
    head = ["AU", "", *(f"r, {one.name}" for one in painted),
            f"{painted[0].name} : {painted[1].name}"]  # fmt: skip
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
