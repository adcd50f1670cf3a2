"""What a finished training of the face adapter leaves: one file as IP-Adapters are, and a card."""

from pathlib import Path
from typing import Any

import torch

from pipelines.faceid.embedder import FaceEmbedder
from pipelines.fineface.face_adapter import write_face_adapter
from pipelines.fineface.weights import FACE_ADAPTER_FILE
from pipelines.training.diffusion.config import AdapterExport
from pipelines.training.faceid.network import FaceAdapter
from pipelines.training.loop.card import write_card
from pipelines.training.loop.whole_files import write_whole
from pipelines.weight_files import file_sha256

PUBLISHED = "faceid"


def export_face_adapter(
    adapter: FaceAdapter,
    embedder: FaceEmbedder,
    folder: Path,
    export: AdapterExport,
    about: dict[str, Any],
) -> Path:
    """Write the adapter, which names its embedder, and its card.

    Args:
        adapter: the trained adapter.
        embedder: what described the people.
        folder: folder of the training; the files go to `faceid` in it.
        export: how they are written.
        about: what the card says besides the checksum and the embedder's licence.

    Returns:
        The folder of the files.

    Raises:
        OutputError: if they cannot be written.
    """
    made = folder / PUBLISHED
    made.mkdir(exist_ok=True)
    path = made / FACE_ADAPTER_FILE
    with write_whole(path) as partial:
        dtype = getattr(torch, export.dtype)
        write_face_adapter(partial, adapter.to_file(dtype, embedder.fingerprint))
    card = {
        **about,
        "embedder_licence": embedder.licence,
        "sha256": {path.name: file_sha256(path)},
    }
    write_card(made / "card.json", card)
    return made
