"""`synthgen evaluate …`: judge models and write the tables."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from synthgen.choices import NoiseOwner, NumberFormat, Scheduler

evaluate_app = typer.Typer(help="Judge models by the images that they make.", no_args_is_help=True)


VerifierOption = Annotated[
    str, typer.Option(help="AU network that judges: mini, libreface, or a file.")
]
SchedulerOption = Annotated[Scheduler, typer.Option(help="Sampler.")]
StepsOption = Annotated[int, typer.Option(min=1, max=1000, help="Denoising steps.")]
GuidanceOption = Annotated[
    float | None,
    typer.Option(min=0, help="Guidance scale; without it 1.2 for mini, 7.5 for other bases."),
]
AUScaleOption = Annotated[float, typer.Option(help="Scale of the AU branch.")]
BatchSizeOption = Annotated[int, typer.Option(min=1, max=4096, help="Images made at once.")]
DtypeOption = Annotated[NumberFormat, typer.Option(help="Number format of the models.")]
ThreadsOption = Annotated[int, typer.Option(min=1, max=1024, help="CPU threads.")]
SeedOption = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of prompts and noise.")]
ToOption = Annotated[Path, typer.Option("--to", "-o", help="Markdown file to write.")]
ImagesOption = Annotated[
    Path, typer.Option(help="Folder of the images; a killed evaluation goes on from it.")
]


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
    verifier: VerifierOption = "mini",
    judge: Annotated[
        Path | None, typer.Option(help="Second judge, from `synthgen train judge`; reads traits.")
    ] = None,
    protocol: Annotated[
        Literal["small", "paper"],
        typer.Option(help="paper: the counts of the FineFace paper, 1,650 images."),
    ] = "small",
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
    scheduler: SchedulerOption = "dpmpp",
    steps: StepsOption = 20,
    guidance: GuidanceOption = None,
    au_scale: AUScaleOption = 1.0,
    batch_size: BatchSizeOption = 16,
    dtype: DtypeOption = "float32",
    threads: ThreadsOption = 1,
    seed: SeedOption = 0,
    to: ToOption = Path("out/evaluate/fineface.md"),
    images: ImagesOption = Path("out/evaluate/images"),
) -> None:
    """Judge a FineFace model: the tables of the paper, with judges of one's own."""
    from pipelines.evaluation.fineface import FineFaceEvaluation, evaluate_fineface

    settings = FineFaceEvaluation(
        weights=weights,
        base=base,
        verifier=verifier,
        judge=judge,
        protocol=protocol,
        prompts=prompts,
        combinations=combinations,
        row_prompts=row_prompts,
        encoders=encoders,
        scheduler=scheduler,
        steps=steps,
        guidance=guidance,
        au_scale=au_scale,
        batch_size=batch_size,
        dtype=dtype,
        threads=threads,
        seed=seed,
    )
    typer.echo(str(evaluate_fineface(settings, to, images)))


@evaluate_app.command()
def faceid(
    weights: Annotated[
        str,
        typer.Option(help="Face adapter: mini, or a folder of a training.", metavar="WEIGHTS"),
    ],
    judge_embedder: Annotated[
        Path,
        typer.Option(
            help="Independent face embedder, which only judges; from `synthgen train "
            "face-embedder` with other seeds."
        ),
    ],
    base: Annotated[
        str, typer.Option(help="Stable Diffusion base: mini, a folder, or a Hub id.")
    ] = "mini",
    fineface: Annotated[str, typer.Option(help="FineFace files: likewise.")] = "mini",
    embedder: Annotated[
        str, typer.Option(help="Face embedder of the adapter: mini, or a file.")
    ] = "mini",
    verifier: VerifierOption = "mini",
    people: Annotated[
        int, typer.Option(min=2, max=100_000, help="Drawn people whom no training saw.")
    ] = 100,
    prompt_template: Annotated[
        str,
        typer.Option(help="Prompt; slots such as {person} and {hair} are the person's traits."),
    ] = "a portrait of a person",
    noise: Annotated[
        NoiseOwner, typer.Option(help="Whose noise an image starts from: its own, or its person's.")
    ] = "sample",
    ip_scale: Annotated[float, typer.Option(help="Scale of the face branch.")] = 1.0,
    scheduler: SchedulerOption = "dpmpp",
    steps: StepsOption = 20,
    guidance: GuidanceOption = None,
    au_scale: AUScaleOption = 1.0,
    batch_size: BatchSizeOption = 16,
    dtype: DtypeOption = "float32",
    threads: ThreadsOption = 1,
    seed: SeedOption = 0,
    to: ToOption = Path("out/evaluate/faceid.md"),
    images: ImagesOption = Path("out/evaluate/images"),
) -> None:
    """Judge whether a model shows the person asked for, and keeps its control of the AUs."""
    from pipelines.evaluation.faceid import FaceIdEvaluation, evaluate_faceid

    settings = FaceIdEvaluation(
        weights=weights,
        base=base,
        fineface=fineface,
        embedder=embedder,
        judge_embedder=judge_embedder,
        verifier=verifier,
        people=people,
        prompt_template=prompt_template,
        noise=noise,
        ip_scale=ip_scale,
        scheduler=scheduler,
        steps=steps,
        guidance=guidance,
        au_scale=au_scale,
        batch_size=batch_size,
        dtype=dtype,
        threads=threads,
        seed=seed,
    )
    typer.echo(str(evaluate_faceid(settings, to, images)))


@evaluate_app.command()
def outside(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="Dataset to judge: a folder or a URL.")
    ],
    landmarker: Annotated[
        Path | None,
        typer.Option(
            help="Judge of expressions: your own face_landmarker.task of Google's.",
            metavar="FILE",
        ),
    ] = None,
    recogniser: Annotated[
        Path | None,
        typer.Option(
            help="Judge of people: folder of dlib_face_recognition_resnet_model_v1.dat and "
            "shape_predictor_5_face_landmarks.dat.",
            metavar="FOLDER",
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=2, max=4096, help="Accepted images at most; the first ones.")
    ] = 1200,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Seed of the folds and of the intervals.")
    ] = 0,
    to: Annotated[
        Path,
        typer.Option("--to", "-o", help="Markdown file to write; the figures go beside, as JSON."),
    ] = Path("out/evaluate/outside.md"),
) -> None:
    """Judge a dataset by networks of others, which no training and no check may use."""
    from pipelines.evaluation.outside import OutsideEvaluation, evaluate_outside

    settings = OutsideEvaluation(
        dataset=dataset,
        landmarker=landmarker,
        recogniser=recogniser,
        limit=limit,
        seed=seed,
    )
    tables, page, figures = evaluate_outside(settings, to)
    typer.echo(f"{tables}\n\n{page}\n{figures}")
