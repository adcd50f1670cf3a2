"""`synthgen prove`: rows made and measured again, checksums, record and card compared."""

from typing import Annotated

import typer

prove_app = typer.Typer()


@prove_app.command()
def prove(
    dataset: Annotated[str, typer.Argument(help="Folder or URL of a dataset.", metavar="DATASET")],
    samples: Annotated[
        int,
        typer.Option(
            "--samples",
            "-n",
            min=1,
            max=1_000_000,
            help="Rows that are made again; 16 times as many are measured again.",
        ),
    ] = 16,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Seed of the choice of these rows.")
    ] = 0,
) -> None:
    """Prove that a dataset is what its card says; exit code 1 where something is wrong."""
    from synthgen.report.proving import describe_proof
    from synthgen.report.proving import prove as look

    found = look(dataset, samples, seed, lambda line: typer.echo(line, err=True))
    typer.echo(describe_proof(found))
    raise typer.Exit(found.exit_code)
