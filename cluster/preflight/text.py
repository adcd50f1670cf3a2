"""A preflight's report, as text."""

from collections.abc import Iterable, Iterator, Sequence

from cluster.preflight.checks import Report
from cluster.preflight.estimate import Estimate
from cluster.preflight.findings import problems, warnings
from cluster.preflight.memory import worker_memory
from cluster.preflight.nodes import Node
from cluster.preflight.sizes import in_bytes, in_digits, in_time
from synthgen.config import RunConfig

_HEAD = ("node", "workers", "GPU", "memory of a worker", "weights", "output")


def describe(report: Report) -> str:
    """Write what was found: the nodes, what the run will take, warnings, problems."""
    config = report.config
    lines = [f"{config.name}: {config.samples} samples, to {config.output.path}", ""]
    lines += [*_table([_HEAD, *(_row(config, node) for node in report.nodes)]), ""]
    lines += _pairs([*_licences(report.nodes), *_took(report.estimate, config)])
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
    found = {name: text for node in nodes if node.probe for name, text in _of(node).items()}
    for number, (name, text) in enumerate(found.items()):
        yield ("" if number else "licences", f"{name}: {text}")


def _of(node: Node) -> dict[str, str]:
    return dict(node.probe.weights.licences) if node.probe else {}


def _took(took: Estimate | None, config: RunConfig) -> Iterator[tuple[str, str]]:
    if took is None:
        return
    kept = took.acceptance
    at_least = "at least " if kept.bound else "about "
    yield "images", f"{at_least}{took.images:.0f} for {took.samples} samples ({kept.source})"
    each = config.verify.most_images
    most = f"at most {took.samples * each:,}, {each:,} a sample, were none of them kept"
    yield "", "; ".join(filter(None, (most, config.verify.sooner)))
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


def _pairs(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{name:<10}{text}" for name, text in pairs]
