"""`synthgen faces …`: stores of face embeddings."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from synthgen.errors import ConfigError

if TYPE_CHECKING:
    from samplers.identities import FaceStore


MergeNear = Annotated[
    float | None,
    typer.Option(
        min=0.3,
        max=1,
        help="Make one person of all who have faces of this cosine or more; 0.98: copies of one "
        "picture.",
        metavar="COSINE",
    ),
]

faces_app = typer.Typer(help="Stores of face embeddings.", no_args_is_help=True)

Store = Annotated[
    Path, typer.Option("--to", "-o", help="Store to write: .parquet or .safetensors.")
]


@faces_app.command()
def embed(
    photos: Annotated[
        Path,
        typer.Argument(
            help="Folder of photographs (a subfolder for each person, or one photograph a "
            "person), one photograph, or folder of a dataset that synthgen made.",
            metavar="PHOTOS",
        ),
    ],
    to: Annotated[
        Path, typer.Option("--to", "-o", help="Store to write: .parquet or .safetensors.")
    ],
    embedder: Annotated[
        Literal["insightface", "arc2face", "mini"],
        typer.Option(
            help="insightface for photographs (extra 'faceid'), arc2face for photographs that the "
            "pipeline arc2face is to show (the same extra), mini for drawn faces."
        ),
    ] = "insightface",
    model: Annotated[
        str | None,
        typer.Option(
            help="insightface: folder of ONNX files, or name of a model pack, which is "
            "downloaded (buffalo_l); arc2face: folder that holds arcface.onnx, that file, or Hub "
            "id (FoivosPar/Arc2Face); mini: weight file (the embedded one)."
        ),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            help="arc2face: folder of ONNX files with insightface's detector, or name of a model "
            "pack, which is downloaded (beside arcface.onnx, or buffalo_l)."
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
    one_face_each: Annotated[
        bool,
        typer.Option(
            "--one-face-each", help="Each photograph in PHOTOS itself shows another person."
        ),
    ] = False,
    merge_near: MergeNear = None,
    keep_images: Annotated[
        bool,
        typer.Option(
            "--keep-images",
            help="Keep a picture of each person in the store, aligned as FFHQ's are, for runs that "
            "edit it (identities.reference).",
        ),
    ] = False,
) -> None:
    """Embed the largest face of each photograph; a line for each that is left out.

    Of a dataset, one accepted image of each identity: the neutral one, or that of the least error.
    """
    from pipelines.faceid.dataset_people import embed_dataset, is_dataset
    from pipelines.faceid.photographs import Quality, embed_photos
    from pipelines.faceid.verifier import load_embedder
    from samplers.identities.store import check_store_path, write_store
    from synthgen.config.verify import embedder_config

    check_store_path(to, keeps_images=keep_images)
    own = is_dataset(photos)
    if own and one_face_each:
        raise ConfigError(f"--one-face-each is for photographs; {photos} names its people")
    config = embedder_config(embedder, model, model_licence, detector)
    quality = Quality(min_side, min_score, min_sharpness)
    loaded = load_embedder(config)
    if own:
        store, left = embed_dataset(
            photos, loaded, quality, licence, synthetic, merge_near, keep_images
        )
    else:
        store, left = embed_photos(
            photos, loaded, quality, licence, synthetic, merge_near, one_face_each, keep_images
        )
    write_store(to, store)
    _tell_alike(store)
    for one in left:
        typer.echo(f"{one.name}: {one.reason}", err=True)
    faces = len(store.embeddings)
    pictures = "images" if own else "photographs"
    kept = "; a reference image of each" if keep_images else ""
    typer.echo(
        f"{to}: {len(store)} people in {faces} of {faces + len(left)} {pictures}{kept}; licence: "
        f"{store.about.licence}"
    )


@faces_app.command("import")
def import_faces(
    file: Annotated[
        Path,
        typer.Argument(
            help="Embeddings: .pt, .npy, .npz, .safetensors, .parquet, or folder of a dataset.",
            metavar="FILE",
        ),
    ],
    to: Store,
    embedder: Annotated[
        str | None,
        typer.Option(help="Fingerprint of the recogniser, where the file does not carry it."),
    ] = None,
    embedder_name: Annotated[
        str | None, typer.Option(help="Its name for people to read.", metavar="NAME")
    ] = None,
    column: Annotated[
        str | None, typer.Option(help="Column, tensor or array of the embeddings.")
    ] = None,
    people: Annotated[
        str | None,
        typer.Option(
            help="Column of people, where it is not clear; of file names: the folder of each file; "
            "or a list beside the file, of one person a row (names.txt).",
            metavar="COLUMN",
        ),
    ] = None,
    one_face_each: Annotated[
        bool, typer.Option("--one-face-each", help="Each row shows another person.")
    ] = False,
    licence: Annotated[str | None, typer.Option(help="Licence of the embeddings.")] = None,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Nobody real is described; kept in the store.")
    ] = False,
    merge_near: MergeNear = None,
) -> None:
    """Turn embeddings of another kind of file into a store; pickles are read as tensors alone."""
    from pipelines.faceid.importing import import_store
    from samplers.identities import Naming
    from samplers.identities.store import check_store_path, write_store

    if people is not None and one_face_each:
        raise typer.BadParameter("give --people or --one-face-each, not both")
    check_store_path(to)
    store = import_store(
        file,
        column=column,
        embedder=embedder,
        embedder_name=embedder_name,
        licence=licence,
        synthetic=synthetic,
        naming=Naming(people, one_face_each),
        merge=merge_near,
    )
    write_store(to, store)
    _tell_alike(store)
    typer.echo(
        f"{to}: {len(store)} people, {len(store.embeddings)} embeddings of "
        f"{store.about.embedder_name}; licence: {store.about.licence}"
    )


@faces_app.command()
def draw(
    to: Store,
    people: Annotated[int, typer.Option("-n", "--people", min=1, help="People to draw.")],
    first: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Number of the first of all drawn people.")
    ] = 0,
    embedder: Annotated[
        str, typer.Option(help="mini, or a file that `synthgen train face-embedder` wrote.")
    ] = "mini",
    edition: Annotated[
        int, typer.Option(min=1, max=2, help="Edition of the drawings; each has its own people.")
    ] = 1,
) -> None:
    """Draw people whom no training saw, and embed a portrait of each."""
    from pipelines.faceid.drawn import DrawnFaceEmbedder, drawn_store
    from samplers.identities.store import check_store_path, write_store

    check_store_path(to)
    made = drawn_store(people, DrawnFaceEmbedder.from_pretrained(embedder), first, edition)
    write_store(to, made)
    typer.echo(
        f"{to}: {len(made)} drawn people, described by {made.about.embedder_name}; licence: "
        f"{made.about.licence}"
    )


@faces_app.command()
def invent(
    store: Annotated[
        str, typer.Argument(help="Store of people; mini: the embedded ones.", metavar="STORE")
    ],
    to: Store,
    people: Annotated[int, typer.Option("-n", "--people", min=1, help="People to invent.")],
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of the draw.")] = 0,
    min_distance: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=1,
            help="Smallest cosine distance to everyone else; without it that at which half of the "
            "store's people have their nearest other one, 0.7 at most.",
        ),
    ] = None,
    shrinkage: Annotated[
        float, typer.Option(min=0.001, max=1, help="Share of a round covariance in the store's.")
    ] = 0.1,
) -> None:
    """Draw people from the statistics of a store, each far from everyone in it and each other."""
    from samplers.identities import new_people, read_store
    from samplers.identities.store import check_store_path, write_store
    from samplers.identities.synthetic import nearest_reached

    check_store_path(to)
    real = read_store(store)
    made = new_people(real, people, seed, min_distance=min_distance, shrinkage=shrinkage)
    write_store(to, made)
    noun = "person" if people == 1 else "people"
    typer.echo(
        f"{to}: {people:,} new {noun}, {made.about.source}; the nearest two have a cosine "
        f"similarity of {nearest_reached(real, made):.3f}"
    )


def _tell_alike(store: "FaceStore") -> None:
    """Tell who was merged, and whose faces are near each other under different names."""
    from samplers.identities.alike import find_alike

    names, faces = store.merged
    if names or faces:
        typer.echo(f"merged into others: {names}; equal faces dropped: {faces}", err=True)
    found = find_alike(store).sentence(store.where)
    if found is not None:
        typer.echo(f"warning: {found}", err=True)
