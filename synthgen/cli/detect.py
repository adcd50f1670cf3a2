"""`synthgen detect`: whether pictures say that they are synthetic."""

from typing import Annotated

import typer

detect_app = typer.Typer()


@detect_app.command()
def detect(
    files: Annotated[
        list[str],
        typer.Argument(help="Pictures, folders, patterns; datasets.", metavar="FILE…"),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell which pictures say that they are synthetic; exit code 1 where one does not."""
    from synthgen.report.detecting import describe_detection, detection_json
    from synthgen.report.detecting import detect as look

    found = look(files, lambda line: typer.echo(line, err=True))
    typer.echo(detection_json(found) if as_json else describe_detection(found))
    raise typer.Exit(0 if found.all_synthetic else 1)
