"""The preflight of a run: every look at nodes, weights and output, and the report as text."""

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from cluster.addresses import LOCAL, meant
from cluster.preflight.estimate import Estimate, estimate, read_earlier
from cluster.preflight.findings import (
    Finding,
    find_in_nodes,
    find_no_room,
    find_room_for,
    in_bytes,
    in_digits,
    in_time,
    once,
    problem,
    problems,
    raise_problems,
    warning,
    warnings,
)
from cluster.preflight.measure import measure
from cluster.preflight.nodes import Node, cluster_nodes, this_node
from cluster.preflight.probe import Probe, usable_gpus
from cluster.preflight.weights import worker_memory
from cluster.resolve import absolute_paths, as_begun
from pipelines.loading import check_components, doubts
from samplers.flame.serving import refuse_unserved
from samplers.plan import build_plan
from synthgen.config import RunConfig
from synthgen.dataset import Storage, check_output, reached
from synthgen.errors import SynthgenError


@contextlib.contextmanager
def joined(address: str | None) -> Iterator[bool]:
    """Join a Ray cluster while the block runs; yield whether there is one.

    Args:
        address: of the cluster; None: what `RAY_ADDRESS` says, as inside a job.

    Raises:
        ConfigError: if no cluster answers, or it asks for a token.
    """
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        yield True
        return
    found = meant(address, "--address or cluster.address")
    if found.text == LOCAL:
        yield False
        return
    from cluster.connection import join

    join(found)
    import ray

    try:
        yield True
    finally:
        ray.shutdown()


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Report:
    """Result of a preflight.

    Attributes:
        config: the run.
        nodes: the machines that it would work on.
        estimate: what it will take; None where its plan or its output cannot be read.
        findings: problems and warnings.
    """

    config: RunConfig
    nodes: Sequence[Node]
    estimate: Estimate | None
    findings: Sequence[Finding]


def preflight(config: RunConfig, cluster: bool, measured: bool = False) -> Report:
    """Look at everything that a run needs; nothing is left behind, and nothing is fetched.

    Args:
        config: the run.
        cluster: whether to look at the nodes of the cluster that this process has joined, or at
            this machine.
        measured: whether to measure a worker on a few batches.
    """
    asked = as_begun(config, reached(config.output.path))
    run = absolute_paths(asked)
    nodes = cluster_nodes(run) if cluster else this_node(run)
    findings = [
        *_before(asked, Storage(run.output.path)),
        *find_in_nodes(run, nodes, _driver(nodes)),
    ]
    ready = not problems(findings) and any(node.workers for node in nodes)
    took, found = _estimated(run, nodes, measured and ready, cluster)
    found += map(warning, doubts(run))
    room = find_room_for(run, nodes, None if took is None else _most(took))
    return Report(config, nodes, took, once([*findings, *found, *room]))


def check_before_run(config: RunConfig, executor: Literal["ray", "inline"]) -> None:
    """Look at the machines of a run that begins; warnings are logged.

    Args:
        config: the run; with Ray, its paths must not depend on the working folder.
        executor: `ray`: this process has joined the cluster; `inline`: this machine is looked at.

    Raises:
        SynthgenError: if a node lacks what the run needs.
    """
    on_ray = executor == "ray"
    nodes = cluster_nodes(config) if on_ray else this_node(_inline(config))
    findings = [
        warning(f"node {node.name} was not checked: {node.failure}")
        for node in nodes
        if node.probe is None
    ]
    nodes = [node for node in nodes if node.probe is not None]
    findings += map(warning, doubts(config))
    findings += find_in_nodes(config, nodes, _driver(nodes))
    findings += find_room_for(config, nodes, _most(estimate(config, nodes)))
    raise_problems(once(findings))
    for finding in warnings(once(findings)):
        _log.warning(finding.text, extra={"event": "preflight_warning"})


def check_room(config: RunConfig, executor: Literal["ray", "inline"]) -> None:
    """Refuse what this machine has no room for, where no other machine can come to help.

    Raises:
        ConfigError: if there are fewer cores or GPUs than a worker takes.
    """
    if executor == "ray" and (config.cluster.address or os.environ.get("RAY_ADDRESS") or _joined()):
        return
    run = config if executor == "ray" else _inline(config)
    gpus = 0 if run.cluster.gpus_per_actor == "auto" else usable_gpus()
    raise_problems(find_no_room(run, len(os.sched_getaffinity(0)), gpus))


def _inline(config: RunConfig) -> RunConfig:
    """Leave out `cluster.gpus_per_actor`: a run in this process takes what there is."""
    cluster = config.cluster.model_copy(update={"gpus_per_actor": "auto"})
    return config.model_copy(update={"cluster": cluster})


def _joined() -> bool:
    return "ray" in sys.modules and sys.modules["ray"].is_initialized()


def _before(config: RunConfig, storage: Storage) -> list[Finding]:
    """Find what is wrong with the components, the plan and the output's content.

    Args:
        config: the run with its paths as the user wrote them, as sentences and the record do.
        storage: the output.
    """
    found: list[Finding] = []
    checks: list[Callable[[], object]] = [
        lambda: check_components(config),
        lambda: found.extend(_plan_warnings(config)),
        lambda: check_output(storage, config.identity(), config.samples),
    ]
    for check in checks:
        with _collecting(found):
            check()
    return found


