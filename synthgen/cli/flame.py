"""`synthgen flame …`: banks of expressions as FLAME numbers."""

from pathlib import Path
from typing import Annotated, Literal

import typer

flame_app = typer.Typer(help="Banks of expressions as FLAME numbers.", no_args_is_help=True)

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a key: verify.weights=libreface", metavar="KEY=VALUE"),
]


@flame_app.command()
def bank(
    photos: Annotated[
        list[str],
        typer.Argument(
            help="Pictures of one face each: files, folders, or patterns in quotes.",
            metavar="PHOTOS...",
        ),
    ],
    to: Annotated[Path, typer.Option("--to", "-o", help="Bank to write: .parquet.")],
    smirk: Annotated[
        Path, typer.Option(help="SMIRK's weights, SMIRK_em1.pt: no licence, research only.")
    ],
    config: Annotated[
        Path | None,
        typer.Option(help="Configuration whose check measures; without one, the quickstart's."),
    ] = None,
    overrides: Overrides = None,
    finder: Annotated[
        Literal["mediapipe", "centered"],
        typer.Option(
            help="mediapipe for photographs (extra 'alignment'), centered for drawn faces."
        ),
    ] = "mediapipe",
    bgr: Annotated[
        bool,
        typer.Option(
            "--bgr", help="Feed SMIRK blue first, as Arc2Face's demo does; not trained so."
        ),
    ] = False,
    min_side: Annotated[
        float, typer.Option(min=0, help="Least mean side of the landmarks' box [pixels].")
    ] = 64,
    min_sharpness: Annotated[
        float,
        typer.Option(min=0, help="Least variance of the face's Laplacian [grey values²]."),
    ] = 0,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the pictures, for the bank and the card.")
    ] = None,
) -> None:
    """Read FLAME numbers and measure AUs of pictures, a row each; stopped, it goes on."""
    from synthgen.report.flame_bank import FaceBounds, begun_file, make_flame_bank

    def say(line: str) -> None:
        typer.echo(line, err=True)

    try:
        made = make_flame_bank(
            photos,
            smirk,
            to,
            config=config,
            overrides=overrides or (),
            finder=finder,
            bgr=bgr,
            bounds=FaceBounds(min_side, min_sharpness),
            licence=licence,
            say=say,
        )
    except KeyboardInterrupt:
        begun = begun_file(to)
        say(f"stopped; what was read stays in {begun}, the same command goes on")
        raise typer.Exit(130) from None
    typer.echo(made.text())
    if made.left:
        raise typer.Exit(3)
