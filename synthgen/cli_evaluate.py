"""`synthgen evaluate …`: judge models and write the tables."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

evaluate_app = typer.Typer(help="Judge models by the images that they make.", no_args_is_help=True)


class Asked(StrEnum):
    """How much is asked of a model."""

    small = "small"
    paper = "paper"


class Sampler(StrEnum):
    """How images are denoised."""

    dpmpp = "dpmpp"
    ddim = "ddim"
    base = "base"


class Numbers(StrEnum):
    """Number format of the models."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


@evaluate_app.callback()
def _evaluate() -> None:
    """Judge models by the images that they make."""


@evaluate_app.command()
def fineface(
    weights: Annotated[
        str, typer.Option(help="FineFace files: mini, a folder, or a Hub id.", metavar="WEIGHTS")
    ],
    base: Annotated[
        str, typer.Option(help="Stable Diffusion base: likewise.", metavar="WEIGHTS")
    ] = "mini",
    verifier: Annotated[
        str, typer.Option(help="AU network that judges: mini, libreface, or a file.")
    ] = "mini",
    judge: Annotated[
        Path | None, typer.Option(help="Second judge, from `synthgen train judge`; reads traits.")
    ] = None,
    protocol: Annotated[
        Asked, typer.Option(help="paper: the counts of the FineFace paper, 1,650 images.")
    ] = Asked.small,
    prompts: Annotated[int, typer.Option(min=2, max=150, help="Prompts of the model.")] = 40,
    combinations: Annotated[
        int, typer.Option(min=1, max=1000, help="Combinations of AUs a prompt.")
    ] = 10,
    row_prompts: Annotated[
        int,
        typer.Option(min=0, max=150, help="Prompts of text baseline and encoders; 0: none."),
    ] = 8,
    encoders: Annotated[
        Path | None, typer.Option(help="Folder of adapters from `synthgen train fineface`.")
    ] = None,
    scheduler: Annotated[Sampler, typer.Option(help="Sampler.")] = Sampler.dpmpp,
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Denoising steps.")] = 20,
    guidance: Annotated[
        float | None,
        typer.Option(min=0, help="Guidance scale; without it 2 for mini, 7.5 for other bases."),
    ] = None,
    au_scale: Annotated[float, typer.Option(help="Scale of the AU branch.")] = 1.0,
    batch_size: Annotated[int, typer.Option(min=1, max=4096, help="Images made at once.")] = 16,
    dtype: Annotated[Numbers, typer.Option(help="Number format of the models.")] = Numbers.float32,
    threads: Annotated[int, typer.Option(min=1, max=1024, help="CPU threads.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of prompts and noise.")] = 0,
    to: Annotated[Path, typer.Option("--to", "-o", help="Markdown file to write.")] = Path(
        "docs/mini-results.md"
    ),
    images: Annotated[
        Path, typer.Option(help="Folder of the images; a killed evaluation goes on from it.")
    ] = Path("out/evaluate/images"),
) -> None:
    """Judge a FineFace model: the tables of the paper, with judges of one's own."""
    from pipelines.evaluation.fineface import evaluate_fineface
    from pipelines.evaluation.settings import FineFaceEvaluation

    settings = FineFaceEvaluation(
        weights=weights,
        base=base,
        verifier=verifier,
        judge=judge,
        protocol=protocol.value,
        prompts=prompts,
        combinations=combinations,
        row_prompts=row_prompts,
        encoders=encoders,
        scheduler=scheduler.value,
        steps=steps,
        guidance=guidance,
        au_scale=au_scale,
        batch_size=batch_size,
        dtype=dtype.value,
        threads=threads,
        seed=seed,
    )
    typer.echo(str(evaluate_fineface(settings, to, images)))
