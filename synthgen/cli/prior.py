"""`synthgen prior`: priors over Action Units."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from synthgen.choices import LabelSides

prior_app = typer.Typer(help="Priors over Action Units.", no_args_is_help=True)


@prior_app.command("fit")
def fit_prior(
    labels: Annotated[
        Path, typer.Argument(help="Label file, or folder of label files.", metavar="LABELS")
    ],
    layout: Annotated[
        str,
        typer.Option(
            "--format",
            help="Of AUs: csv, openface, libreface, pyfeat, disfa or bp4d; of emotions: emotions, "
            "affectnet or fer2013.",
        ),
    ],
    to: Annotated[Path, typer.Option("--to", "-o", help="YAML file to write.")],
    active_from: Annotated[
        float,
        typer.Option(min=0.01, max=5, help="Intensity from which an AU counts as active."),
    ] = 0.5,
    scale: Annotated[
        Literal["5", "1", "100", "occurrence"] | None,
        typer.Option(
            help="Scale of the values: intensities from 0 to 5, 1 or 100, or occurrences, 0 and 1. "
            "Without it the values tell, and what they are taken for is printed."
        ),
    ] = None,
    missing: Annotated[
        list[str] | None,
        typer.Option(
            help="Code of an AU that was not coded, such as 9, 999 or -1; several by commas.",
            metavar="CODE",
        ),
    ] = None,
    sides: Annotated[
        LabelSides,
        typer.Option(help="AUs of a face's left and right (AU12L, AU12R): take their mean or max."),
    ] = "refuse",
    aus: Annotated[
        str | None,
        typer.Option(
            help="The AUs to fit to, by commas; without it the 12 of DISFA.", metavar="AU1,AU2,…"
        ),
    ] = None,
) -> None:
    """Fit a prior to labels, a copula to AUs or emotions in their shares, to share without them."""
    from samplers.priors.fit import write_fit
    from samplers.priors.labels import Reading
    from synthgen.action_units import DEFAULT_AUS, ActionUnitSet
    from synthgen.foreign import excerpt

    codes = [code for codes in missing or () for code in codes.split(",")]
    names = DEFAULT_AUS if aus is None else ActionUnitSet.of(aus.split(","))
    reading = Reading.parse(scale, codes, sides, names)
    fit = write_fit(labels, layout, to, active_from, reading)
    for warning in fit.warnings:
        typer.echo(f"note: {warning}", err=True)
    typer.echo(f"{excerpt(to)}: fitted to {fit.rows} rows; take it by expressions: {excerpt(to)}")
