"""Bias of an AU network by trait: exactly drawn faces, read, and compared between kinds of people.

A verifier that reads cheeks as raised in pale faces rejects pale people more often, whatever was
painted. Here nothing is painted but what the label says, so that all differences are the reader's,
or, with `vae`, what the VAE makes of the faces. Rows never hold corrected readings: the figures are
for the training of the network.

Traits come as the drawings draw them (beards on men, gray hair on the old): values of a trait
differ in other traits too.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from PIL.Image import Image

from pipelines.evaluation.gallery import files_section, write_document
from pipelines.evaluation.judges import AUJudge, SecondJudge, VerifierJudge
from pipelines.evaluation.protocols import COMBINED_CATEGORIES, emotions_of
from pipelines.libreface import LibreFaceVerifier
from pipelines.libreface.check import judge
from pipelines.libreface.section import ActionUnitPolicy
from pipelines.loading import fix_arithmetic, pick_device
from pipelines.procedural import Identity, random_identity, render
from pipelines.procedural.drawn_aus import aus_of_edition, edition_of
from pipelines.procedural.vocabulary import TRAITS
from pipelines.training.diffusion.decoded import DecodedPictures, VAEPictures, decoding_facts
from samplers.randomness import derive_seed
from synthgen.action_units import DEFAULT_AUS, ActionUnitSet
from synthgen.dataset.markdown import number, percent, table
from synthgen.dataset.proportions import Proportion
from synthgen.errors import ConfigError

_BATCH = 64

CATEGORIES = ("neutral", *COMBINED_CATEGORIES)
"""Categories of the expressions: those of the examples."""

LEAST_SHARE = 0.05
"""Difference of two shares from which it is told."""

LEAST_MEAN = 0.25
"""Difference of two mean intensities from which it is told."""

LEAST_FACES = 30
"""Faces from which an interval of a mean is taken as that of a normal distribution."""

_DEVIATIONS = 1.96
"""Half the width of a 95 % interval of a mean [standard errors]."""


@dataclass(frozen=True, slots=True)
class BiasEvaluation:
    """An evaluation; its page is a function of this and of the files that it names.

    Attributes:
        verifier: the AU network: `mini`, `libreface`, or a file.
        judge: a second network, from `synthgen train judge`; None: there is none.
        vae: folder of a VAE, or `mini`, through which the pictures pass; None: as drawn.
        faces: people, each with one expression.
        above: intensity from which an AU that nobody drew counts as read.
        threads: CPU threads.
        seed: of people and expressions.
    """

    verifier: str = "mini"
    judge: Path | None = None
    vae: str | None = None
    faces: int = 2000
    above: float = 1.0
    threads: int = 1
    seed: int = 0

    def command(self) -> str:
        """Return the command that makes the page again, without where files lie."""
        usual = BiasEvaluation()
        words = [f"synthgen evaluate verifier --verifier {Path(self.verifier).name}"]
        if self.judge is not None:
            words.append(f"--judge {self.judge.name}")
        if self.vae is not None:
            words.append(f"--vae {Path(self.vae).name}")
        words += [
            f"--{name} {getattr(self, name):g}"
            for name in ("faces", "above", "seed")
            if getattr(self, name) != getattr(usual, name)
        ]
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Mean:
    """Mean of independent numbers with its 95 % interval; NaN of fewer than `LEAST_FACES`.

    Attributes:
        value: the mean.
        low: lower end.
        high: upper end.
        count: numbers.
    """

    value: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Float[np.ndarray, " n"]) -> "Mean":
        """Return the mean of some numbers."""
        if len(values) < LEAST_FACES:
            return cls(math.nan, math.nan, math.nan, len(values))
        middle = float(values.mean())
        half = _DEVIATIONS * float(values.std(ddof=1)) / math.sqrt(len(values))
        return cls(middle, middle - half, middle + half, len(values))

    def differs_from(self, other: "Mean") -> bool:
        """Return whether the two intervals have nothing in common; False without numbers."""
        return self.low > other.high or self.high < other.low

    def text(self) -> str:
        """Write the mean with its interval; a dash without one."""
        if math.isnan(self.value):
            return "–"
        return f"{number(self.value)} ({number(self.low)} to {number(self.high)})"


@dataclass(frozen=True, slots=True)
class AUBias:
    """Reading of one AU in some faces.

    Attributes:
        raised: faces in which nobody drew it, of which those count where it is read above a bound.
        unasked: what is read in those.
        error: read less drawn, where it is drawn.
    """

    raised: Proportion
    unasked: Mean
    error: Mean


@dataclass(frozen=True, slots=True)
class ValueBias:
    """Reading of the faces of one value of a trait, and of all others.

    Attributes:
        kept: faces that the usual policy would keep, though all of them show their label.
        others_kept: the same of the trait's other values.
        aus: AU → how it is read.
        others: AU → how it is read in faces of the trait's other values.
    """

    kept: Proportion
    others_kept: Proportion
    aus: dict[str, AUBias]
    others: dict[str, AUBias]


@dataclass(frozen=True, slots=True)
class JudgeBias:
    """Findings on one network.

    Attributes:
        name: the network.
        faces: faces that it was shown.
        faceless: those in which it found no face; they are left out.
        kept: faces that the usual policy would keep.
        traits: trait → value → how faces of it are read.
    """

    name: str
    faces: int
    faceless: int
    kept: Proportion
    traits: dict[str, dict[str, ValueBias]]


@dataclass(frozen=True, slots=True)
class Difference:
    """A value of a trait that is read otherwise than the trait's other values.

    Attributes:
        au: the AU; empty where it is about what is kept.
        value: trait and value.
        what: the figure.
        mine: that of the value.
        theirs: that of the others.
        size: how large the difference is, against the least that is told.
    """

    au: str
    value: str
    what: str
    mine: str
    theirs: str
    size: float


def evaluate_bias(settings: BiasEvaluation, to: str | Path) -> tuple[str, Path, Path]:
    """Measure the bias, and write the page and, beside it, the figures as JSON.

    Args:
        settings: what is measured, and how.
        to: Markdown file to write; the figures go to the same name with the ending `.json`.

    Returns:
        The tables, the page, and the file of the figures.

    Raises:
        ConfigError: if `to` ends in `.json`.
        WeightsError: if weights are missing or do not fit.
        OutputError: if a file cannot be written.
    """
    page = Path(to)
    figures = page.with_suffix(".json")
    if page == figures:
        raise ConfigError(
            f"--to {page} ends in .json, as the figures do that are written beside the page; "
            "name a Markdown file"
        )
    fix_arithmetic(settings.threads)
    verifier = LibreFaceVerifier.from_pretrained(settings.verifier, device=pick_device())
    aus = aus_of_edition(edition_of(verifier.action_units))
    judges: list[AUJudge] = [VerifierJudge(verifier, aus)]
    if settings.judge is not None:
        judges.append(SecondJudge.from_file(settings.judge, aus))
    found = measure_bias(settings, judges, aus)
    body = "\n\n".join(_section(one) for one in found)
    files = {name: sha256 for each in judges for name, sha256 in each.weights.items()}
    if settings.vae is not None:
        files |= {"VAE": decoding_facts(DecodedPictures(vae=settings.vae))["vae_sha256"]}
    plain = {"command": settings.command(), "judges": [_plain(asdict(one)) for one in found]}
    write_document(figures, json.dumps(plain, indent=1) + "\n")
    head = _head(settings)
    write_document(page, "\n\n".join([head, body, files_section(files)]) + "\n")
    return body, page, figures


def measure_bias(
    settings: BiasEvaluation, judges: Sequence[AUJudge], aus: ActionUnitSet = DEFAULT_AUS
) -> list[JudgeBias]:
    """Draw faces, and compare how networks read them.

    Args:
        settings: which faces.
        judges: the networks.
        aus: the AUs of an edition of the drawings, which all of them read.
    """
    drawn = emotions_of(CATEGORIES, aus).sample(settings.faces, seed=settings.seed)
    edition = edition_of(aus)
    people = [_person(settings.seed, n, edition) for n in range(settings.faces)]
    read: list[list[Float[np.ndarray, "n aus"]]] = [[] for _ in judges]
    for pictures in _batches(_pictures(settings, people, drawn)):
        for judge_, found in zip(judges, read, strict=True):
            found.append(judge_.measure(pictures))
    return [
        compare_readings(judge_.name, people, drawn, np.concatenate(found), settings.above, aus)
        for judge_, found in zip(judges, read, strict=True)
    ]


def compare_readings(
    name: str,
    people: Sequence[Identity],
    drawn: Float[np.ndarray, "n aus"],
    read: Float[np.ndarray, "n aus"],
    above: float,
    aus: ActionUnitSet = DEFAULT_AUS,
) -> JudgeBias:
    """Compare readings between the values of each trait.

    Args:
        name: whose readings they are.
        people: whom each face shows.
        drawn: intensities drawn [0–5].
        read: intensities read; NaN where no face was found.
        above: intensity from which an AU that nobody drew counts as read.
        aus: which AUs they are.
    """
    seen = ~np.isnan(read).any(axis=1)
    kept = np.array(
        [
            bool(there) and judge(asked, found, 1, ActionUnitPolicy(), aus).accepted
            for asked, found, there in zip(drawn, read, seen, strict=True)
        ],
        bool,
    )

    def aus_of(these: Bool[np.ndarray, " n"]) -> dict[str, AUBias]:
        return {
            au: _au_bias(drawn[these, place], read[these, place], above)
            for place, au in enumerate(aus.names)
        }

    def kept_of(these: Bool[np.ndarray, " n"]) -> Proportion:
        return Proportion(int(kept[these].sum()), int(these.sum()))

    traits: dict[str, dict[str, ValueBias]] = {}
    for trait, values in TRAITS.items():
        shown = np.array([_shown(person, trait) for person in people], object)
        told = seen & (shown != "")
        traits[trait] = {
            value: ValueBias(
                kept=kept_of(told & (shown == value)),
                others_kept=kept_of(told & (shown != value)),
                aus=aus_of(told & (shown == value)),
                others=aus_of(told & (shown != value)),
            )
            for value in values
        }
    return JudgeBias(name, len(people), int((~seen).sum()), kept_of(seen), traits)


def differences(found: JudgeBias) -> list[Difference]:
    """Return what differs between the values of a trait, the largest difference first.

    Told is a difference whose two 95 % intervals have nothing in common, from 5 % of the faces, or
    an intensity of 0.25, on.
    """
    told = []
    for trait, values in found.traits.items():
        for value, bias in values.items():
            name = f"{trait} {value}"
            told += _told("", name, "kept by the usual policy", bias.kept, bias.others_kept)
            for au, mine in bias.aus.items():
                theirs = bias.others[au]
                told += _told(au, name, "read where not drawn", mine.raised, theirs.raised)
                told += _told(au, name, "read less drawn", mine.error, theirs.error)
    return sorted(told, key=lambda one: -one.size)


def _told(
    au: str, name: str, what: str, mine: Proportion | Mean, theirs: Proportion | Mean
) -> Iterator[Difference]:
    if isinstance(mine, Proportion) and isinstance(theirs, Proportion):
        differs, size = mine.differs_from(theirs), abs(mine.share - theirs.share) / LEAST_SHARE
    elif isinstance(mine, Mean) and isinstance(theirs, Mean):
        differs, size = mine.differs_from(theirs), abs(mine.value - theirs.value) / LEAST_MEAN
    else:
        raise TypeError(f"{type(mine).__name__} and {type(theirs).__name__} are not compared")
    if differs and size >= 1:
        yield Difference(au, name, what, mine.text(), theirs.text(), size)


def _person(seed: int, n: int, edition: int) -> Identity:
    return random_identity(derive_seed(seed, "evaluation/bias", n), edition=edition)


def _shown(person: Identity, trait: str) -> str:
    """Return a trait's value; empty where it cannot be seen."""
    hidden = trait == "hair" and person.hair_style == "bald"
    return "" if hidden else person.traits[trait]


