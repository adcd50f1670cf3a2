"""How a configuration names a store of face embeddings."""

from pathlib import Path

MINI_STORE = "mini"
"""Name of the embedded store of drawn people, whatever lies in the working folder."""


def absolute_store(store: str) -> str:
    """Return a store's path that does not depend on the working folder; a name stays."""
    return store if store == MINI_STORE else str(Path(store).absolute())
