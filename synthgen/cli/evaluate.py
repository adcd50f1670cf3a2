"""`synthgen evaluate …`: judge models and datasets, and write the tables."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from synthgen.choices import FaceLabels, NoiseOwner, NumberFormat, Scheduler

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
TextGuidanceOption = Annotated[
    float | None,
    typer.Option(min=0, help="Guidance of the text alone, instead of --guidance."),
]
AUScaleOption = Annotated[float, typer.Option(help="Scale of the AU branch.")]
BatchSizeOption = Annotated[int, typer.Option(min=1, max=4096, help="Images made at once.")]
DtypeOption = Annotated[NumberFormat, typer.Option(help="Number format of the models.")]
ThreadsOption = Annotated[int, typer.Option(min=1, max=1024, help="CPU threads.")]
PageOption = Annotated[
    Path,
    typer.Option("--to", "-o", help="Markdown file to write; the figures go beside, as JSON."),
]
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
        typer.Option(help="paper: that of the FineFace paper, 1,650 images as a run makes them."),
    ] = "small",
    prompts: Annotated[
        str | None,
        typer.Option(
            help="small: prompts of the model, 2 to 150 (40). paper: handcrafted (15), a file of "
            "prompts, or a folder of Parquet files with captions.",
            metavar="NUMBER|handcrafted|FILE",
        ),
    ] = None,
    combinations: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="Combinations of AUs a prompt; small: 10, paper: 50."),
    ] = None,
    row_prompts: Annotated[
        int | None,
        typer.Option(min=0, max=150, help="Prompts of text baseline and encoders; 0: none. (8)"),
    ] = None,
    encoders: Annotated[
        Path | None, typer.Option(help="Folder of adapters from `synthgen train fineface`.")
    ] = None,
    landmarker: Annotated[
        Path | None,
        typer.Option(help="paper: face_landmarker.task of Google's, a judge too.", metavar="FILE"),
    ] = None,
    clip: Annotated[
        str | None,
        typer.Option(help="paper: CLIP of CLIP-I, a folder or a Hub id; else the base's own."),
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="paper: folder of pictures for KID and FID (by torch-fidelity).", metavar="FOLDER"
        ),
    ] = None,
    inception: Annotated[
        Path | None,
        typer.Option(
            help="paper: torch-fidelity's InceptionV3; else it fetches its own.", metavar="FILE"
        ),
    ] = None,
    lora_scale: Annotated[
        list[float] | None,
        typer.Option(help="paper: scale of the LoRA (1); repeated, a sweep: tables of the first."),
    ] = None,
    methods: Annotated[
        Path | None,
        typer.Option(
            help="paper: folder of baselines from `synthgen train fineface` by other methods; "
            "their rows, and that of AUs in words."
        ),
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            help="paper: another model, by a YAML file that holds a run's section pipeline.",
            metavar="NAME=FILE",
        ),
    ] = None,
    executor: Annotated[
        Literal["ray", "inline"] | None,
        typer.Option(help="paper: Ray actors (without it), or this process alone."),
    ] = None,
    datasets: Annotated[
        Path | None,
        typer.Option(help="paper: folder of the datasets (out/evaluate/paper)."),
    ] = None,
    scheduler: SchedulerOption = "dpmpp",
    steps: StepsOption = 20,
    guidance: GuidanceOption = None,
    text_guidance: TextGuidanceOption = None,
    au_scale: AUScaleOption = 1.0,
    batch_size: BatchSizeOption = 16,
    dtype: DtypeOption = "float32",
    threads: ThreadsOption = 1,
    seed: SeedOption = 0,
    to: ToOption = Path("out/evaluate/fineface.md"),
    images: Annotated[
        Path | None,
        typer.Option(help="small: folder of the images (out/evaluate/images), to go on from."),
    ] = None,
) -> None:
    """Judge a FineFace model: the tables of the paper, with judges of one's own."""
    from synthgen.report.fineface_options import FineFaceOptions, judge_fineface

    options = FineFaceOptions(
        protocol=protocol,
        model={
            "weights": weights,
            "base": base,
            "verifier": verifier,
            "judge": judge,
            "encoders": encoders,
            "scheduler": scheduler,
            "steps": steps,
            "guidance": guidance,
            "text_guidance": text_guidance,
            "au_scale": au_scale,
            "batch_size": batch_size,
            "dtype": dtype,
            "threads": threads,
            "seed": seed,
        },
        prompts=prompts,
        combinations=combinations,
        small={"row_prompts": row_prompts, "images": images},
        paper={
            "landmarker": landmarker,
            "clip": clip,
            "reference": reference,
            "inception": inception,
            "lora_scale": lora_scale,
            "methods": methods,
            "baseline": baseline,
            "executor": executor,
            "datasets": datasets,
        },
    )
    try:
        files = judge_fineface(options, to, lambda line: typer.echo(line, err=True))
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on from what is whole", err=True)
        raise typer.Exit(130) from None
    typer.echo("\n".join(map(str, files)))


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
    text_guidance: TextGuidanceOption = None,
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
        text_guidance=text_guidance,
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
    to: PageOption = Path("out/evaluate/outside.md"),
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


