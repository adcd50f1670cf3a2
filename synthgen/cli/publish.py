"""`synthgen export`: datasets for the programs of others."""

import sys
from typing import Annotated

import typer

from synthgen.choices import ExportFormat

publish_app = typer.Typer()


@publish_app.command()
def export(
    dataset: Annotated[str, typer.Argument(help="Folder or URL of a dataset.", metavar="DATASET")],
    form: Annotated[
        ExportFormat,
        typer.Option(
            "--format", help="Format; webdataset and lance need the extras of these names."
        ),
    ],
    to: Annotated[
        str, typer.Option("--to", "-o", help="New or empty folder; the same command goes on.")
    ],
    partial: Annotated[
        bool, typer.Option("--partial", help="Take what an unfinished run has finished.")
    ] = False,
) -> None:
    """Write a dataset as WebDataset, ImageFolder, CSV, COCO or Lance; pictures byte by byte."""
    from tqdm import tqdm

    from synthgen.dataset.exporting import Exporting
    from synthgen.dataset.exporting import export as write

    every = 0.5 if sys.stderr.isatty() else 10.0
    bar: tqdm | None = None

    def tell(done: int, rows: int) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(
                total=rows, initial=done, unit=" samples", dynamic_ncols=True, mininterval=every
            )
        bar.update(done - bar.n)

    try:
        found = write(Exporting(dataset=dataset, to=to, form=form, partial=partial), tell)
    except KeyboardInterrupt:
        typer.echo("stopped; whole shards stay, the same command goes on", err=True)
        raise typer.Exit(130) from None
    finally:
        if bar is not None:
            bar.close()
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)
    rows = ", ".join(f"{split} {number}" for split, number in found.rows.items())
    there = "" if found.written else ", all there already"
    typer.echo(f"{to}: {sum(found.rows.values())} samples as {form} ({rows}){there}")
    typer.echo(f"where each column is: {found.folder / 'README.md'}")
