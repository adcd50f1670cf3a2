"""`synthgen flame …`: banks of expressions as FLAME numbers."""

from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from synthgen.errors import OutputError
from synthgen.foreign import excerpt

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
        Path,
        typer.Option(
            help="SMIRK's weights, SMIRK_em1.pt: no licence, research only. Of drawn faces "
            "mini or a file of synthgen train flame-extractor."
        ),
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


Bank = Annotated[
    str, typer.Argument(help="Bank of expressions; mini: of drawn faces.", metavar="BANK")
]


@flame_app.command("import")
def import_flame(
    file: Annotated[
        Path,
        typer.Argument(
            help="FLAME numbers of yours: .npz, .npy, .csv or .parquet.", metavar="FILE"
        ),
    ],
    to: Annotated[Path, typer.Option("--to", "-o", help="Bank to write: .parquet.")],
    aus: Annotated[
        Path | None,
        typer.Option(help="File of the AUs, row by row, where FILE does not hold them."),
    ] = None,
    action_units: Annotated[
        str | None,
        typer.Option(
            help="AUs of an array that does not name them, in its order: AU1,AU2,AU4.",
            metavar="AUS",
        ),
    ] = None,
    scale: Annotated[
        Literal["5", "1", "100"] | None,
        typer.Option(help="AUs run from 0 to this number; found from the values without it."),
    ] = None,
    extractor: Annotated[
        str | None,
        typer.Option(help="Network that read the FLAME numbers; smirk without it.", metavar="NAME"),
    ] = None,
    measurer: Annotated[
        str | None, typer.Option(help="Network or people that measured the AUs.", metavar="NAME")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the numbers, for the bank and the card.")
    ] = None,
) -> None:
    """Make a bank of FLAME numbers with AUs beside them; what is assumed of them is told."""
    from samplers.flame.bank_file import check_bank_path
    from samplers.flame.importing import import_bank

    check_bank_path(to)
    if to.exists():
        raise OutputError(
            f"{excerpt(to)} is there already; choose another file with --to, or move it away"
        )
    made, notes = import_bank(
        file,
        aus=aus,
        action_units=None if action_units is None else action_units.split(","),
        scale=cast("Literal[5, 1, 100] | None", None if scale is None else int(scale)),
        extractor=extractor,
        measurer=measurer,
        licence=licence,
    )
    made.write(to)
    for note in notes:
        typer.echo(note, err=True)
    typer.echo(
        f"{to}: {len(made):,} faces, {len(made.action_units)} AUs; see synthgen flame inspect"
    )


@flame_app.command()
def inspect(
    bank: Bank,
    aus: Annotated[
        Path | None,
        typer.Option(
            help="CSV file for the AUs of each face: labels of a prior that the bank serves.",
            metavar="FILE",
        ),
    ] = None,
) -> None:
    """Print how many faces of a bank show each AU at each level, and what it lacks in words."""
    from samplers.flame import Bank as FlameBank
    from samplers.flame.coverage import describe_bank, write_aus

    found = FlameBank.read(bank)
    if aus is not None:
        write_aus(found, aus)
    typer.echo(describe_bank(found))
    if aus is not None:
        typer.echo(f"\n{aus}: the AUs of each face; prior: empirical, format: csv draws from them")


@flame_app.command()
def fit(bank: Bank) -> None:
    """Fit a linear map between AUs and FLAME numbers, and say where not to trust it."""
    from samplers.flame import Bank as FlameBank
    from samplers.flame.fit import describe_told, try_map

    found = FlameBank.read(bank)
    typer.echo(describe_told(found, try_map(found)))