@evaluate_app.command()
def fer(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="What is learned from: a dataset by folder or URL, or a folder of photographs.",
        ),
    ],
    test: Annotated[
        str, typer.Option(help="What is tested on: likewise.", metavar="DATASET_OR_FOLDER")
    ],
    mix: Annotated[
        list[str] | None,
        typer.Option(help="Learn from this one too; may be repeated.", metavar="FOLDER"),
    ] = None,
    labels: Annotated[
        FaceLabels,
        typer.Option(help="What is learned of a dataset: what was asked for, or was measured."),
    ] = "requested",
    test_labels: Annotated[
        Literal["requested", "measured"], typer.Option(help="What is true in a tested dataset.")
    ] = "requested",
    split: Annotated[str, typer.Option(help="Split to learn from; all: every one.")] = "train",
    test_split: Annotated[
        str | None, typer.Option(help="Split to test on; without it test, else validation.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Pictures of DATASET at most, drawn by the seed.")
    ] = None,
    mix_limit: Annotated[
        int | None, typer.Option(min=1, help="Pictures of each --mix at most, likewise.")
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            help="resnet or vit: a small one, made anew; or an image classifier of transformers, "
            "by folder or Hub id."
        ),
    ] = "resnet",
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hub id.")] = None,
    size: Annotated[
        int | None, typer.Option(help="Pixels of a side; without it 64, or what the model takes.")
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Without it 30, or 10 for a model with weights."),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, max=65536, help="Pictures of a step, over all GPUs.")
    ] = 32,
    learning_rate: Annotated[
        float | None,
        typer.Option(min=1e-9, max=1, help="Without it 1e-3, or 5e-5 for a model with weights."),
    ] = None,
    weight_decay: Annotated[float, typer.Option(min=0, max=1, help="Of AdamW.")] = 0.05,
    au_weight: Annotated[
        float, typer.Option(min=0, max=1000, help="Weight of the AUs' squared error; 0: no AUs.")
    ] = 0.3,
    dtype: DtypeOption = "float32",
    device: Annotated[
        Literal["auto", "cpu"], typer.Option(help="auto: GPUs where there are some.")
    ] = "auto",
    threads: ThreadsOption = 1,
    workers: Annotated[
        int, typer.Option(min=0, max=256, help="Processes that read pictures; 0: none extra.")
    ] = 0,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Trainings, a seed each.")] = 1,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="First seed; also of draws and intervals.")
    ] = 0,
    to: Annotated[
        Path,
        typer.Option(
            "--to", "-o", help="Markdown file to write; the figures go beside, as JSON and PNG."
        ),
    ] = Path("out/evaluate/fer.md"),
    models: Annotated[
        Path, typer.Option(help="Folder of the trainings; a stopped one goes on from it.")
    ] = Path("out/evaluate/fer"),
) -> None:
    """Train a recogniser of expressions on a dataset, and tell what it recognises elsewhere."""
    from pipelines.recognition.evaluate import FerEvaluation, evaluate_fer, is_first_process
    from pipelines.recognition.training import Recipe

    settings = FerEvaluation(
        dataset=dataset,
        test=test,
        mixed=tuple(mix or ()),
        labels=labels,
        test_labels=test_labels,
        split=split,
        test_split=test_split,
        limit=limit,
        mixed_limit=mix_limit,
        model=model,
        revision=revision,
        size=size,
        epochs=epochs,
        learning_rate=learning_rate,
        recipe=Recipe(
            batch_size=batch_size,
            weight_decay=weight_decay,
            au_weight=au_weight,
            dtype=dtype,
            device=device,
            threads=threads,
            workers=workers,
        ),
        seed=seed,
        seeds=seeds,
    )
    try:
        tables, page, figures = evaluate_fer(settings, to, models)
    except KeyboardInterrupt:
        typer.echo(f"stopped; the same command continues from {models}", err=True)
        raise typer.Exit(130) from None
    if is_first_process():
        typer.echo(f"{tables}\n\n{page}\n{figures}")


@evaluate_app.command()
def verifier(
    verifier: VerifierOption = "mini",
    judge: Annotated[
        Path | None, typer.Option(help="Second network, from `synthgen train judge`.")
    ] = None,
    vae: Annotated[
        str | None,
        typer.Option(
            help="VAE through which each face passes: mini, or a folder; without it, as drawn.",
            metavar="WEIGHTS",
        ),
    ] = None,
    faces: Annotated[int, typer.Option(min=100, max=100_000, help="Drawn people.")] = 2000,
    above: Annotated[
        float, typer.Option(min=0, max=5, help="From here on an AU that nobody drew is read.")
    ] = 1.0,
    threads: ThreadsOption = 1,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Seed of people and expressions.")
    ] = 0,
    to: PageOption = Path("out/evaluate/verifier.md"),
) -> None:
    """Measure how an AU network reads exactly drawn faces of each skin, age and other trait."""
    from pipelines.evaluation.bias import BiasEvaluation, evaluate_bias

    settings = BiasEvaluation(
        verifier=verifier,
        judge=judge,
        vae=vae,
        faces=faces,
        above=above,
        threads=threads,
        seed=seed,
    )
    tables, page, figures = evaluate_bias(settings, to)
    typer.echo(f"{tables}\n\n{page}\n{figures}")
