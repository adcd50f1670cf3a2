"""The rows of a dataset, and their Arrow and Hugging Face schema."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One sample of the dataset.

    Attributes:
        sample_id: name of the sample, unique in the dataset.
        image: encoded image file.
        aus: requested AU vector, an intensity for each AU of the run.
        aus_measured: what the verifier found, an intensity for each AU [0–5]; None where no face
            was found, which is stored as nulls.
        active_error: mean |requested − measured| over the AUs asked for; None where none was.
        inactive_max: largest measured intensity of the others; None where there are none.
        accepted: whether the image keeps the policy.
        attempt: number of the attempt that made the image, from 0.
        replacement: number of the spec among the sample's specs, from 0.
        emotion: category, or None where the prior has none.
        identity_id: name of the identity.
        identity: slot → value.
        prompt: text that the pipeline was given.
        negative_prompt: what the image was not to show.
        seed: seed of the noise that made the image [0, 2^63); with `noise: identity` that of the
            identity, or, where an image blends in its own, of its own.
        pipeline: name of the pipeline.
        verifier: name of the verifier.
        faceid_embedding: embedding of the person asked for, 512 numbers, L2-normalised; None where
            the prompt alone says who is shown.
        faceid_measured: embedding of the image's face; None where no face was found or nobody
            looked for one.
        identity_similarity: cosine between the embedding of the image and that of the person asked
            for; None where one of them is missing.
        forbidden_similarity: largest cosine between the embedding of the image and those that must
            not appear; None where one of them is missing.
    """

    sample_id: str
    image: bytes
    aus: tuple[float, ...]
    aus_measured: tuple[float, ...] | None
    active_error: float | None
    inactive_max: float | None
    accepted: bool
    attempt: int
    replacement: int
    emotion: str | None
    identity_id: str
    identity: Mapping[str, str]
    prompt: str
    negative_prompt: str
    seed: int
    pipeline: str
    verifier: str
    faceid_embedding: tuple[float, ...] | None = None
    faceid_measured: tuple[float, ...] | None = None
    identity_similarity: float | None = None
    forbidden_similarity: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """One attempt that was not kept, with its reason; without its image.

    Attributes:
        reason: `blank`, `no_face`, `active_error`, `inactive`, `missing_au`, `au_tolerance`,
            `identity`, `forbidden` or `error`.
        detail: the reason in words, with values.

    The other fields are those of `Row`.
    """

    sample_id: str
    reason: str
    detail: str
    aus: tuple[float, ...]
    aus_measured: tuple[float, ...] | None
    active_error: float | None
    inactive_max: float | None
    attempt: int
    replacement: int
    emotion: str | None
    identity_id: str
    prompt: str
    negative_prompt: str
    seed: int
    pipeline: str
    verifier: str
    identity_similarity: float | None = None
    forbidden_similarity: float | None = None


FACEID_EMBEDDING, FACEID_MEASURED = "faceid_embedding", "faceid_measured"
IDENTITY_SIMILARITY, FORBIDDEN_SIMILARITY = "identity_similarity", "forbidden_similarity"

FACE_COLUMNS = (FACEID_EMBEDDING, FACEID_MEASURED, IDENTITY_SIMILARITY, FORBIDDEN_SIMILARITY)
"""Columns that a dataset has only where faces are embedded, in order."""


@dataclass(frozen=True, slots=True)
class DatasetSchema:
    """What the columns depend on.

    Attributes:
        categories: emotion categories in ClassLabel order; empty where the prior has none, and
            then there is no column `emotion`.
        slots: names of the identity slots; empty where there are none, and then there is no
            column `identity`.
        image_format: `png`, `jpeg` or `webp`.
        faces: those of `FACE_COLUMNS` that there are, in order.
        source: whether rows name the dataset that they were merged from.
    """

    categories: tuple[str, ...]
    slots: tuple[str, ...]
    image_format: str
    faces: tuple[str, ...] = ()
    source: bool = False
