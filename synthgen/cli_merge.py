"""`synthgen merge`: several datasets into one."""

from enum import StrEnum
from typing import Annotated

import typer

merge_app = typer.Typer()


class OnConflict(StrEnum):
    """Treatment of an identity that is in two splits."""

    refuse = "refuse"
    move = "move"
    drop = "drop"


class OnDuplicate(StrEnum):
    """Treatment of rows with the same id or the same image."""

    refuse = "refuse"
    drop = "drop"


@merge_app.command()
def merge(
    datasets: Annotated[
        list[str], typer.Argument(help="Folders or URLs of datasets.", metavar="DATASET...")
    ],
    to: Annotated[str, typer.Option("--to", "-o", help="New or empty folder, or such a URL.")],
    where: Annotated[
        str | None,
        typer.Option(
            help="Keep the rows that fulfil a condition: \"emotion == 'happy' and active_error < "
            '0.5".',
            metavar="CONDITION",
        ),
    ] = None,
    balance: Annotated[
        str | None,
        typer.Option(
            help="Keep equally many rows of each value of a column in each split: emotion, "
            "identity.age, source.",
            metavar="COLUMN",
        ),
    ] = None,
    on_conflict: Annotated[
        OnConflict,
        typer.Option(
            help="An identity in two splits: refuse; move its rows to the split where the first "
            "dataset has it; or drop its rows elsewhere."
        ),
    ] = OnConflict.refuse,
    on_duplicate: Annotated[
        OnDuplicate,
        typer.Option(help="Rows of the same id or image: refuse, or drop all but the first."),
    ] = OnDuplicate.refuse,
    rename: Annotated[
        bool,
        typer.Option(
            "--rename", help="Put the run into ids of earlier versions, which are numbers alone."
        ),
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="Name of the merged dataset; else that of its folder.")
    ] = None,
) -> None:
    """Merge datasets into one: labels, splits, identities and licences reconciled."""
    from synthgen.dataset.merging import Merging
    from synthgen.dataset.merging import merge as join
    from synthgen.report.merging import describe_merged

    asked = Merging(
        sources=datasets,
        to=to,
        name=name,
        where=where,
        balance=balance,
        on_conflict=on_conflict.value,
        on_duplicate=on_duplicate.value,
        rename=rename,
    )
    try:
        found = join(asked)
    except KeyboardInterrupt:
        typer.echo("stopped; nothing is left of the merge, the same command begins anew", err=True)
        raise typer.Exit(130) from None
    typer.echo(describe_merged(asked, found))
