"""`synthgen sign`: C2PA manifests beside the files of a dataset."""

import sys
from pathlib import Path
from typing import Annotated

import typer

sign_app = typer.Typer()


@sign_app.command()
def sign(
    dataset: Annotated[str, typer.Argument(help="Folder or URL of a dataset.", metavar="DATASET")],
    certificate: Annotated[
        Path,
        typer.Option(help="Your certificate and those above it, PEM, your own first."),
    ],
    key: Annotated[Path, typer.Option(help="Your private key, PEM, without a password.")],
    time_authority: Annotated[
        str | None,
        typer.Option(
            help="RFC 3161 authority that states the time; without, a signature is worth as much "
            "as the certificate lives.",
            metavar="URL",
        ),
    ] = None,
) -> None:
    """Sign each file of pictures: a C2PA manifest beside it; data and checksums stay."""
    from tqdm import tqdm

    from synthgen.report.signing import sign_dataset

    every = 0.5 if sys.stderr.isatty() else 60.0
    bar = tqdm(unit=" files", dynamic_ncols=True, mininterval=every)

    def tell(done: int, files: int) -> None:
        bar.total = files
        bar.update(done - bar.n)

    try:
        found = sign_dataset(dataset, certificate, key, time_authority, tell)
    except KeyboardInterrupt:
        typer.echo("stopped; what is signed stays, the same command goes on", err=True)
        raise typer.Exit(130) from None
    finally:
        bar.close()
    kept = f", {found.kept} were" if found.kept else ""
    typer.echo(f"{dataset}: {found.written} files signed by {found.signer}{kept}")
