"""Pictures before a run: one image, a strip of one AU, a sheet of first attempts."""

import logging
import math
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import islice
from pathlib import Path

from PIL.Image import Image, registered_extensions

import synthgen
from cluster.resolve import as_begun
from cluster.rounds import Outcome
from cluster.worker import load_worker
from pipelines.interfaces import Verifier
from pipelines.loading import fix_arithmetic, load_checks, load_source, pick_device
from pipelines.policy import blank_detail
from samplers.flame.serving import refuse_unserved
from samplers.plan import Plan, build_plan
from samplers.spec import Attempt, SampleSpec
from synthgen.action_units import (
    DEFAULT_AUS,
    FACS,
    MAX_INTENSITY,
    MIN_INTENSITY,
    ActionUnitSet,
    canonical,
)
from synthgen.config import PipelineSection, RunConfig, load_config
from synthgen.config.priors.base import FURTHEST
from synthgen.dataset import contact_sheet, encode_png, reached
from synthgen.dataset.marks.xmp import Mark, can_hold, save_options
from synthgen.dataset.schema import AUS_MEASURED
from synthgen.dataset.strata import describe_rejected
from synthgen.errors import ActionUnitError, ConfigError, OutputError, WeightsError
from synthgen.foreign import did_you_mean, shown

_log = logging.getLogger(__name__)

EXAMPLES = {
    "quickstart": "quickstart.yaml",
    "drawn": "drawn-faces.yaml",
    "sd21": "fineface-sd21.yaml",
    "faceid": "faceid-sd15.yaml",
    "faceid-mini": "faceid-mini.yaml",
    "arc2face": "arc2face-sd15.yaml",
}
"""Name of `synthgen init` → file under `examples/`."""


def write_example(name: str, to: Path | None) -> Path:
    """Write an example configuration, by default `<name>.yaml` in this folder.

    Raises:
        ConfigError: if there is no example of that name.
        OutputError: if the file is there already or cannot be written.
    """
    if name not in EXAMPLES:
        raise ConfigError(
            f"no example {shown(name)}; "
            + did_you_mean(name, EXAMPLES, f"those that exist: {', '.join(EXAMPLES)}")
        )
    path = to or Path(f"{name}.yaml")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(example_file(name).read_text(encoding="utf-8"))
    except FileExistsError as error:
        raise OutputError(f"{path} is there already; choose another file with --to") from error
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    return path


def example_file(name: str) -> Path:
    """Find an example in the installed package, or in the checkout that is installed editable.

    Args:
        name: as for `synthgen init`.
    """
    package = Path(synthgen.__file__).parent
    packed = package / "examples" / EXAMPLES[name]
    return packed if packed.is_file() else package.parent / "examples" / EXAMPLES[name]


def write_image(
    prompt: str,
    intensities: Sequence[str],
    to: Path,
    config: Path | None,
    overrides: Sequence[str],
    seed: int,
) -> None:
    """Paint one picture and write it; the ending of the file says its format.

    Args:
        prompt: what to show.
        intensities: `AU12=5` and the like.
        to: the file.
        config: configuration whose pipeline paints; None: the example `quickstart`.
        overrides: `key=value` for the configuration.
        seed: seed of the noise and of what the prompt leaves open.

    Raises:
        ActionUnitError: if an AU or its intensity is not allowed.
        ConfigError: if the pipeline needs more than a prompt and AUs.
        OutputError: if the file cannot be written.
        WeightsError: if the picture is blank.
    """
    loaded = config_or_quickstart(config, overrides)
    _refuse_needy(loaded.pipeline)
    pipeline, known = loaded.pipeline, loaded.expressions.au_set
    aus = parse_intensities(intensities, loaded)
    attempt = Attempt(one_sample(prompt, aus, seed, known), 0, seed)
    fix_arithmetic(pipeline.threads)
    (picture,) = load_source(pipeline, pick_device()).generate([attempt])
    refuse_blank([picture], pipeline)
    save_picture(picture, to, mark_of_run(loaded))


def _refuse_needy(pipeline: PipelineSection) -> None:
    """Refuse a pipeline that shows more than a prompt and AUs say."""
    if more := sorted(pipeline.needs - {"aus"}):
        raise ConfigError(
            f"the pipeline {pipeline.name!r} needs {' and '.join(more)}, and a prompt gives AUs "
            "alone; `synthgen preview` shows samples of its run"
        )


def refuse_blank(pictures: Sequence[Image], pipeline: PipelineSection) -> None:
    """Refuse pictures of one colour, which nobody asks a model for.

    Raises:
        WeightsError: if one is.
    """
    for picture in pictures:
        if (detail := blank_detail(picture, pipeline.number_format)) is not None:
            raise WeightsError(f"the picture is blank: {detail}")