def _plan_warnings(config: RunConfig) -> list[Finding]:
    """Build the plan, and refuse requests that cannot be shown.

    Raises:
        SynthgenError: as `build_plan`, `refuse_unserved`, and the pipeline's `check_spec`.
    """
    plan = build_plan(config)
    refuse_unserved(plan)
    config.pipeline.check_spec(plan.sample(0))
    return [warning(text) for text in (plan.empty_splits,) if text]


def _estimated(
    config: RunConfig, nodes: Sequence[Node], measured: bool, cluster: bool
) -> tuple[Estimate | None, list[Finding]]:
    found: list[Finding] = []
    with _collecting(found):
        earlier = read_earlier(config.output.path)
        told = measure(config, cluster) if measured else None
        return estimate(config, nodes, earlier, told), found
    return None, found


@contextmanager
def _collecting(found: list[Finding]) -> Iterator[None]:
    try:
        yield
    except SynthgenError as error:
        found.append(problem(str(error), type(error)))


def _driver(nodes: Sequence[Node]) -> Probe:
    """Return what was found where this process runs."""
    return next(node.probe for node in nodes if node.probe and node.here)


def _most(took: Estimate) -> int | None:
    """Return the most that is still to be written, where it is known better than as a bound."""
    return None if took.row is None or took.row.bound else int(took.bytes or 0)


_HEAD = ("node", "workers", "GPU", "memory of a worker", "weights", "output")


def describe(report: Report) -> str:
    """Write what was found: the nodes, what the run will take, warnings, problems."""
    config = report.config
    lines = [f"{config.name}: {config.samples} samples, to {config.output.path}", ""]
    lines += [*_table([_HEAD, *(_row(config, node) for node in report.nodes)]), ""]
    lines += [
        f"{name:<10}{text}"
        for name, text in [*_licences(report.nodes), *_took(report.estimate, config)]
    ]
    found = [f"warning: {finding.text}" for finding in warnings(report.findings)]
    found += [f"problem: {finding.text}" for finding in problems(report.findings)]
    return "\n".join([*lines, "", *found] if found else [*lines, "", "nothing is missing"])


def _row(config: RunConfig, node: Node) -> tuple[str, ...]:
    if node.probe is None:
        return (node.name, str(node.workers), "?", "?", "?", node.failure)
    output = node.probe.output
    room = "" if output.free is None else f", {in_bytes(output.free)} free"
    return (
        node.name,
        str(node.workers),
        _gpus(node),
        _memory(config, node),
        "missing" if node.probe.weights.problems else "there",
        "refused" if output.problem else f"writable{room}",
    )


def _gpus(node: Node) -> str:
    gpus = node.probe.machine.gpus if node.probe else ()
    return f"{len(gpus)} × {gpus[0].name}" if gpus else "none"


def _memory(config: RunConfig, node: Node) -> str:
    if node.probe is None:
        return "?"
    machine = node.probe.machine
    on_gpu = bool(machine.gpus and machine.cuda)
    need = worker_memory(config, node.probe.weights, on_gpu)
    there = machine.gpus[0].total if on_gpu else machine.memory
    needed = "unknown" if need is None else f"about {in_bytes(need)}"
    return f"{needed} of {'?' if there is None else in_bytes(there)}"


def _licences(nodes: Sequence[Node]) -> Iterator[tuple[str, str]]:
    found = {
        name: text
        for node in nodes
        if node.probe
        for name, text in dict(node.probe.weights.licences).items()
    }
    for number, (name, text) in enumerate(found.items()):
        yield ("" if number else "licences", f"{name}: {text}")


def _took(took: Estimate | None, config: RunConfig) -> Iterator[tuple[str, str]]:
    if took is None:
        return
    kept = took.acceptance
    at_least = "at least " if kept.bound else "about "
    if config.verify.checks:
        yield "images", f"{at_least}{took.images:.0f} for {took.samples} samples ({kept.source})"
        each = config.verify.most_images
        most = f"at most {took.samples * each:,}, {each:,} a sample, were none of them kept"
        yield "", "; ".join(filter(None, (most, config.verify.sooner)))
    else:
        yield "images", f"{took.samples}: no check looks at them, every first one is kept"
    yield "time", _time(took)
    yield "data", _data(took)
    if took.cost_per_hour is not None:
        known = "unknown" if took.cost is None else f"{at_least}{in_digits(took.cost)}"
        yield "cost", f"{known}, at {took.cost_per_hour:g} an hour of a worker"


def _time(took: Estimate) -> str:
    if took.rate is None or took.worker_seconds is None:
        return "unknown: no figure for this pipeline on this hardware; --measure finds one"
    each, what = (took.gpus, "GPU") if took.gpus else (took.cpus, "CPU")
    counted = f"{in_digits(took.worker_seconds / 3600 * each)} {what} hours"
    least = "at least " if took.rate.bound or took.acceptance.bound else "about "
    rate = f"{took.rate.value:.2f} images/s a worker ({took.rate.source})"
    if took.seconds is None:
        return f"{least}{counted}, {rate}"
    return f"{least}{counted}: {in_time(took.seconds)} with {took.workers} workers, {rate}"


def _data(took: Estimate) -> str:
    if took.row is None or took.bytes is None:
        return "unknown: no figure for images of this size; --measure finds one"
    least = "at most" if took.row.bound else "about"
    return (
        f"{least} {in_bytes(took.bytes)}, {in_bytes(took.row.value)} a sample ({took.row.source})"
    )


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
