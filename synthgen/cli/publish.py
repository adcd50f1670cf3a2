"""`synthgen export` and `synthgen push`: datasets for the programs of others, and on the Hub."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    from synthgen.dataset.exporting import Exporting
    from synthgen.dataset.exporting import export as write

    asked = Exporting(dataset=dataset, to=to, form=form, partial=partial)
    with _bar("stopped; whole shards stay, the same command goes on") as tell:
        found = write(asked, lambda done, rows: tell("", done, rows))
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)
    rows = ", ".join(f"{split} {number}" for split, number in found.rows.items())
    there = "" if found.written else ", all there already"
    typer.echo(f"{to}: {sum(found.rows.values())} samples as {form} ({rows}){there}")
    typer.echo(f"where each column is: {found.folder / 'README.md'}")


@publish_app.command()
def push(
    dataset: Annotated[str, typer.Argument(help="Folder or URL of a dataset.", metavar="DATASET")],
    repo: Annotated[
        str,
        typer.Argument(
            help="Repository of a dataset on the Hugging Face Hub, OWNER/NAME.", metavar="REPO"
        ),
    ],
    public: Annotated[
        bool, typer.Option("--public", help="Let everybody see it; else only its owner does.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="List what would be sent where; the Hub is not asked."),
    ] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Push what an unfinished run has finished.")
    ] = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Take the place of another dataset or card that is there."),
    ] = False,
    revision: Annotated[
        str | None, typer.Option(help="Branch, made where there is none, or refs/pr/N.")
    ] = None,
    create_pr: Annotated[
        bool, typer.Option("--create-pr", help="Open a pull request instead.")
    ] = False,
) -> None:
    """Push a dataset to the Hugging Face Hub, privately; the same command goes on."""
    from synthgen.dataset.pushing import Pushing, foresee
    from synthgen.dataset.pushing import push as send
    from synthgen.dataset.pushing.pushing import describe_foreseen, describe_pushed

    asked = Pushing(
        dataset=dataset,
        repo=repo,
        public=public,
        partial=partial,
        replace=replace,
        revision=revision,
        create_pr=create_pr,
    )
    with _bar("stopped; what was sent stays, the same command sends the rest", "B") as tell:
        if dry_run:
            typer.echo(describe_foreseen(asked, foresee(asked, tell)))
            return
        found = send(asked, tell)
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(describe_pushed(asked, found))


@contextmanager
def _bar(stopped: str, unit: str = " samples") -> Iterator[Callable[[str, int, int], None]]:
    """Show how far something is, a bar for each stage; Ctrl-C ends it in a sentence.

    Args:
        stopped: the sentence.
        unit: what is counted.

    Yields:
        Takes the stage, what is done, and how much there is.
    """
    from tqdm import tqdm

    every = 0.5 if sys.stderr.isatty() else 10.0
    bars: dict[str, tqdm] = {}

    def tell(stage: str, done: int, size: int) -> None:
        if stage not in bars:
            _close(bars)
            bars[stage] = tqdm(
                desc=stage or None,
                total=size,
                initial=done,
                unit=unit,
                unit_scale=unit == "B",
                dynamic_ncols=True,
                mininterval=every,
            )
        bars[stage].update(done - bars[stage].n)

    try:
        yield tell
    except KeyboardInterrupt:
        _close(bars)
        typer.echo(stopped, err=True)
        raise typer.Exit(130) from None
    finally:
        _close(bars)


def _close(bars: dict) -> None:
    for bar in bars.values():
        bar.close()
