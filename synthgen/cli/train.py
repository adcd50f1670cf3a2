"""`synthgen train …`: train models, on drawn portraits or on datasets of your own."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

train_app = typer.Typer(
    help="Train the embedded models, or your own; the same command continues a training.",
    no_args_is_help=True,
)

Config = Annotated[Path, typer.Argument(help="Training configuration (YAML).", metavar="CONFIG")]
Folder = Annotated[
    Path, typer.Option("--to", "-o", help="Folder for checkpoints, curves, sheets and weights.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a key: data.size=64", metavar="KEY=VALUE"),
]
StopAt = Annotated[
    int | None, typer.Option("--stop-at", min=1, help="Stop after this step, with a checkpoint.")
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Estimate memory and images/s by some steps; write nothing."),
]


@train_app.command()
def vae(config: Config, to: Folder, overrides: Overrides = None, stop_at: StopAt = None) -> None:
    """Train the VAE that latents are made with."""
    from pipelines.training.vae import train_vae

    _train(train_vae, config, to, overrides, stop_at)


@train_app.command()
def clip(config: Config, to: Folder, overrides: Overrides = None, stop_at: StopAt = None) -> None:
    """Train the text encoder that conditions, and the image encoder beside it."""
    from pipelines.training.clip.train import train_clip

    _train(train_clip, config, to, overrides, stop_at)


@train_app.command()
def unet(config: Config, to: Folder, overrides: Overrides = None, stop_at: StopAt = None) -> None:
    """Train the text-to-image base that FineFace steers."""
    from pipelines.training.unet import train_unet

    _train(train_unet, config, to, overrides, stop_at)


@train_app.command()
def fineface(
    config: Config,
    to: Folder,
    overrides: Overrides = None,
    stop_at: StopAt = None,
    dry_run: DryRun = False,
) -> None:
    """Train FineFace's AU adapter by the paper's recipe, or a baseline by the key `method`."""
    from pipelines.training.methods import estimate_by_method, train_by_method

    _train_or_estimate(train_by_method, estimate_by_method, config, to, overrides, stop_at, dry_run)


@train_app.command()
def faceid(config: Config, to: Folder, overrides: Overrides = None, stop_at: StopAt = None) -> None:
    """Train the face adapter that shows people by their embeddings."""
    from pipelines.training.faceid.train import train_faceid

    _train(train_faceid, config, to, overrides, stop_at)


@train_app.command()
def arc2face(
    config: Config,
    to: Folder,
    overrides: Overrides = None,
    stop_at: StopAt = None,
    dry_run: DryRun = False,
) -> None:
    """Train Arc2Face: a base learns to read a face embedding in the place of a word."""
    from pipelines.training.arc2face.train import Arc2FaceRecipe, train_arc2face
    from pipelines.training.diffusion.estimate import estimate_training

    estimate = partial(estimate_training, Arc2FaceRecipe)
    _train_or_estimate(train_arc2face, estimate, config, to, overrides, stop_at, dry_run)


@train_app.command()
def expression(
    config: Config,
    to: Folder,
    overrides: Overrides = None,
    stop_at: StopAt = None,
    dry_run: DryRun = False,
) -> None:
    """Train the adapter by which Arc2Face shows an expression of 55 numbers."""
    from pipelines.training.arc2face.expression import ExpressionRecipe, train_expression
    from pipelines.training.diffusion.estimate import estimate_training

    estimate = partial(estimate_training, ExpressionRecipe)
    _train_or_estimate(train_expression, estimate, config, to, overrides, stop_at, dry_run)


@train_app.command()
def reference(
    config: Config,
    to: Folder,
    overrides: Overrides = None,
    stop_at: StopAt = None,
    dry_run: DryRun = False,
) -> None:
    """Train the adapter by which Arc2Face keeps the appearance of a picture."""
    from pipelines.training.arc2face.reference import ReferenceRecipe, train_reference
    from pipelines.training.diffusion.estimate import estimate_training

    estimate = partial(estimate_training, ReferenceRecipe)
    _train_or_estimate(train_reference, estimate, config, to, overrides, stop_at, dry_run)


@train_app.command("au-net")
def au_net(config: Config, to: Folder, overrides: Overrides = None, stop_at: StopAt = None) -> None:
    """Train the AU network of the embedded verifier."""
    from pipelines.training.au_network.train import train_au_network

    _train(train_au_network, config, to, overrides, stop_at)


@train_app.command()
def presence(
    config: Config, to: Folder, overrides: Overrides = None, stop_at: StopAt = None
) -> None:
    """Train the network by which the embedded verifier tells whether there is a face."""
    from pipelines.training.au_network.presence import train_presence

    _train(train_presence, config, to, overrides, stop_at)


@train_app.command()
def judge(config: Config, to: Folder, overrides: Overrides = None, stop_at: StopAt = None) -> None:
    """Train the second judge, which evaluations use beside the verifier."""
    from pipelines.training.judge import train_judge

    _train(train_judge, config, to, overrides, stop_at)


@train_app.command("flame-extractor")
def flame_extractor(
    config: Config, to: Folder, overrides: Overrides = None, stop_at: StopAt = None
) -> None:
    """Train what reads the 55 numbers of an expression from drawn faces, as SMIRK from photos."""
    from pipelines.training.flame_extractor import train_flame_extractor

    _train(train_flame_extractor, config, to, overrides, stop_at)


@train_app.command()
def attributes(
    config: Config, to: Folder, overrides: Overrides = None, stop_at: StopAt = None
) -> None:
    """Train the network that reads the traits of drawn faces: age, hair, glasses and so on."""
    from pipelines.training.attributes import train_attributes

    _train(train_attributes, config, to, overrides, stop_at)


@train_app.command("face-embedder")
def face_embedder(
    config: Config, to: Folder, overrides: Overrides = None, stop_at: StopAt = None
) -> None:
    """Train the recogniser of drawn faces, which embeds people and checks who is shown."""
    from pipelines.training.face_embedder import train_face_embedder

    _train(train_face_embedder, config, to, overrides, stop_at)


@train_app.command("blendshape-map")
def blendshape_map(config: Config, to: Folder, overrides: Overrides = None) -> None:
    """Fit the map from FaceLandmarker's blendshapes to AUs, for the check `blendshapes`."""
    from pipelines.training.blendshape_map import fit_blendshape_map

    typer.echo(str(fit_blendshape_map(config, to, overrides or ())))


def _train_or_estimate(
    train: Callable[..., Path],
    estimate: Callable[[Path, Sequence[str]], list[str]],
    config: Path,
    to: Path,
    overrides: list[str] | None,
    stop_at: int | None,
    dry_run: bool,
) -> None:
    if not dry_run:
        _train(train, config, to, overrides, stop_at)
        return
    for line in estimate(config, overrides or ()):
        typer.echo(line)


def _train(
    train: Callable[..., Path],
    config: Path,
    to: Path,
    overrides: list[str] | None,
    stop_at: int | None,
) -> None:
    from pipelines.training.processes import started

    first = started()[0] == 0
    try:
        made = train(config, to, stop_at=stop_at, overrides=overrides or ())
    except KeyboardInterrupt:
        if first:
            typer.echo(f"stopped; the same command continues from {to / 'checkpoint.pt'}", err=True)
        raise typer.Exit(130) from None
    if first:
        typer.echo(str(made) if made.exists() else f"{to}: to be continued by the same command")