def _pictures(
    settings: BiasEvaluation, people: Sequence[Identity], drawn: Float[np.ndarray, "n aus"]
) -> Iterator[Image]:
    through: Callable[[Image, int], Image] = lambda picture, _: picture  # noqa: E731
    if settings.vae is not None:
        exact = DecodedPictures(vae=settings.vae, share=1, latent_noise=0)
        through = VAEPictures(exact, settings.seed, "evaluation/bias", "float32").decoded
    for n, (person, aus) in enumerate(zip(people, drawn, strict=True)):
        yield through(render(person, tuple(map(float, aus))), n)


def _batches(pictures: Iterator[Image]) -> Iterator[list[Image]]:
    held: list[Image] = []
    for picture in pictures:
        held.append(picture)
        if len(held) == _BATCH:
            yield held
            held = []
    if held:
        yield held


def _au_bias(drawn: Float[np.ndarray, " n"], read: Float[np.ndarray, " n"], above: float) -> AUBias:
    active = drawn > 0
    elsewhere = read[~active].astype(np.float64)
    return AUBias(
        raised=Proportion(int((elsewhere > above).sum()), len(elsewhere)),
        unasked=Mean.of(elsewhere),
        error=Mean.of((read - drawn)[active].astype(np.float64)),
    )


def _head(settings: BiasEvaluation) -> str:
    passed = "" if settings.vae is None else ", each encoded and decoded by the VAE"
    return (
        "# An AU network's readings by trait\n\n"
        f"Made by `{settings.command()}`: {settings.faces} drawn people, each with one expression, "
        f"drawn exactly{passed}.\n\n"
        f"- An AU that nobody drew counts as read above {settings.above:g}.\n"
        "- *Kept*: faces that the usual policy keeps (`max_active_error` 1, `max_inactive` 1, "
        "`min_active` 0.5); without a bias, as many of each value.\n"
        f"- Told are differences from {percent(LEAST_SHARE)} or {LEAST_MEAN:g} on, whose 95 % "
        "intervals (Wilson's for shares) have nothing in common with that of the trait's other "
        "values. Values are not adjusted for one another: gray hair is old, beards are men's.\n"
        "- All figures are in the JSON file beside this page."
    )


