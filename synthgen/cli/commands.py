"""Commands on runs and datasets: each a few lines, with the imports that it needs inside."""

import errno
import io
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from synthgen import termination
from synthgen.choices import OnConflict, OnDuplicate
from synthgen.cli.cluster import cluster_app
from synthgen.cli.data import data_app
from synthgen.cli.detect import detect_app
from synthgen.cli.edit import edit_app
from synthgen.cli.evaluate import evaluate_app
from synthgen.cli.faces import faces_app
from synthgen.cli.flame import flame_app
from synthgen.cli.improve import improve_app
from synthgen.cli.prior import prior_app
from synthgen.cli.prove import prove_app
from synthgen.cli.publish import publish_app
from synthgen.cli.sign import sign_app
from synthgen.cli.train import train_app
from synthgen.errors import ConfigError, RunError, SynthgenError
from synthgen.foreign import excerpt, first_line, printable
from synthgen.installation import prefer_own_packages
from synthgen.redaction import guard_terminal, secret_in, secret_sentence

merge_app = typer.Typer()


@merge_app.command()
def merge(
    datasets: Annotated[
        list[str], typer.Argument(help="Folders or URLs of datasets.", metavar="DATASET...")
    ],
    to: Annotated[str, typer.Option("--to", "-o", help="New or empty folder, or such a URL.")],
    where: Annotated[
        str | None,
        typer.Option(
            help="Keep the rows that fulfil a condition: \"emotion == 'happy' and active_error < "
            '0.5".',
            metavar="CONDITION",
        ),
    ] = None,
    balance: Annotated[
        str | None,
        typer.Option(
            help="Keep equally many rows of each value of a column in each split: emotion, "
            "identity.age, source.",
            metavar="COLUMN",
        ),
    ] = None,
    on_conflict: Annotated[
        OnConflict,
        typer.Option(
            help="An identity in two splits: refuse; move its rows to the split where the first "
            "dataset has it; or drop its rows elsewhere."
        ),
    ] = "refuse",
    on_duplicate: Annotated[
        OnDuplicate,
        typer.Option(help="Rows of the same id or image: refuse, or drop all but the first."),
    ] = "refuse",
    rename: Annotated[
        bool,
        typer.Option(
            "--rename", help="Put the run into ids of earlier versions, which are numbers alone."
        ),
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="Name of the merged dataset; else that of its folder.")
    ] = None,
) -> None:
    """Merge datasets into one: labels, splits, identities and licences reconciled."""
    from synthgen.dataset.merging import Merging
    from synthgen.dataset.merging import merge as join
    from synthgen.report.run_summary import describe_merged

    asked = Merging(
        sources=datasets,
        to=to,
        name=name,
        where=where,
        balance=balance,
        on_conflict=on_conflict,
        on_duplicate=on_duplicate,
        rename=rename,
    )
    try:
        found = join(asked)
    except KeyboardInterrupt:
        typer.echo("stopped; nothing is left of the merge, the same command begins anew", err=True)
        raise typer.Exit(130) from None
    typer.echo(describe_merged(asked, found))


