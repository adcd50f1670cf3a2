"""Whom an image shows, and what the policy says about it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32

from pipelines.policy import Reason, Verdict
from synthgen.config import PolicyConfig

COSINE_WEIGHT = 10.0
"""What a cosine missed counts against an AU intensity missed, when rejected images are ranked."""


@dataclass(frozen=True, slots=True, eq=False)
class IdentityMeasurement:
    """Whom an image shows.

    Attributes:
        embedding: L2-normalised embedding of the image's face; None where no face was found.
        similarity: cosine with the person asked for [-1, 1]; None without a face or a person.
        forbidden: largest cosine with anybody who must not appear; None without a face or a list.
        forbidden_name: who that is.
    """

    embedding: Float32[np.ndarray, " 512"] | None = None
    similarity: float | None = None
    forbidden: float | None = None
    forbidden_name: str | None = None


NOBODY = IdentityMeasurement()
"""Where no face was found, or nobody looked for one."""


def judge_identity(verdict: Verdict, found: IdentityMeasurement, policy: PolicyConfig) -> Verdict:
    """Judge one image further, after its AUs.

    Args:
        verdict: what the policy says about the AUs; its reason stays where it is a rejection.
        found: whom the image shows.
        policy: the bounds.
    """
    misses = list(_misses(found, policy))
    if not misses:
        return verdict
    reason, detail, _ = misses[0]
    return replace(
        verdict,
        accepted=False,
        reason=verdict.reason or reason,
        detail=verdict.detail or detail,
        distance=verdict.distance + COSINE_WEIGHT * sum(excess for _, _, excess in misses),
    )


def _misses(
    found: IdentityMeasurement, policy: PolicyConfig
) -> Iterator[tuple[Reason, str, float]]:
    least, most = policy.min_identity_similarity, policy.max_similarity_to_forbidden
    if found.embedding is None:
        if least is not None or most is not None:
            yield "identity", "the face embedder found no face", math.inf
        return
    if least is not None and found.similarity is not None and found.similarity < least:
        detail = (
            f"the similarity to the person asked for is {found.similarity:.3f}; "
            f"the least allowed is {least:g}"
        )
        yield "identity", detail, least - found.similarity
    if most is not None and found.forbidden is not None and found.forbidden > most:
        detail = (
            f"the similarity to {found.forbidden_name}, who must not appear, is "
            f"{found.forbidden:.3f}; at most {most:g} is allowed"
        )
        yield "forbidden", detail, found.forbidden - most
