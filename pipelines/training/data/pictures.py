"""A drawn person in another picture: what belongs to the person stays, the rest is drawn anew."""

from dataclasses import replace

from pipelines.procedural import Identity, random_identity

OF_THE_PICTURE = (
    "yaw", "pitch", "roll", "light", "warmth", "clothes", "clothes_colour", "background",
    "background_edge",
)  # fmt: skip
"""What is of the picture and not of the person."""


def in_another_picture(person: Identity, picture: int) -> Identity:
    """Return the same person as another picture shows them, drawn from a seed."""
    other = random_identity(picture)
    return replace(person, **{name: getattr(other, name) for name in OF_THE_PICTURE})
