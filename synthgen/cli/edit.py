"""`synthgen edit`: another expression in one picture."""

from pathlib import Path
from typing import Annotated, Literal

import typer

edit_app = typer.Typer()


@edit_app.command()
def edit(
    picture: Annotated[Path, typer.Argument(help="Picture of one face.", metavar="IMAGE")],
    to: Annotated[
        Path, typer.Option("--to", "-o", help="Image file to write; frames are numbered: out-00.")
    ],
    config: Annotated[
        Path,
        typer.Option(help="Configuration of a run: its pipeline edits, by its weights and scales."),
    ],
    aus: Annotated[
        list[str] | None,
        typer.Option("--au", help="Intensity of an AU: AU12=4", metavar="AU=INTENSITY"),
    ] = None,
    expression: Annotated[
        Path | None,
        typer.Option(help="Picture whose expression is taken, instead of AUs.", metavar="PHOTO"),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(min=2, max=1000, help="Pictures of the way from one expression to another."),
    ] = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Write the way as one strip, of 6 pictures or --frames.")
    ] = False,
    begin: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Picture whose expression the way begins with, or neutral (the bank's); else "
            "IMAGE's own.",
            metavar="PHOTO",
        ),
    ] = None,
    bank: Annotated[
        Path | None,
        typer.Option(help="Bank that shows AUs, or mini; else the configuration's."),
    ] = None,
    smirk: Annotated[
        Path | None,
        typer.Option(
            help="SMIRK's weights, SMIRK_em1.pt, for expressions of pictures; of drawn faces "
            "mini or a file of synthgen train flame-extractor."
        ),
    ] = None,
    bgr: Annotated[
        bool,
        typer.Option(
            "--bgr", help="Feed SMIRK blue first, as Arc2Face's demo does; not trained so."
        ),
    ] = False,
    finder: Annotated[
        Literal["mediapipe", "centered"],
        typer.Option(help="For SMIRK: mediapipe for photographs, centered for drawn faces."),
    ] = "mediapipe",
    embedder: Annotated[
        Literal["arc2face", "insightface", "mini"],
        typer.Option(help="Recogniser of the face in IMAGE, which the pipeline must understand."),
    ] = "arc2face",
    model: Annotated[
        str | None, typer.Option(help="Its files, as for `synthgen faces embed`.")
    ] = None,
    detector: Annotated[
        str | None, typer.Option(help="Detector of arc2face, as for `synthgen faces embed`.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a key: pipeline.reference_scale=0.6"),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Seed of the noise and of the bank's face.")
    ] = 0,
) -> None:
    """Give the face of a picture another expression, or show the way to it."""
    from synthgen.config.verify import embedder_config
    from synthgen.report.editing import Means, Way, edit_picture

    made = edit_picture(
        picture,
        to,
        config,
        overrides or (),
        Way(aus=aus or (), expression=expression, begin=begin, frames=frames, strip=sweep),
        Means(
            embedder=embedder_config(embedder, model, detector=detector),
            bank=bank,
            smirk=smirk,
            bgr=bgr,
            finder=finder,
        ),
        seed,
    )
    typer.echo(str(made[0]) if len(made) == 1 else f"{made[0]} … {made[-1]}: {len(made)} pictures")
