"""Who is shown: the value that every identity source gives."""

from dataclasses import dataclass

from samplers.identities.face_identity import FaceIdentity


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is shown.

    Attributes:
        identity_id: name, unique in the dataset.
        values: slot → value.
        seed: seed of what slots and embeddings leave open [0, 2^63).
        prompt: the template filled with the values, runs of blanks collapsed.
        faceid: the person by face embeddings; None where the prompt alone says who is shown.
    """

    identity_id: str
    values: dict[str, str]
    seed: int
    prompt: str
    faceid: FaceIdentity | None = None


def numbered(what: str, run_id: str, number: int) -> str:
    """Name the n-th thing of a run, as `sample-3f9a2c1b-00000013`; without a run, by number alone.

    Runs that are joined keep their samples and identities apart by their short names.
    """
    return f"{what}-{run_id}-{number:08d}" if run_id else f"{what}-{number:08d}"


def filled(template: str, values: dict[str, str]) -> str:
    """Fill a template, and collapse runs of blanks."""
    return " ".join(template.format(**values).split())
