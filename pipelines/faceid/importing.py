"""Turn a file of face embeddings, pickles too, into a store."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from samplers.identities.person_columns import FIND_OUT, Naming
from samplers.identities.store import FaceStore, build_store
from samplers.identities.store_reading import PICKLES, read_raw, with_list_beside
from synthgen.foreign import excerpt


def import_store(
    path: Path,
    *,
    column: str | None = None,
    embedder: str | None = None,
    embedder_name: str | None = None,
    licence: str | None = None,
    synthetic: bool = False,
    naming: Naming = FIND_OUT,
    merge: float | None = None,
) -> FaceStore:
    """Read a file of any kind that is known, and say where its embeddings come from.

    Args:
        path: `.pt` and other files of `torch.save`, or whatever `read_store` reads.
        column: column, tensor or array of the embeddings.
        embedder: fingerprint of the recogniser, where the file does not carry it.
        embedder_name: its name for people; None: what the file says, or the fingerprint.
        licence: licence of the embeddings; None: what the file says.
        synthetic: whether nobody of them is real.
        naming: what the user says about who is who.
        merge: cosine from which two faces are one person's; None: nobody is merged.

    Raises:
        StoreError: as `read_store`, and if a pickle holds more than tensors.
    """
    if path.suffix in PICKLES and not path.is_dir():
        from pipelines.faceid.pickled import read_pickle

        raw = with_list_beside(partial(read_pickle, path, column), path, naming)
    else:
        raw = read_raw(path, column, naming)
    store = build_store(raw, str(path), embedder, merge)
    about = replace(
        store.about,
        embedder_name=embedder_name or store.about.embedder_name,
        licence=licence or store.about.licence,
        synthetic=synthetic or store.about.synthetic,
        source=store.about.source or f"imported from {excerpt(path.name)}",
    )
    return replace(store, about=about)
