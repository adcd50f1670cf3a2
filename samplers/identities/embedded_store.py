"""The embedded store: drawn people for the embedded weights."""

from pathlib import Path

from synthgen.config.identities.stores import MINI_STORE
from synthgen.errors import StoreError

MINI_PEOPLE = Path(__file__).with_name("mini-people.parquet")
"""Drawn people, embedded by the mini face embedder; `synthgen faces draw` made it."""


def store_path(name: str | Path) -> Path:
    """Return where a store lies.

    Args:
        name: a path, or the text `mini` for the embedded people; `./mini` is a path.

    Raises:
        StoreError: if the embedded people are missing.
    """
    if name != MINI_STORE:
        return Path(name)
    if not MINI_PEOPLE.is_file():
        raise StoreError(
            f"the embedded people {MINI_PEOPLE} are missing; install synthgen again, or make them: "
            f"synthgen faces draw --people 200 --to {MINI_PEOPLE}"
        )
    return MINI_PEOPLE
