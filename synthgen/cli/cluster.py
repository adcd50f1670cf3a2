"""`synthgen check`, `submit` and `status`: before, instead of and beside `generate`."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from synthgen.config import RunConfig


cluster_app = typer.Typer()

Config = Annotated[Path, typer.Argument(help="Configuration file (YAML).", metavar="CONFIG")]
OptionalConfig = Annotated[
    Path | None, typer.Argument(help="Configuration file (YAML).", metavar="CONFIG")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a key: pipeline.batch_size=8", metavar="KEY=VALUE"),
]

_CLEAR = "\x1b[2J\x1b[H"
_DETACHED = 130


@cluster_app.command()
def check(
    config: Config,
    overrides: Overrides = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="Cluster to look at: 'auto' or HOST:6379 on one of its nodes; "
            "http://HOST:8265 has it looked at from inside, by a job. Without it, the "
            "configuration's, or this machine.",
        ),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Also generate and judge a few batches, for the time.")
    ] = False,
    gpus: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000_000,
            help="Estimate the time on so many GPUs that are not at hand, instead of looking.",
        ),
    ] = None,
    gpu_type: Annotated[
        str | None,
        typer.Option(help="Their kind, for a published figure: H100, A100, 4090.", metavar="NAME"),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=1e-6, max=1e6, help="Images a second of one of them, as you know it."),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(min=1, max=10**9, help="Samples to estimate for; else the configuration's."),
    ] = None,
    acceptance: Annotated[
        float | None,
        typer.Option(min=1e-6, max=1, help="Share of the images that the checks keep, for it."),
    ] = None,
    cost_per_hour: Annotated[
        float | None,
        typer.Option(min=0, help="What an hour of one GPU costs; else cluster.cost_per_hour."),
    ] = None,
) -> None:
    """Say what is missing on each node, and what a run will take; makes nothing."""
    from synthgen.config import load_config

    loaded = load_config(config, overrides or ())
    if any(x is not None for x in (gpus, gpu_type, rate, samples, acceptance, cost_per_hour)):
        if measure or address is not None:
            raise typer.BadParameter(
                "--measure and --address look at machines that are there; leave them out, or "
                "--gpus, --gpu-type, --rate, --samples, --acceptance and --cost-per-hour"
            )
        from cluster.preflight import Elsewhere, describe_elsewhere

        thought = Elsewhere(
            gpus=gpus or 1,
            kind=gpu_type,
            rate=rate,
            acceptance=acceptance,
            cost_per_hour=cost_per_hour,
        )
        enlarged = loaded.model_copy(update={"samples": samples or loaded.samples})
        typer.echo(describe_elsewhere(enlarged, thought))
        _refuse_without_plan(enlarged)
        return
    if address is not None and address.startswith(("http://", "https://")):
        _run_as_job(loaded, address, "check", ["--measure"] if measure else [])
        return
    from cluster.preflight import describe, joined, preflight, problems

    with joined(address or loaded.cluster.address) as cluster:
        report = preflight(loaded, cluster, measure)
    typer.echo(describe(report))
    if problems(report.findings):
        raise typer.Exit(2)


@cluster_app.command()
def submit(
    config: OptionalConfig = None,
    overrides: Overrides = None,
    address: Annotated[
        str, typer.Option(envvar="RAY_API_SERVER_ADDRESS", help="Dashboard of the cluster.")
    ] = "http://127.0.0.1:8265",
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Follow the job's log to its end.")
    ] = True,
    followed: Annotated[
        str | None, typer.Option("--follow", help="Follow a job that is there.", metavar="JOB")
    ] = None,
    pip: Annotated[
        list[str] | None,
        typer.Option(help="Package that pip installs on each node first.", metavar="REQUIREMENT"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Delete what an earlier run wrote, begin anew.")
    ] = False,
) -> None:
    """Run `generate` as a job of a Ray cluster; Ctrl-C leaves it running."""
    from cluster.jobs import connect

    if (config is None) == (followed is None):
        raise typer.BadParameter("give a CONFIG to submit, or --follow JOB")
    if followed is not None:
        _follow(connect(address), followed, address)
        return
    from synthgen.config import load_config

    loaded = load_config(config or Path(), overrides or ())
    _check_here(loaded)
    arguments = ["--overwrite"] if overwrite else []
    _run_as_job(loaded, address, "generate", arguments, pip or [], wait)


@cluster_app.command()
def status(
    output: Annotated[str, typer.Argument(help="Folder or URL of a dataset.", metavar="OUTPUT")],
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again and again, until the run is whole.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    cost_per_hour: Annotated[
        float | None,
        typer.Option(min=0, help="What an hour of one worker costs; else the configuration's."),
    ] = None,
) -> None:
    """Say how far a run is, from any machine that sees its output."""
    from synthgen.report.status import (
        Status,
        describe_status,
        read_status,
        status_json,
        watch_status,
    )

    describe = status_json if as_json else describe_status

    def show(found: Status) -> None:
        if watch and sys.stdout.isatty():
            typer.echo(_CLEAR, nl=False)
        typer.echo(describe(found))

    if not watch:
        show(read_status(output, cost_per_hour))
        return
    with contextlib.suppress(KeyboardInterrupt):  # the way to stop looking
        watch_status(output, cost_per_hour, show)


def _refuse_without_plan(config: "RunConfig") -> None:
    """Say as `check` does what cannot be, such as a run that is too large for its slots."""
    from pipelines.loading import check_values
    from samplers.flame.serving import refuse_unserved
    from samplers.plan import build_plan
    from synthgen.errors import SynthgenError

    try:
        check_values(config)
        refuse_unserved(build_plan(config))
    except SynthgenError as error:
        typer.echo(f"\nproblem: {error}")
        raise typer.Exit(2) from None


def _check_here(config: "RunConfig") -> None:
    """Refuse, before anything is sent, what no cluster could run."""
    from cluster.jobs import check_output_of_job
    from pipelines.loading import check_components
    from samplers.flame.serving import refuse_unserved
    from samplers.plan import build_plan

    check_output_of_job(config.output.path)
    check_components(config)
    plan = build_plan(config)
    refuse_unserved(plan)


def _run_as_job(
    config: "RunConfig",
    address: str,
    command: str,
    arguments: list[str],
    requirements: list[str] | None = None,
    wait: bool = True,
) -> None:
    from cluster.jobs import connect, send

    client = connect(address)
    job, package = send(client, config, command, arguments, requirements or [])
    for note in package.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"job {job} at {address}", err=True)
    if wait:
        _follow(client, job, address)
    else:
        typer.echo(_how_to_follow(job, address), err=True)


def _follow(client: object, job: str, address: str) -> None:
    from cluster.jobs import follow

    try:
        code = follow(client, job, lambda piece: typer.echo(piece, nl=False))
    except KeyboardInterrupt:
        typer.echo(f"\njob {job} goes on; {_how_to_follow(job, address)}", err=True)
        raise typer.Exit(_DETACHED) from None
    if code:
        raise typer.Exit(code)


def _how_to_follow(job: str, address: str) -> str:
    return (
        f"follow it: synthgen submit --follow {job} --address {address}; "
        f"stop it: ray job stop {job} --address {address}"
    )
