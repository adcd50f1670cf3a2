"""`synthgen faces …`: stores of face embeddings."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

faces_app = typer.Typer(help="Stores of face embeddings.", no_args_is_help=True)


class EmbedderKind(StrEnum):
    """What embeds faces."""

    insightface = "insightface"
    mini = "mini"


@faces_app.command()
def embed(
    photos: Annotated[
        Path,
        typer.Argument(
            help="Folder of photographs (a subfolder for each person, or one photograph a "
            "person), or one photograph.",
            metavar="PHOTOS",
        ),
    ],
    to: Annotated[
        Path, typer.Option("--to", "-o", help="Store to write: .parquet or .safetensors.")
    ],
    embedder: Annotated[
        EmbedderKind,
        typer.Option(help="insightface for photographs (extra 'faceid'), mini for drawn faces."),
    ] = EmbedderKind.insightface,
    model: Annotated[
        str | None,
        typer.Option(
            help="insightface: folder of ONNX files, or name of a model pack, which is "
            "downloaded (buffalo_l); mini: weight file (the embedded one)."
        ),
    ] = None,
    model_licence: Annotated[
        str | None, typer.Option(help="Licence of insightface's models, where it is not theirs.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the photographs, for the store and the card.")
    ] = None,
    min_side: Annotated[
        float, typer.Option(min=0, help="Least width and height of a face [pixels].")
    ] = 64,
    min_score: Annotated[
        float, typer.Option(min=0, max=1, help="How sure the detector must be [0–1].")
    ] = 0.6,
    min_sharpness: Annotated[
        float,
        typer.Option(min=0, help="Least variance of the aligned face's Laplacian [grey values²]."),
    ] = 30,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Nobody real is shown; kept in the store.")
    ] = False,
) -> None:
    """Embed the largest face of each photograph; a line for each that is left out."""
    from pipelines.faceid.loading import load_embedder
    from pipelines.faceid.photos import embed_photos
    from pipelines.faceid.quality import Quality
    from samplers.identities.store_writing import write_store
    from synthgen.config.embedder import embedder_config

    config = embedder_config(embedder.value, model, model_licence)
    quality = Quality(min_side, min_score, min_sharpness)
    store, left = embed_photos(photos, load_embedder(config), quality, licence, synthetic)
    write_store(to, store)
    for one in left:
        typer.echo(f"{one.name}: {one.reason}", err=True)
    faces = len(store.embeddings)
    typer.echo(
        f"{to}: {len(store)} people in {faces} of {faces + len(left)} photographs; licence: "
        f"{store.about.licence}"
    )
