"""Measures whether images show the people that they were asked to show."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float32
from PIL.Image import Image

from pipelines.faceid.embedder import FaceEmbedder
from pipelines.faceid.section import IdentityCheck, IdentityPolicy
from pipelines.interfaces import Verifier
from pipelines.policy import Verdict
from samplers.identities.identity import FaceIdentity
from samplers.identities.store import FaceStore, read_store
from samplers.spec import SampleSpec
from synthgen.config.verify import Arc2FaceEmbedderConfig, DrawnEmbedderConfig, EmbedderConfig
from synthgen.dataset.schema import (
    EMBEDDING_WIDTH,
    FACEID_MEASURED,
    FORBIDDEN_SIMILARITY,
    IDENTITY_SIMILARITY,
    Feature,
    value_feature,
    vector_feature,
)
from synthgen.errors import StoreError

COSINE_WEIGHT = 10.0
"""Weight of a cosine missed against an AU intensity missed, when rejected images are ranked."""


@dataclass(frozen=True, slots=True, eq=False)
class IdentityMeasurement:
    """Whom an image shows.

    Attributes:
        embedding: L2-normalised embedding of the image's face; None where no face was found.
        similarity: cosine with the person asked for [-1, 1]; None without a face or a person.
        forbidden: largest cosine with anybody who must not appear; None without a face or a list.
        forbidden_name: who that is.
        compared: whom it was to show, in words.
    """

    embedding: Float32[np.ndarray, " 512"] | None = None
    similarity: float | None = None
    forbidden: float | None = None
    forbidden_name: str | None = None
    compared: str = "the person asked for"


NEUTRAL_IMAGE = "the neutral image of the identity"

_SHOWN = "shown"
"""Key of a measurement that is no column: the whole of it."""

NOT_MEASURED = IdentityMeasurement()
"""Value of images where no face was found, or nobody looked for one."""


def judge_identity(found: IdentityMeasurement, policy: IdentityPolicy) -> Verdict:
    """Judge one image by whom it shows.

    Args:
        found: whom the image shows.
        policy: the bounds.
    """
    misses = list(_misses(found, policy))
    if not misses:
        return Verdict.accept()
    reason, detail, _ = misses[0]
    return Verdict.reject(reason, detail, COSINE_WEIGHT * sum(excess for _, _, excess in misses))


def _misses(found: IdentityMeasurement, policy: IdentityPolicy) -> Iterator[tuple[str, str, float]]:
    least, most = policy.min_identity_similarity, policy.max_similarity_to_forbidden
    if found.embedding is None:
        if least is not None or most is not None:
            yield "identity", "the face embedder found no face", math.inf
        return
    if least is not None and found.compared == NEUTRAL_IMAGE and found.similarity is None:
        yield "identity", f"the face embedder found no face in {NEUTRAL_IMAGE}", math.inf
    if least is not None and found.similarity is not None and found.similarity < least:
        detail = (
            f"the similarity to {found.compared} is {found.similarity:.3f}; "
            f"the least allowed is {least:g}"
        )
        yield "identity", detail, least - found.similarity
    if most is not None and found.forbidden is not None and found.forbidden > most:
        detail = (
            f"the similarity to {found.forbidden_name}, who must not appear, is "
            f"{found.forbidden:.3f}; at most {most:g} is allowed"
        )
        yield "forbidden", detail, found.forbidden - most


def load_embedder(config: EmbedderConfig, device: str = "cpu", threads: int = 1) -> FaceEmbedder:
    """Load a face embedder.

    Args:
        config: which.
        device: torch device.
        threads: CPU threads of insightface; the project's own take torch's.

    Raises:
        WeightsError: if weights are missing or do not fit.
        MissingDependencyError: if insightface is meant and not installed.
    """
    if isinstance(config, DrawnEmbedderConfig):
        from pipelines.faceid.drawn import DrawnFaceEmbedder

        return DrawnFaceEmbedder.from_pretrained(config.weights, device)
    if isinstance(config, Arc2FaceEmbedderConfig):
        from pipelines.faceid.arcface import load_arcface

        return load_arcface(
            config.model, config.detector, device, config.licence, config.min_score, threads
        )
    from pipelines.faceid.photographs import InsightFaceEmbedder

    return InsightFaceEmbedder.from_pretrained(
        config.model, device, config.licence, config.min_score, threads
    )


class IdentityVerifier(Verifier):
    """Embeds the faces of images and compares them with whom they should and must not show.

    A measurement is a function of its image and its person alone.

    Args:
        embedder: what embeds.
        wanted: the people asked for, by this embedder; None: as the pipeline is given them.
        forbidden: people who must not appear, by this embedder.
        policy: the bounds.
        people: whether specs ask for people by their embeddings.
        neutral: whether images are compared with the neutral image of their identity instead.

    Attributes:
        name: name of the embedder.

    Raises:
        StoreError: if a store was made by another embedder.
    """

    by_batch = False
    plain_reasons = True

    def __init__(
        self,
        embedder: FaceEmbedder,
        wanted: FaceStore | None = None,
        forbidden: FaceStore | None = None,
        policy: IdentityPolicy = IdentityPolicy(),  # noqa: B008 - immutable
        *,
        people: bool = True,
        neutral: bool = False,
    ) -> None:
        self.wants_neutral = neutral
        self.name = embedder.name
        self._embedder = embedder
        self._wanted = wanted
        self._forbidden = forbidden
        self._policy = policy
        self._people = people
        for store in (wanted, forbidden):
            if store is not None and store.about.embedder != embedder.fingerprint:
                raise StoreError(
                    f"{store.where} holds embeddings of {store.about.embedder!r} "
                    f"({store.about.embedder_name}); the embedder of the check is {self.name}, "
                    f"{embedder.fingerprint!r}: embed its photographs by that"
                )

    @classmethod
    def from_config(
        cls,
        config: IdentityCheck,
        device: str,
        threads: int = 1,
        *,
        people: bool = True,
    ) -> "IdentityVerifier":
        """Load embedder and stores.

        Raises:
            WeightsError: if weights are missing or do not fit.
            MissingDependencyError: if the embedder's package is not installed.
            StoreError: if a store cannot be read or was made by another embedder.
        """
        embedder = load_embedder(config.embedder, device, threads)
        stores = _store(config.wanted), _store(config.forbidden)
        return cls(embedder, *stores, config.policy, people=people, neutral=config.neutral)

    @property
    def columns(self) -> Mapping[str, Feature]:
        """Return the embedding of the image's face, and its cosines with people."""
        found = {FACEID_MEASURED: vector_feature(EMBEDDING_WIDTH)}
        if self._people or self.wants_neutral:
            found[IDENTITY_SIMILARITY] = value_feature("float32")
        if self._forbidden is not None:
            found[FORBIDDEN_SIMILARITY] = value_feature("float32")
        return found

    @property
    def only_in_data(self) -> frozenset[str]:
        """Return the embedding: rejected attempts are told by their cosines."""
        return frozenset({FACEID_MEASURED})

    def measure(
        self, images: Sequence[Image], specs: Sequence[SampleSpec]
    ) -> list[Mapping[str, Any]]:
        """Measure images; see `compare` and `compare_neutral`."""
        if self.wants_neutral:
            neutral = [spec.condition("neutral", Image) for spec in specs]
            measured = self.compare_neutral(images, neutral)
        else:
            measured = self.compare(images, [spec.faceid for spec in specs])
        return [
            {
                FACEID_MEASURED: None if shown.embedding is None else shown.embedding.tolist(),
                IDENTITY_SIMILARITY: shown.similarity,
                FORBIDDEN_SIMILARITY: shown.forbidden,
                _SHOWN: shown,
            }
            for shown in measured
        ]

    def verdict(self, spec: SampleSpec, measured: Mapping[str, Any]) -> Verdict:
        """Judge one image; see `judge_identity`."""
        return judge_identity(measured[_SHOWN], self._policy)

    def check(self, spec: SampleSpec) -> None:
        """Refuse a spec whose person cannot be compared; see `check_person`."""
        self.check_person(spec.faceid)

    def check_person(self, person: FaceIdentity | None) -> None:
        """Refuse a person who cannot be compared with what the embedder finds.

        Raises:
            StoreError: if the person's embeddings are another embedder's, or the store of wanted
                people does not know the person.
        """
        if person is None:
            return
        if self._wanted is not None:
            if person.identity_id not in self._wanted.rows:
                raise StoreError(
                    f"{self._wanted.where} (wanted of the check) does not hold "
                    f"{person.identity_id!r}, whom identities.store names"
                )
        elif person.embedder != self._embedder.fingerprint:
            raise StoreError(
                f"the embeddings of {person.identity_id} are of {person.embedder!r}; "
                f"the embedder of the check is {self.name}, {self._embedder.fingerprint!r}: name "
                "a store of the same people by that as the check's wanted"
            )

    def compare(
        self, images: Sequence[Image], people: Sequence[FaceIdentity | None]
    ) -> list[IdentityMeasurement]:
        """Measure RGB images, each with the person that it was to show, or None.

        Raises:
            StoreError: if a person cannot be compared; see `check_person`.
        """
        found = self._embedder.embed(images)
        return [
            self._compare(embedding, person) if faces else NOT_MEASURED
            for embedding, faces, person in zip(found.embeddings, found.faces, people, strict=True)
        ]

    def compare_neutral(
        self, images: Sequence[Image], neutral: Sequence[Image]
    ) -> list[IdentityMeasurement]:
        """Measure RGB images, each with the neutral image of its identity."""
        shown = self.compare(images, [None] * len(images))
        different = {id(image): image for image in neutral}
        seen = self._embedder.embed([*different.values()])
        wanted = {
            name: embedding if faces else None
            for name, embedding, faces in zip(different, seen.embeddings, seen.faces, strict=True)
        }
        return [
            replace(
                found,
                similarity=_similarity(found.embedding, wanted[id(image)]),
                compared=NEUTRAL_IMAGE,
            )
            for found, image in zip(shown, neutral, strict=True)
        ]

    def fingerprint(self) -> dict[str, Any]:
        """Return what measurements are a function of; as `ImageSource.fingerprint`, and `stores`.

        Stores go by use → sha256.
        """
        uses = {"wanted": self._wanted, "forbidden": self._forbidden}
        stores = {
            f"verify.identity.{use}": store.fingerprint
            for use, store in uses.items()
            if store is not None
        }
        return {**self._embedder.provenance(), "stores": stores}

    def _compare(self, embedding: np.ndarray, person: FaceIdentity | None) -> IdentityMeasurement:
        name, forbidden = self._nearest_forbidden(embedding)
        similarity = None if person is None else _cosine(self._embedding_of(person), embedding)
        return IdentityMeasurement(embedding, similarity, forbidden, name)

    def _embedding_of(self, person: FaceIdentity) -> np.ndarray:
        self.check_person(person)
        return (person if self._wanted is None else self._wanted.face(person.identity_id)).mean

    def _nearest_forbidden(self, embedding: np.ndarray) -> tuple[str | None, float | None]:
        if self._forbidden is None:
            return None, None
        cosines = self._forbidden.embeddings @ embedding  # [rows], one image at a time
        nearest = int(cosines.argmax())
        name = self._forbidden.identity_ids[nearest]
        return name, _cosine(self._forbidden.embeddings[nearest], embedding)


def _store(path: str | None) -> FaceStore | None:
    return None if path is None else read_store(path)


def _similarity(one: np.ndarray | None, other: np.ndarray | None) -> float | None:
    return None if one is None or other is None else _cosine(other, one)


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.clip(np.dot(one.astype(np.float64), other.astype(np.float64)), -1, 1))
