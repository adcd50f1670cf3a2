"""`synthgen improve`: train, see what is confused, make images of it, train again."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from synthgen.choices import FaceLabels, NumberFormat

improve_app = typer.Typer()


@improve_app.command()
def improve(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG", help="Configuration of the first dataset, made where it is missing."
        ),
    ],
    test: Annotated[
        str,
        typer.Option(
            help="What says which images are made, and when to stop: a validation set. A dataset "
            "or a folder of photographs.",
            metavar="DATASET_OR_FOLDER",
        ),
    ],
    test_split: Annotated[
        str | None, typer.Option(help="Split of it; without it test, else validation.")
    ] = None,
    holdout: Annotated[
        str | None,
        typer.Option(
            help="What nothing is chosen by: likewise, or a share of the people of --test: 0.5.",
            metavar="DATASET_OR_SHARE",
        ),
    ] = None,
    holdout_split: Annotated[str | None, typer.Option(help="Split of the holdout.")] = None,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Rounds at most.")] = 3,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Samples of a round; without it CONFIG's.")
    ] = None,
    focus: Annotated[
        float, typer.Option(min=0.01, max=1, help="Part of a round that goes where confusions are.")
    ] = 0.5,
    patience: Annotated[
        int, typer.Option(min=1, max=100, help="Rounds in a row without a gain that end the loop.")
    ] = 1,
    control: Annotated[
        bool,
        typer.Option("--control", help="Make and learn as many images of the unchanged prior too."),
    ] = False,
    mix: Annotated[
        list[str] | None,
        typer.Option(
            help="Learn from this one in every round too; may be repeated.", metavar="FOLDER"
        ),
    ] = None,
    labels: Annotated[
        FaceLabels, typer.Option(help="What is learned, as for `synthgen evaluate fer`.")
    ] = "requested",
    model: Annotated[
        str, typer.Option(help="resnet, vit, or an image classifier by folder or Hub id.")
    ] = "resnet",
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hub id.")] = None,
    size: Annotated[int | None, typer.Option(help="Pixels of a side.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, max=10_000, help="Epochs.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, max=65536, help="Pictures of a step.")] = 32,
    learning_rate: Annotated[
        float | None, typer.Option(min=1e-9, max=1, help="Highest learning rate.")
    ] = None,
    dtype: Annotated[NumberFormat, typer.Option(help="Number format of the training.")] = "float32",
    device: Annotated[
        Literal["auto", "cpu"], typer.Option(help="Of the training; auto: GPUs where some are.")
    ] = "auto",
    threads: Annotated[int, typer.Option(min=1, max=1024, help="CPU threads of the training.")] = 1,
    workers: Annotated[int, typer.Option(min=0, max=256, help="Processes that read pictures.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Trainings of each round.")] = 3,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="First seed; also of the intervals.")
    ] = 0,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a key of CONFIG.", metavar="KEY=VALUE"),
    ] = None,
    executor: Annotated[
        Literal["ray", "inline"], typer.Option(help="Ray actors, or this process alone.")
    ] = "ray",
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what would be made; make and write nothing.")
    ] = False,
    to: Annotated[
        Path, typer.Option("--to", "-o", help="Folder of the loop: ledger, rounds, trainings.")
    ] = Path("out/improve"),
) -> None:
    """Train, see what is confused, make images of it, train on all, until nothing is gained."""
    from cluster.improvement import Improvement, describe, describe_outlook
    from cluster.improvement import improve as run
    from cluster.progress import log_to_terminal
    from pipelines.recognition import FerEvaluation, Recipe
    from synthgen.config import load_config

    loaded = load_config(config, overrides or ())
    settings = Improvement(
        config=loaded,
        training=FerEvaluation(
            dataset="",
            test=test,
            test_split=test_split,
            mixed=tuple(mix or ()),
            labels=labels,
            model=model,
            revision=revision,
            size=size,
            epochs=epochs,
            learning_rate=learning_rate,
            recipe=Recipe(
                batch_size=batch_size, dtype=dtype, device=device, threads=threads, workers=workers
            ),
            seed=seed,
            seeds=seeds,
        ),
        rounds=rounds,
        samples=loaded.samples if samples is None else samples,
        focus=focus,
        patience=patience,
        control=control,
        holdout=holdout,
        holdout_split=holdout_split,
    )
    if plan:
        typer.echo(describe_outlook(settings, to))
        return
    log_to_terminal(loaded.cluster.log_format)
    try:
        ledger = run(settings, to, executor, lambda line: typer.echo(line, err=True))
    except KeyboardInterrupt:
        typer.echo(f"stopped; the same command continues from {to}", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"{describe(ledger)}\n\n{to / 'ledger.md'}\n{to / 'ledger.json'}")
