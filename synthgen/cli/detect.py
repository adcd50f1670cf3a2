"""`synthgen detect`: whether pictures say that they are synthetic."""

from pathlib import Path
from typing import Annotated

import typer

detect_app = typer.Typer()


@detect_app.command()
def detect(
    files: Annotated[
        list[str],
        typer.Argument(help="Pictures, folders, patterns; datasets.", metavar="FILE…"),
    ],
    trust: Annotated[
        Path | None,
        typer.Option(
            help="Certificates of authorities whose signatures you believe, PEM.", metavar="FILE"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell which pictures say that they are synthetic; exit code 1 where one does not."""
    from synthgen.report.detecting import describe_detection, detection_json
    from synthgen.report.detecting import detect as look

    found = look(files, lambda line: typer.echo(line, err=True), trust)
    told = detection_json(found) if as_json else describe_detection(found, trust is not None)
    typer.echo(told)
    raise typer.Exit(0 if found.all_synthetic else 1)