def _section(found: JudgeBias) -> str:
    faceless = f" In {found.faceless} no face was found." if found.faceless else ""
    told = differences(found)
    rows = [[one.au or "all", one.value, one.what, one.mine, one.theirs] for one in told]
    head = ["AU", "trait", "figure", "this value (95 %)", "other values (95 %)"]
    parts = [
        f"## {found.name}",
        f"Of {found.faces} faces, the usual policy keeps {found.kept.text()}.{faceless}",
        table(head, rows) if rows else "No value of a trait is read otherwise than the others.",
    ]
    parts += [_trait_table(trait, found.traits[trait]) for trait in ("skin", "age", "person")]
    return "\n\n".join(parts)


def _trait_table(trait: str, values: dict[str, ValueBias]) -> str:
    """Tell what is kept, and the AUs that are read anywhere where nobody drew them."""
    aus = next(iter(values.values())).aus
    raised = [au for au in aus if any(each.aus[au].raised.hits for each in values.values())]
    rows = [
        [f"{au} read where not drawn", *(each.aus[au].raised.text() for each in values.values())]
        for au in raised
    ]
    kept = ["kept by the usual policy", *(each.kept.text() for each in values.values())]
    return table(["faces (95 %)", *(f"{trait} {value}" for value in values)], [kept, *rows])


def _plain(value: Any) -> Any:
    """Return values as JSON has them: null for NaN."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