def config_or_quickstart(config: Path | None, overrides: Sequence[str]) -> RunConfig:
    """Read a configuration; None: the example `quickstart`.

    Raises:
        ConfigError: as `load_config`.
    """
    return load_config(config or example_file("quickstart"), overrides)


def mark_of_run(run: RunConfig, conditions: Collection[str] = ()) -> Mark | None:
    """Return the mark of a picture that a run's pipeline makes for no row; None where it is off.

    Args:
        run: the run.
        conditions: names of those that the picture is made by.
    """
    return Mark(run.pipeline.digital_source(conditions)) if run.output.marked else None


def save_picture(picture: Image, to: Path, mark: Mark | None) -> None:
    """Write a picture in the format that the ending of the file says, and its mark into it.

    Args:
        picture: the picture.
        to: the file.
        mark: what it says of its origin; None: nothing. A format that holds no mark is told.

    Raises:
        OutputError: if the file cannot be written, or its ending names no format.
    """
    named = registered_extensions().get(to.suffix.lower(), "")
    if mark is not None and not can_hold(named):
        _log.warning(
            f"{to} does not say that it is synthetic: {named or 'its format'} holds no mark; .png, "
            ".jpg and .webp do"
        )
        mark = None
    try:
        picture.save(to, **save_options(mark, named))
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot write {to}: {error}") from error


def parse_intensities(items: Sequence[str], run: RunConfig) -> tuple[float, ...]:
    """Turn `["AU6=2.5", "AU12=5"]` into an AU vector.

    Args:
        items: AUs and their intensities.
        run: whose AUs they are, and which range it allows.

    Raises:
        ActionUnitError: if an item is not of that form, its AU is not known or given twice, or its
            intensity is outside of the range.
    """
    known, intensities = run.expressions.au_set, dict[str, float]()
    for item in items:
        written, _, value = item.partition("=")
        name = known.names[_place(written, run)]
        try:
            number = float(value)
        except ValueError as error:
            raise ActionUnitError(f"--au {shown(item)} must look like AU12=5") from error
        if name in intensities:
            raise ActionUnitError(f"--au gives {name} twice; give it once")
        most = FURTHEST if run.expressions.allow_out_of_range else MAX_INTENSITY
        least = -FURTHEST if run.expressions.allow_out_of_range else MIN_INTENSITY
        if math.isfinite(number) and not least <= number <= most:
            way = "" if most == FURTHEST else "; expressions.allow_out_of_range: true allows it"
            raise ActionUnitError(f"--au {shown(item)} is outside [{least:g}, {most:g}]{way}")
        intensities[name] = number
    return known.vector(intensities)


def _place(name: str, run: RunConfig) -> int:
    """Return the place of an AU in a vector of a run.

    Raises:
        ActionUnitError: if the run has none of that name; says whether its pipeline shows it.
    """
    known, name, shows = run.expressions.au_set, canonical(name), run.pipeline.action_units
    if name in FACS and shows is not None and name not in shows:
        able = ", ".join(ActionUnitSet.of(shows).names) if shows else "none"
        raise ActionUnitError(
            f"{name} ({FACS[name]}) exists in FACS, but the pipeline {run.pipeline.name!r} does "
            f"not show it; it shows {able}"
        )
    return known.index(name)


def one_sample(
    prompt: str, aus: tuple[float, ...], seed: int, known: ActionUnitSet = DEFAULT_AUS
) -> SampleSpec:
    """Return the spec of a picture that belongs to no run.

    Args:
        prompt: what to show.
        aus: AU vector.
        seed: seed of what the prompt leaves open.
        known: the AUs of the vector.
    """
    return SampleSpec(
        index=0,
        split="",
        position=0,
        replacement=0,
        stratum="",
        conditions={"aus": aus},
        emotion=None,
        identity_id="",
        identity={},
        identity_seed=seed,
        prompt=prompt,
        negative_prompt="",
        action_units=known,
    )


LEVELS = tuple(range(int(MIN_INTENSITY), int(MAX_INTENSITY) + 1))
"""Intensities that are shown, from left to right."""

_SWEEP_SIDE = 160
"""Side of a picture in the strip [pixels]."""


