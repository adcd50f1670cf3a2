"""Identities: the value that every source gives, and a person as a face recogniser sees one."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from string import Formatter
from typing import Any

import numpy as np
from jaxtyping import Float32

FACEID_WIDTH = 512
"""Numbers of a FaceID embedding."""


_DIGITS = 8
_QUALIFIED = re.compile(rf".+@[0-9a-f]{{{_DIGITS}}}", re.DOTALL)


@dataclass(frozen=True, slots=True, eq=False)
class FaceIdentity:
    """The person that an image is to show.

    Attributes:
        identity_id: name of the person.
        embeddings: one L2-normalised embedding for each known face of the person.
        embedder: fingerprint of the recogniser that made them; another one's mean nothing.
    """

    identity_id: str
    embeddings: Float32[np.ndarray, "faces 512"]
    embedder: str

    @property
    def mean(self) -> Float32[np.ndarray, " 512"]:
        """The middle of the person's faces, L2-normalised."""
        total = self.embeddings.astype(np.float64).sum(axis=0)
        return (total / np.linalg.norm(total)).astype(np.float32)

    @property
    def qualified_id(self) -> str:
        """The name with a short hash of the person's faces, as `anna@5f3c91d2`.

        The same person is so called in every run and in every store that holds these faces, in
        whatever order and beside whomever; another store's person of that name is not. A name that
        is qualified already, as in a store made of a run's rows, stays.
        """
        if _QUALIFIED.fullmatch(self.identity_id):
            return self.identity_id
        faces = sorted(face.astype("<f4").tobytes() for face in self.embeddings)
        digest = sha256(b"".join([self.embedder.encode(), *faces])).hexdigest()
        return f"{self.identity_id}@{digest[:_DIGITS]}"

    def __eq__(self, other: object) -> bool:
        """Return whether both are the same person with the same embeddings, to the bit."""
        return isinstance(other, FaceIdentity) and self._key() == other._key()

    def __hash__(self) -> int:
        """Return a hash of the person."""
        return hash(self._key())

    def _key(self) -> tuple[str, str, bytes]:
        return self.identity_id, self.embedder, self.embeddings.tobytes()


@dataclass(frozen=True, slots=True)
class Identity:
    """Person whom a sample shows.

    Attributes:
        identity_id: name, unique in the dataset.
        values: slot → value.
        seed: seed of what slots and embeddings leave open [0, 2^63).
        prompt: the template filled with the values, runs of blanks collapsed.
        conditions: name → value of what the identity adds to its specs, such as `faceid`: those
            that the section's `gives` names, of the type that pipelines and checks take.
    """

    identity_id: str
    values: dict[str, str]
    seed: int
    prompt: str
    conditions: Mapping[str, Any] = field(default_factory=dict)


def numbered(what: str, run_id: str, number: int) -> str:
    """Name the n-th thing of a run, as `sample-3f9a2c1b-00000013`; without a run, by number alone.

    Runs that are joined keep their samples and identities apart by their short names.
    """
    return f"{what}-{run_id}-{number:08d}" if run_id else f"{what}-{number:08d}"


def filled(template: str, values: dict[str, str]) -> str:
    """Fill a template, and collapse runs of blanks.

    An article that stands before a slot fits the word that follows: `a {age} man` gives `an old
    man`. Articles elsewhere stay as they are written.
    """
    text, articles = "", []
    for literal, slot, _, _ in Formatter().parse(template):
        text += literal
        if slot is not None:
            articles += [found.start(1) for found in [_ARTICLE_AT_END.search(text)] if found]
            text += values[slot]
    for start in reversed(articles):
        text = text[:start] + _BEFORE_WORD.sub(_fitting, text[start:], count=1)
    return " ".join(text.split())


def _fitting(found: re.Match[str]) -> str:
    article = found[1][0] + ("n" if _VOWEL_SOUND.match(found[3]) else "")
    return f"{article}{found[2]}{found[3]}"


_ARTICLE_AT_END = re.compile(r"(?:^|(?<=[\s(\"']))(an?)\s+$", re.IGNORECASE)
_BEFORE_WORD = re.compile(r"(an?)(\s+[^\w\s]*)(\w+)", re.IGNORECASE)
_VOWEL_SOUND = re.compile(
    # As they are spoken: hour, 8, 80, 11 and 18; not university, European, useful, one.
    r"(?!uni(?![mn])|eu|us[eu]|ubiq|on(e|ce)\b|ewe)[aeiou]|hour|hon(est|or|our)|heir|8|1[18]\b",
    re.IGNORECASE,
)


class Identities(ABC):
    """The identities of a run, each computed alone from its number.

    Identity j belongs to the split of its samples, `partition.locate(j * partition.group)`; more
    identities keep the earlier ones.

    Attributes:
        count: number of identities of the run.
    """

    __slots__ = ()

    count: int

    @property
    @abstractmethod
    def slots(self) -> tuple[str, ...]:
        """Names of the slots whose values each identity has, in order of the columns."""

    @abstractmethod
    def identity(self, number: int) -> Identity:
        """Return the identity of a number in [0, count)."""

    def describe(self) -> str | None:
        """Say of what store the people are, for the plan; None where there is none."""
        return None

    def fingerprint(self) -> dict[str, str]:
        """Return what the identities are a function of besides the configuration: name → digest."""
        return {}

    def licences(self) -> dict[str, str]:
        """Return name → licence of what the identities come from."""
        return {}
