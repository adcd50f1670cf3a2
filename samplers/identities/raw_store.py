"""What a file of face embeddings holds, before anything of it is believed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from samplers.identities.store_about import StoreAbout
from synthgen.errors import StoreError
from synthgen.foreign import excerpt, shown

EMBEDDING_NAMES = ("embedding", "embeddings", "faceid_embedding")
SPLIT_NAMES = ("split", "splits")


@dataclass(frozen=True, slots=True, eq=False)
class RawStore:
    """What a file holds, unchecked.

    Attributes:
        values: [people, 512] or [people, faces, 512].
        ids: the person of each row; None where the file names nobody.
        splits: the split of each row.
        photos: the photo of each row.
        about: embedder, licence and origin; None where the file does not say.
    """

    values: np.ndarray
    ids: Sequence[str] | None = None
    splits: Sequence[str] | None = None
    photos: Sequence[str | None] | None = None
    about: StoreAbout | None = None

    @property
    def faces(self) -> int:
        """Embeddings in a row of the file."""
        return self.values.shape[1] if self.values.ndim == 3 else 1

    def embeddings(self) -> np.ndarray:
        """Return one embedding a row."""
        if self.values.ndim != 3:
            return self.values
        return self.values.reshape(-1, self.values.shape[2])

    def identity_ids(self) -> list[str]:
        """Return the person of each embedding; a row that names nobody is a person of its own."""
        ids = self.ids
        return self._each(
            [f"face-{row:08d}" for row in range(len(self.values))] if ids is None else ids
        )

    def each_split(self) -> list[str] | None:
        """Return the split of each embedding."""
        return None if self.splits is None else self._each(self.splits)

    def row_name(self, embedding: int) -> str:
        """Call an embedding by its row in the file."""
        row, face = divmod(embedding, self.faces)
        return f"row {row}" if self.values.ndim != 3 else f"row {row}, face {face}"

    def _each(self, values: Sequence[str]) -> list[str]:
        return [value for value in values for _ in range(self.faces)]


def choose_column(names: Sequence[str], column: str | None, where: str) -> str:
    """Choose the column, tensor or array that holds the embeddings.

    Args:
        names: what there is.
        column: the one that the user named; None: one of a usual name, or the only one.
        where: the file, for sentences.

    Raises:
        StoreError: if there is none, or several and none of a usual name.
    """
    listed = excerpt(", ".join(names)) or "nothing"
    if column is not None:
        if column in names:
            return column
        raise StoreError(f"{where} has no {shown(column)}; it has {listed}")
    usual = [name for name in EMBEDDING_NAMES if name in names]
    if usual or len(names) == 1:
        return usual[0] if usual else names[0]
    raise StoreError(
        f"{where} has no {EMBEDDING_NAMES[0]!r}; name one of {listed} "
        "(identities.column in a configuration, --column on the command line)"
    )


def first_of(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """Return the first wanted name that there is."""
    return next((name for name in wanted if name in names), None)