app = typer.Typer(
    name="synthgen",
    help="Synthetic facial-expression datasets from FACS Action Units.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
weights_app = typer.Typer(help="Published weights.", no_args_is_help=True)
app.add_typer(cluster_app)
app.add_typer(merge_app)
app.add_typer(publish_app)
app.add_typer(edit_app)
app.add_typer(improve_app)
app.add_typer(prove_app)
app.add_typer(detect_app)
app.add_typer(sign_app)
app.add_typer(weights_app, name="weights")
app.add_typer(data_app, name="data")
app.add_typer(train_app, name="train")
app.add_typer(prior_app, name="prior")
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(faces_app, name="faces")
app.add_typer(flame_app, name="flame")

Config = Annotated[Path, typer.Argument(help="Configuration file (YAML).", metavar="CONFIG")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a key: pipeline.batch_size=8", metavar="KEY=VALUE"),
]
Dataset = Annotated[str, typer.Argument(help="Folder or URL of a dataset.", metavar="DATASET")]


def _print_version(asked: bool) -> None:
    if asked:
        from synthgen import __version__
        from synthgen.revision import git_revision

        revision = git_revision()
        typer.echo(f"synthgen {__version__}" + (f" ({revision})" if revision else ""))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version, and the revision of the sources where it is known.",
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Synthetic facial-expression datasets from FACS Action Units."""


def main() -> None:
    """Run a command; an error that the user can mend becomes one line and an exit code."""
    prefer_own_packages()
    guard_terminal()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # whatever the terminal cannot show is escaped
            stream.reconfigure(errors="backslashreplace")
    # Before anything imports transformers, in this process and in the actors that it starts:
    # diffusers would have it warn about image processors that no pipeline here uses.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    termination.end_as_by_ctrl_c()
    try:
        _run_command()
    except SystemExit as end:
        # Ray's own handler, which is there while it starts, exits with the signal's number.
        if termination.came() or end.code == signal.SIGTERM:
            sys.exit(termination.EXIT_CODE)
        raise
    except Exception as error:
        if not termination.came():
            raise
        # Slurm ends all processes of a job at once: what was worked with may be gone before us.
        _fail(f"while it stopped: {first_line(error)}", termination.EXIT_CODE)


def _run_command() -> None:
    try:
        _refuse_secrets(sys.argv[1:])
        app()
    except RunError as error:
        _fail(f"error: {error}", 3)
    except SynthgenError as error:
        _fail(f"error: {error}", 2)
    except OSError as error:
        # Only what a user named can be too long, or a link that leads round.
        if error.errno not in (errno.ENAMETOOLONG, errno.ELOOP):
            raise
        _fail(f"error: {excerpt(error.filename)} cannot be opened: {error.strerror}", 2)
    except KeyboardInterrupt:
        _fail("stopped", 130)


@app.command()
def generate(
    config: Config,
    overrides: Overrides = None,
    executor: Annotated[
        Literal["ray", "inline"], typer.Option(help="Ray actors, or this process alone.")
    ] = "ray",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Delete what an earlier run wrote, begin anew.")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Compare all checksums first; make damaged shards again."),
    ] = False,
) -> None:
    """Generate a dataset, or continue, extend or mend it."""
    from cluster.driver import generate as run
    from cluster.progress import log_to_terminal
    from synthgen.config import load_config
    from synthgen.report.run_summary import describe_run

    loaded = load_config(config, overrides or ())
    log_to_terminal(loaded.cluster.log_format)
    try:
        summary = run(loaded, executor, overwrite, verify=verify)
    except KeyboardInterrupt:
        _fail("stopped; whole shards stay, the same command continues", 130)
    typer.echo(describe_run(loaded, summary))
    if summary.missing:
        raise typer.Exit(3)


@app.command()
def plan(
    config: Config,
    overrides: Overrides = None,
    first: Annotated[
        int, typer.Option("-n", "--first", min=0, max=100_000, help="Specs to print.")
    ] = 5,
    plot: Annotated[
        Path | None,
        typer.Option(help="PNG file for marginals, co-occurrence, strata (extra 'plots')."),
    ] = None,
) -> None:
    """Print the first specs and the expected AU and category frequencies; makes no image."""
    from pipelines.loading import check_values, doubts
    from samplers.plan import build_plan
    from samplers.summary import render, summarise
    from synthgen.config import load_config

    loaded = load_config(config, overrides or ())
    check_values(loaded)
    summary = summarise(build_plan(loaded), first, loaded.identities.slot_shares())
    typer.echo(render(summary, loaded.verify.most_images, loaded.verify.sooner))
    if not loaded.verify.checks:
        typer.echo("no check looks at the images: every first one is kept")
    for text in doubts(loaded):
        typer.echo(f"warning: {text}", err=True)
    if plot is not None:
        from synthgen.report.plan_plot import write_plot

        write_plot(summary, plot)
        typer.echo(f"\n{plot}: marginals, co-occurrence, active AUs, strata")


@app.command()
def preview(
    config: Config,
    overrides: Overrides = None,
    number: Annotated[int, typer.Option("-n", min=1, max=400, help="Images to make.")] = 16,
    to: Annotated[Path, typer.Option("--to", "-o", help="PNG file to write.")] = Path(
        "preview.png"
    ),
) -> None:
    """Write a contact sheet of first attempts with requested and measured AUs."""
    from synthgen.config import load_config
    from synthgen.report.pictures import write_preview

    made = write_preview(load_config(config, overrides or ()), number, to)
    typer.echo(f"{to}: {made}")


@app.command()
def image(
    prompt: Annotated[str, typer.Argument(help="What to show.", metavar="PROMPT")],
    to: Annotated[Path, typer.Option("--to", "-o", help="Image file to write.")],
    aus: Annotated[
        list[str] | None,
        typer.Option("--au", help="Intensity of an AU: AU12=5", metavar="AU=INTENSITY"),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Configuration whose pipeline makes it; without one, the quickstart's."),
    ] = None,
    overrides: Overrides = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Seed of the noise and the identity.")
    ] = 0,
    sweep: Annotated[
        str | None,
        typer.Option(help="Make a strip of this AU from 0 to 5, measured.", metavar="AU"),
    ] = None,
) -> None:
    """Make one picture, or a strip of one AU's intensities."""
    from synthgen.report.pictures import write_image, write_sweep

    if sweep is None:
        write_image(prompt, aus or [], to, config, overrides or (), seed)
    else:
        write_sweep(prompt, sweep, aus or [], to, config, overrides or (), seed)
    typer.echo(str(to))


@app.command()
def measure(
    pictures: Annotated[
        list[str],
        typer.Argument(help="Files, folders, or patterns in quotes.", metavar="PICTURE..."),
    ],
    to: Annotated[
        Path | None, typer.Option("--to", "-o", help="Table to write: .parquet or .csv.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Configuration whose check measures; without one, the quickstart's."),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Measure the AUs of pictures: a row each, with the reason where there is nothing."""
    from synthgen.report.measuring import measure_pictures

    def say(line: str) -> None:
        typer.echo(line, err=True)

    found = measure_pictures(pictures, to, config, overrides or (), say)
    typer.echo(found.text())
    if found.unmeasured:
        raise typer.Exit(3)


@app.command()
def inspect(dataset: Dataset) -> None:
    """Summarise a dataset and verify it: checksums, missing, duplicate and half shards."""
    from synthgen.dataset import describe_inspection, inspect_dataset

    found = inspect_dataset(dataset)
    typer.echo(describe_inspection(found))
    if found.problems:
        raise typer.Exit(2)
    if found.statistics.missing:
        raise typer.Exit(3)


@app.command()
def report(
    dataset: Dataset,
    outside: Annotated[
        Path | None,
        typer.Option(
            help="Figures of judges from outside to show too: the JSON file that `synthgen "
            "evaluate outside` wrote of this dataset.",
            metavar="FILE",
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            help="Write a page instead, with gallery and figures, that needs no network (extra "
            "'report').",
            metavar="FILE",
        ),
    ] = None,
    pictures: Annotated[
        int, typer.Option(min=0, max=5000, help="Samples that the page shows, with --html.")
    ] = 600,
) -> None:
    """Compare what was asked, drawn and delivered: strata, identity slots, AUs, drift."""
    if html is not None:
        from synthgen.report.page import write_page

        typer.echo(f"{html}: {write_page(dataset, html, pictures, outside).text()}")
        return
    from synthgen.report.comparison import compare, describe_comparison

    typer.echo(describe_comparison(compare(dataset, outside)))


@app.command()
def reproduce(
    dataset: Dataset,
    sample_id: Annotated[str, typer.Argument(help="As in column sample_id.")],
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            "-o",
            help="PNG file for both images, side by side; of a rejected attempt for the new one, "
            "above what was asked and measured.",
        ),
    ] = None,
    attempt: Annotated[
        int | None,
        typer.Option(min=0, help="Attempt to make again, a rejected one too; else the one kept."),
    ] = None,
    replacement: Annotated[
        int | None, typer.Option(min=0, help="Its spec, where the sample has several.")
    ] = None,
) -> None:
    """Make one image again from the stored configuration, kept or rejected, and compare it."""
    from synthgen.report.reproduction import reproduce as make_again

    found = make_again(dataset, sample_id, to, attempt, replacement)
    typer.echo(found.text())
    if not found.same:
        raise typer.Exit(3)


@app.command()
def repair(
    dataset: Dataset,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only say it.")] = False,
) -> None:
    """Mend a dataset's lost or corrupt record, configuration and markers; set strays aside."""
    from synthgen.report.repair import repair as mend

    mend(dataset, yes, typer.echo)


@app.command()
def init(
    name: Annotated[
        str, typer.Argument(help="quickstart, drawn, sd21, faceid or faceid-mini.", metavar="NAME")
    ],
    to: Annotated[Path | None, typer.Option("--to", "-o", help="File to write.")] = None,
) -> None:
    """Write an example configuration."""
    from synthgen.report.pictures import write_example

    typer.echo(f"{write_example(name, to)} written; run: synthgen generate {to or name + '.yaml'}")


@app.command("config-schema")
def config_schema() -> None:
    """Print the JSON schema of a configuration, with descriptions, units and ranges."""
    import json

    from synthgen.config import RunConfig

    typer.echo(json.dumps(RunConfig.model_json_schema(), indent=2, ensure_ascii=False))


@weights_app.command()
def fetch(config: Config, overrides: Overrides = None) -> None:
    """Fetch the published weights that a configuration names, so that runs need no network.

    Says the commits to pin them to: keys for the configuration, or for --set.
    """
    from pipelines.loading import fetch_weights
    from synthgen.config import load_config

    found = fetch_weights(load_config(config, overrides or ()))
    for path in found.files:
        typer.echo(str(path))
    for key, commit in found.pins.items():
        typer.echo(f"pin what was fetched: {key}={commit}", err=True)
    if not found.files:
        typer.echo("nothing to fetch: what this configuration needs is part of synthgen")


def _refuse_secrets(arguments: Sequence[str]) -> None:
    """Refuse what each user of this machine can read in the list of processes.

    Raises:
        ConfigError: if an argument holds credentials.
    """
    for argument in arguments:
        # An option and its value may be one argument.
        for text in (*argument.split("=", 1)[::-1], argument):
            if shown := secret_in(text):
                raise ConfigError(secret_sentence("the command line", shown))


def _fail(message: str, code: int) -> NoReturn:
    # One line, whatever it names; what would be longer than a screen is cut.
    line = re.sub(r"\S{301,}", lambda word: excerpt(word[0]), message)
    typer.echo(printable(line).replace("\n", "\\n"), err=True)
    sys.exit(code)
