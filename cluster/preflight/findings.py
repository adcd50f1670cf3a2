"""Findings of a preflight: problems that end a run before it begins, and warnings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from cluster.preflight.nodes import Node
from cluster.preflight.probe import Machine, Probe, is_local
from cluster.preflight.weights import least_memory, worker_memory
from cluster.resolve import gpus_per_actor
from synthgen.config import RunConfig
from synthgen.errors import ConfigError, OutputError, SynthgenError, WeightsError
from synthgen.foreign import counted

_STEP = 1000.0


def in_bytes(size: float) -> str:
    """Write a number of bytes in the largest unit that leaves a digit before the point."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < _STEP:
            return f"{size:.0f} {unit}" if unit in ("B", "kB") else f"{size:.1f} {unit}"
        size /= _STEP
    return f"{size:.1f} TB"


def in_time(seconds: float) -> str:
    """Write a time in the two units that say most about it."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    if seconds < 48 * 3600:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
    return f"{seconds // 86400:.0f} days {seconds % 86400 // 3600:.0f} h"


def in_digits(value: float) -> str:
    """Write a number with two digits, or all that stand before the point."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence for the user.

    Attributes:
        severity: `problem`: the run cannot be made like this; `warning`: it may go wrong.
        text: what, where, the value, what is allowed.
        kind: the error that a problem becomes.
    """

    severity: Literal["problem", "warning"]
    text: str
    kind: type[SynthgenError] = ConfigError


def problem(text: str, kind: type[SynthgenError] = ConfigError) -> Finding:
    """Return a finding that ends the run before it begins."""
    return Finding("problem", text, kind)


def warning(text: str) -> Finding:
    """Return a finding that the user should know of."""
    return Finding("warning", text)


def problems(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that end a run before it begins."""
    return [finding for finding in findings if finding.severity == "problem"]


