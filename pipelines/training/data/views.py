"""In which order faces come that are learned several times, each time in another view."""

ROUND = 1024
"""Faces that come in turn before their next view: as many are worth keeping."""


def face_number(index: int, views: int) -> int:
    """Return the face that a sample shows: 1,024 faces in turn, `views` times, then the next."""
    rounds, place = divmod(index, ROUND * views)
    return rounds * ROUND + place % ROUND
