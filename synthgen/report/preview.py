"""A sheet of first attempts, before a long run."""

import math
from collections import Counter
from itertools import islice
from pathlib import Path

from PIL.Image import Image

from cluster.batch_size import settled
from cluster.loading import load_worker
from cluster.rounds import Outcome
from samplers.plan import Plan, build_plan
from samplers.spec import Attempt
from synthgen.action_units import describe
from synthgen.config import RunConfig
from synthgen.dataset import contact_sheet, encode_png, reached
from synthgen.dataset.shortfall import describe_rejected
from synthgen.errors import OutputError

_SIDE = 220
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
    number = min(number, config.samples)
    config = settled(config, reached(config.output.path))
    worker = load_worker(config, plan)
    if config.pipeline.batch_size == "auto":
        worker.probe()
    cells: list[tuple[Image, str]] = []
    rejected: Counter[str] = Counter()
    for batch in _batches(plan, number, worker.batch_size):
        images = worker.paint(batch)
        outcomes = worker.judge(batch, images)
        rejected.update(outcome.reject.reason for outcome in outcomes if outcome.reject)
        cells += [(picture, _legend(o)) for picture, o in zip(images, outcomes, strict=True)]
    pictures, legends = zip(*cells, strict=True)
    columns = math.ceil(math.sqrt(number))
    try:
        to.write_bytes(encode_png(contact_sheet(pictures, legends, columns=columns, size=_SIDE)))
    except OSError as error:
        raise OutputError(f"cannot write {to}: {error.strerror}") from error
    reasons = f" ({describe_rejected(rejected)})" if rejected else ""
    return f"{number} first attempts, {number - rejected.total()} of them accepted{reasons}"


def _batches(plan: Plan, number: int, size: int) -> list[list[Attempt]]:
    attempts = (plan.attempt(plan.sample(index), 0) for index in range(number))
    return list(iter(lambda: list(islice(attempts, size)), []))


def _legend(outcome: Outcome) -> str:
    spec = outcome.attempt.spec
    measured = outcome.measured
    lines = [
        f"{spec.emotion or spec.stratum} · {spec.identity_id}",
        f"asked {describe(spec.aus)}",
        "found " + ("no face" if measured is None else describe(_visible(measured))),
        "accepted" if outcome.reject is None else outcome.reject.detail,
    ]
    return "\n".join(lines)


def _visible(measured: tuple[float, ...]) -> tuple[float, ...]:
    """Leave out what a coder would not score: less than half an intensity."""
    return tuple(value if value >= 0.5 else 0.0 for value in measured)
