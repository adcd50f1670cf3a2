"""What a store of face embeddings says about itself."""

import json
from dataclasses import asdict, dataclass, fields

from synthgen.errors import StoreError
from synthgen.foreign import shown

ABOUT_KEY = "synthgen"
"""Key of a file's metadata."""

_LONGEST = 2_000


def is_storable(text: str, longest: int) -> bool:
    """Return whether every kind of file and table can hold a text of at most that length."""
    return (
        len(text) <= longest
        and "\0" not in text
        and not any("\ud800" <= character <= "\udfff" for character in text)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAbout:
    """Embedder, licence and origin of a store.

    Attributes:
        embedder: fingerprint of the recogniser.
        embedder_name: its name, for people to read.
        licence: licence that follows from the recogniser and the photos.
        synthetic: whether the people were made up.
        source: where the embeddings come from, for people to read.
    """

    embedder: str
    embedder_name: str
    licence: str = "unknown"
    synthetic: bool = False
    source: str = ""

    def to_json(self) -> str:
        """Write it for a file's metadata."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> "StoreAbout":
        """Read it from a file's metadata; keys of other purposes are left alone.

        Raises:
            StoreError: if the text is no JSON mapping, or a key is missing or of another type.
        """
        kinds = {field.name: bool if field.name == "synthetic" else str for field in fields(cls)}
        try:
            data = json.loads(text)
            known = {key: data[key] for key in kinds if key in data}
        except (ValueError, TypeError, RecursionError) as error:
            raise StoreError(f"{where}: its metadata {ABOUT_KEY!r} is no JSON mapping") from error
        for key, kind in kinds.items():
            if key in known and not isinstance(known[key], kind):
                raise StoreError(
                    f"{where}: {key} in its metadata {ABOUT_KEY!r} is {shown(known[key])}; it must "
                    f"be {'true or false' if kind is bool else 'text'}"
                )
        for key, value in known.items():
            if isinstance(value, str) and not is_storable(value, _LONGEST):
                raise StoreError(
                    f"{where}: {key} in its metadata {ABOUT_KEY!r} is {shown(value)}; it must be "
                    f"text of at most {_LONGEST:,} characters that UTF-8 can write"
                )
        for key in ("embedder", "embedder_name"):
            if not known.get(key):
                raise StoreError(f"{where}: its metadata {ABOUT_KEY!r} lacks {key}")
        return cls(**known)