def write_sweep(
    prompt: str,
    swept: str,
    intensities: Sequence[str],
    to: Path,
    config: Path | None,
    overrides: Sequence[str],
    seed: int,
) -> None:
    """Paint a prompt with one AU at 0, 1, 2, 3, 4, 5, measure it, and write one strip.

    All pictures come from the same noise, so that the AU alone makes the difference.

    Args:
        prompt: what to show.
        swept: the AU, such as `AU12`.
        intensities: further AUs, `AU6=2` and the like, the same in each picture.
        to: the file; its ending says its format.
        config: configuration whose pipeline paints and whose verifier measures; None: the example
            `quickstart`.
        overrides: `key=value` for the configuration.
        seed: seed of the noise and of what the prompt leaves open.

    Raises:
        ActionUnitError: if an AU or its intensity is not allowed, or the AU is given twice.
        ConfigError: if the pipeline needs more than a prompt and AUs.
        OutputError: if the file cannot be written.
    """
    loaded = config_or_quickstart(config, overrides)
    _refuse_needy(loaded.pipeline)
    known = loaded.expressions.au_set
    place, aus = _place(swept, loaded), parse_intensities(intensities, loaded)
    swept = known.names[place]
    if aus[place]:
        raise ActionUnitError(f"{swept} is swept from 0 to 5; leave out --au {swept}=…")
    requests = [(*aus[:place], float(level), *aus[place + 1 :]) for level in LEVELS]
    attempts = [Attempt(one_sample(prompt, request, seed, known), 0, seed) for request in requests]
    fix_arithmetic(loaded.pipeline.threads)
    device = pick_device()
    pictures = load_source(loaded.pipeline, device).generate(attempts)
    refuse_blank(pictures, loaded.pipeline)
    specs = [attempt.spec for attempt in attempts]
    found = _measured_aus(load_checks(loaded, device), pictures, specs)
    legends = [
        f"{swept} asked {level}" + ("" if found is None else f"\n{_found(found[level], place)}")
        for level in LEVELS
    ]
    sheet = contact_sheet(pictures, legends, columns=len(LEVELS), size=_SWEEP_SIDE)
    save_picture(sheet, to, mark_of_run(loaded))


def _measured_aus(
    checks: Sequence[Verifier], pictures: Sequence[Image], specs: Sequence[SampleSpec]
) -> list[Sequence[float | None] | None] | None:
    """Return the AUs that the first check finds that measures any; None where none does."""
    for check in checks:
        if AUS_MEASURED in check.columns:
            return [found[AUS_MEASURED] for found in check.measure(pictures, specs)]
    return None


def _found(aus: Sequence[float | None] | None, place: int) -> str:
    if aus is None:
        return "no face found"
    return "not seen" if (value := aus[place]) is None else f"found {value:.1f}"


PREVIEW_SIDE = 220
"""Side of a picture on the sheet [pixels]: wide enough for the words below it."""


def write_preview(config: RunConfig, number: int, to: Path) -> str:
    """Paint and measure the first attempt of the first samples, and write them as one sheet.

    The images are those that a run begins with, to the bit: a run of the same batch size, where
    that is 'auto' and no run has taken one yet.

    Returns:
        How many were made, how many of them the policy accepts, and why it rejects the others.

    Raises:
        OutputError: if the file cannot be written.
    """
    plan = build_plan(config)
    refuse_unserved(plan)
    number = min(number, config.samples)
    config = as_begun(config, reached(config.output.path))
    worker = load_worker(config, plan)
    if config.pipeline.batch_size == "auto":
        worker.probe()
    cells: list[tuple[Image, str]] = []
    rejected: Counter[str] = Counter()
    for batch in _batches(plan, number, worker.batch_size):
        images = worker.generate(batch)
        outcomes = worker.judge(batch, images)
        rejected.update(outcome.reject.reason for outcome in outcomes if outcome.reject)
        cells += [(picture, legend(o)) for picture, o in zip(images, outcomes, strict=True)]
    pictures, legends = zip(*cells, strict=True)
    columns = math.ceil(math.sqrt(number))
    try:
        sheet = contact_sheet(pictures, legends, columns=columns, size=PREVIEW_SIDE)
        given = config.identities.given() | config.expressions.given()
        to.write_bytes(encode_png(sheet, mark_of_run(config, given)))
    except OSError as error:
        raise OutputError(f"cannot write {to}: {error.strerror}") from error
    reasons = f" ({describe_rejected(rejected)})" if rejected else ""
    return f"{number} first attempts, {number - rejected.total()} of them accepted{reasons}"


def _batches(plan: Plan, number: int, size: int) -> list[list[Attempt]]:
    attempts = (plan.attempt(plan.sample(index), 0) for index in range(number))
    return list(iter(lambda: list(islice(attempts, size)), []))


def legend(outcome: Outcome) -> str:
    """Say who is shown, what was asked and measured, and what became of it, a line each."""
    spec = outcome.attempt.spec
    describe = spec.action_units.describe
    shown = spec.emotion if spec.emotion and spec.level is None else spec.stratum
    lines = [f"{shown} · {spec.identity_id}", f"asked {describe(spec.aus)}"]
    if AUS_MEASURED in outcome.measured:
        aus = outcome.measured[AUS_MEASURED]
        lines.append("found " + ("no face" if aus is None else describe(_visible(aus))))
    lines.append("accepted" if outcome.reject is None else outcome.reject.detail)
    return "\n".join(lines)


def _visible(measured: tuple[float | None, ...]) -> tuple[float, ...]:
    """Leave out what a coder would not score, less than half an intensity, and what is not seen."""
    return tuple(value if value is not None and value >= 0.5 else 0.0 for value in measured)
