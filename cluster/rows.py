"""From a judged image to a row of the dataset or of its rejects."""

import io

from PIL.Image import Image

from pipelines.faceid.measurement import NOBODY, IdentityMeasurement
from pipelines.policy import Verdict
from samplers.spec import Attempt
from synthgen.schema import Reject, Row

_ENCODING = {
    "png": {"format": "PNG"},
    "jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    "webp": {"format": "WEBP", "quality": 95},
}


def encode_image(image: Image, image_format: str) -> bytes:
    """Encode an image as `png`, `jpeg` or `webp`; equal pixels give equal bytes."""
    buffer = io.BytesIO()
    image.save(buffer, **_ENCODING[image_format])
    return buffer.getvalue()


def make_row(
    attempt: Attempt,
    image: bytes,
    measured: tuple[float, ...] | None,
    verdict: Verdict,
    made_by: tuple[str, str],
    person: IdentityMeasurement = NOBODY,
) -> Row:
    """Build the row of an image; `made_by` names its pipeline and its verifier."""
    wanted = attempt.spec.faceid
    return Row(
        **_common(attempt, measured, verdict, made_by, person),
        faceid_embedding=None if wanted is None else tuple(wanted.mean.tolist()),
        faceid_measured=None if person.embedding is None else tuple(person.embedding.tolist()),
        image=image,
        accepted=verdict.accepted,
        identity=attempt.spec.identity,
    )


def make_reject(
    attempt: Attempt,
    measured: tuple[float, ...] | None,
    verdict: Verdict,
    made_by: tuple[str, str],
    person: IdentityMeasurement = NOBODY,
) -> Reject:
    """Build the reject of an attempt that missed the policy or failed."""
    return Reject(
        **_common(attempt, measured, verdict, made_by, person),
        reason=str(verdict.reason),
        detail=verdict.detail,
    )


def _common(
    attempt: Attempt,
    measured: tuple[float, ...] | None,
    verdict: Verdict,
    made_by: tuple[str, str],
    person: IdentityMeasurement,
) -> dict:
    spec = attempt.spec
    return {
        "sample_id": spec.sample_id,
        "aus": spec.aus,
        "aus_measured": measured,
        "active_error": verdict.active_error,
        "inactive_max": verdict.inactive_max,
        "attempt": attempt.number,
        "replacement": spec.replacement,
        "emotion": spec.emotion,
        "identity_id": spec.identity_id,
        "prompt": spec.prompt,
        "negative_prompt": spec.negative_prompt,
        "seed": attempt.noise_seed,
        "pipeline": made_by[0],
        "verifier": made_by[1],
        "identity_similarity": person.similarity,
        "forbidden_similarity": person.forbidden,
    }