def warnings(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings that a run is begun with."""
    return [finding for finding in findings if finding.severity == "warning"]


def once(findings: Iterable[Finding]) -> list[Finding]:
    """Return each finding once, in order: nodes find the same things."""
    return list(dict.fromkeys(findings))


def raise_problems(findings: Iterable[Finding]) -> None:
    """Raise what ends the run before it begins.

    Raises:
        SynthgenError: of the problem's own kind, `ConfigError` where kinds differ; the sentences
            of several problems are joined.
    """
    found = problems(findings)
    if not found:
        return
    kinds = {finding.kind for finding in found}
    kind = kinds.pop() if len(kinds) == 1 else ConfigError
    raise kind("; ".join(finding.text for finding in found))


_OF_NO_BYTE = ("python", "ray", "safetensors")
"""Packages whose versions decide no byte; another version of the others makes another dataset."""


def compare_versions(driver: Machine, nodes: Sequence[Node]) -> list[Finding]:
    """Compare each node's packages with the driver's.

    A build tag (`2.13.0+cpu` and `2.13.0+cu128`) may differ between the driver, which computes
    nothing, and the nodes.
    """
    return [finding for node in nodes for finding in _compare(driver, node)]


def _compare(driver: Machine, node: Node) -> Iterable[Finding]:
    if node.probe is None or not node.workers:
        return
    for package, found in node.probe.machine.versions.items():
        wanted = driver.versions[package]
        if _release(found) == _release(wanted):
            continue
        said = f"{package} is {found} on {node.name} and {wanted} on the driver"
        if package in _OF_NO_BYTE:
            yield warning(said)
        else:
            yield problem(f"{said}; install the same version on both, or the data would differ")


def _release(version: str) -> str:
    return version.partition("+")[0]


def find_in_nodes(config: RunConfig, nodes: Sequence[Node], driver: Probe) -> list[Finding]:
    """Judge what was found on each node.

    Args:
        config: the run.
        nodes: the nodes.
        driver: what was found where the driver runs.
    """
    found = [finding for node in nodes for finding in _find(config, node)]
    return [
        *found,
        *_too_large(config, nodes),
        *compare_versions(driver.machine, nodes),
        *_room(config, nodes),
    ]


def find_no_room(config: RunConfig, cores: int, gpus: int) -> list[Finding]:
    """Say why a machine that no other comes to help can have no worker.

    Args:
        config: the run.
        cores: CPU cores that this process may use.
        gpus: GPUs that are there.
    """
    threads, asked = config.pipeline.threads, config.cluster.gpus_per_actor
    found = []
    if threads > cores:
        found.append(
            problem(
                f"pipeline.threads is {threads} and this machine has "
                f"{counted(cores, 'core')}; it must be at most {cores}"
            )
        )
    if asked != "auto" and asked > gpus:
        found.append(
            problem(
                f"cluster.gpus_per_actor is {asked:g} and this machine has "
                f"{counted(gpus, 'GPU')} that torch can use; set it to 'auto'"
            )
        )
    return found


def _too_large(config: RunConfig, nodes: Sequence[Node]) -> Iterable[Finding]:
    """Say where a worker cannot fit whatever else runs there: a problem if it can nowhere."""
    working = [node for node in nodes if node.probe and node.workers]
    lacking = {node.name: text for node in working if (text := _lack(config, node))}
    nowhere = len(lacking) == len(working)
    for name, text in lacking.items():
        where = "" if name == "this machine" else f"{name}: "
        yield problem(f"{where}{text}") if nowhere else warning(f"{where}{text}")


def _lack(config: RunConfig, node: Node) -> str | None:
    """Say what a worker needs and the machine does not have at all; None where it has it."""
    if node.probe is None:
        return None
    machine = node.probe.machine
    gpus = gpus_per_actor(config, {"GPU": float(len(machine.gpus))}) if machine.cuda else 0.0
    on_gpu = bool(machine.gpus) and gpus > 0
    least = least_memory(config, node.probe.weights, on_gpu)
    if on_gpu:
        smallest = min(machine.gpus, key=lambda gpu: gpu.total)
        there, of = int(smallest.total * min(gpus, 1.0)), f"of the {smallest.name}"
        if node.probe.weights.bytes > there:
            return None  # has a sentence of its own
    else:
        there, of = machine.total, "of memory"
    if least is None or there is None or least <= there:
        return None
    side = config.pipeline.image_size(node.probe.weights)
    size = "" if side is None else f" of {side[1]}×{side[0]} pixels"
    return (
        f"a batch of {config.pipeline.batch_size} images{size} takes at least {in_bytes(least)} "
        f"and there are {in_bytes(there)} {of}; set pipeline.batch_size lower"
    )


def _find(config: RunConfig, node: Node) -> Iterable[Finding]:
    if node.probe is None:
        yield problem(f"node {node.name} cannot be checked: {node.failure}")
        return
    if not node.workers:
        return
    where = "" if node.name == "this machine" else f"{node.name}: "
    for text in node.probe.weights.problems:
        yield problem(f"{where}{text}", WeightsError)
    for text in node.probe.weights.unfetched:
        yield warning(f"{where}{text}, or else each node's first worker")
    if node.probe.output.problem:
        yield problem(f"{where}{node.probe.output.problem}", OutputError)
    if node.probe.output.shared is False:
        yield problem(
            f"output.path {config.output.path} is a folder of each node's own: {node.name} does "
            "not see what the driver wrote there; give a folder that all nodes share, or a URL "
            "such as s3://bucket/name",
            OutputError,
        )
    yield from _devices(config, node, node.probe, where)


def _devices(config: RunConfig, node: Node, probe: Probe, where: str) -> Iterable[Finding]:
    machine = probe.machine
    if config.pipeline.uses_gpu and machine.gpus and machine.cuda is None:
        yield warning(
            f"{where}there is a GPU ({machine.gpus[0].name}) and torch "
            f"{machine.versions['torch']} is built for CPUs alone; install a torch for CUDA"
        )
    on_gpu = bool(machine.gpus and machine.cuda)
    need = worker_memory(config, probe.weights, on_gpu)
    if need is None or _lack(config, node) is not None:
        return
    if on_gpu:
        gpus = gpus_per_actor(config, {"GPU": float(len(machine.gpus))})
        if gpus:
            yield from _gpu_memory(config, need, probe, gpus, where)
    elif machine.memory is not None and need > machine.memory:
        yield warning(
            f"{where}a worker needs about {in_bytes(need)} of memory and "
            f"{in_bytes(machine.memory)} are free; set pipeline.batch_size lower"
        )


def _gpu_memory(
    config: RunConfig, need: int, probe: Probe, share: float, where: str
) -> Iterable[Finding]:
    """Compare a worker's need with its share of the smallest GPU."""
    gpus, formats = probe.machine.gpus, config.pipeline.number_format
    smallest = min(gpus, key=lambda gpu: gpu.total)
    there = int(smallest.total * min(share, 1.0))
    of = f"{in_bytes(there)} of the {smallest.name}"
    if probe.weights.bytes > there:
        less = "pipeline.dtype to float16 or bfloat16, or " if formats else ""
        yield problem(
            f"{where}the weights take {in_bytes(probe.weights.bytes)} and a worker has {of}; set "
            f"{less}cluster.gpus_per_actor higher"
        )
    elif need > there:
        less = ", or pipeline.dtype to float16 or bfloat16" if formats else ""
        yield warning(
            f"{where}a worker needs about {in_bytes(need)} and has {of}; set pipeline.batch_size "
            f"lower{less}"
        )
    elif (free := min(gpu.free for gpu in gpus)) < min(need, there):
        yield warning(
            f"{where}a worker needs about {in_bytes(need)} and {in_bytes(free)} of the "
            f"{smallest.name} are free: another process uses it"
        )


def _room(config: RunConfig, nodes: Sequence[Node]) -> Iterable[Finding]:
    if any(node.workers for node in nodes):
        return
    alone = next((node for node in nodes if node.cores is not None and node.probe), None)
    if alone is not None and alone.probe is not None:
        machine = alone.probe.machine
        gpus = len(machine.gpus) if machine.cuda else 0
        yield from find_no_room(config, alone.cores or 1, gpus)
        return
    gpus = config.cluster.gpus_per_actor
    yield warning(
        f"no node has room for a worker ({config.pipeline.threads} CPU, cluster.gpus_per_actor "
        f"{gpus}): a run would wait until one joins"
    )


def find_room_for(config: RunConfig, nodes: Sequence[Node], size: int | None) -> list[Finding]:
    """Compare the size of the data with the room at the output.

    Args:
        config: the run.
        nodes: the nodes.
        size: the most that is still to be written [bytes]; None where it is not known.
    """
    rooms = [node.probe.output.free for node in nodes if node.probe]
    free = min((room for room in rooms if room is not None), default=None)
    if size is None or free is None or size <= free or not is_local(config.output.path):
        return []
    return [
        warning(
            f"{config.output.path} has room for {in_bytes(free)} and the data may take "
            f"{in_bytes(size)}"
        )
    ]
