"""What is wrong on the nodes of a run."""

from collections.abc import Iterable, Sequence

from cluster.preflight.findings import Finding, problem, warning
from cluster.preflight.machine import Gpu
from cluster.preflight.memory import worker_memory
from cluster.preflight.nodes import Node
from cluster.preflight.output import is_local
from cluster.preflight.probe import Probe
from cluster.preflight.sizes import in_bytes
from cluster.preflight.versions import compare_versions
from cluster.resources import gpus_per_actor
from synthgen.config import RunConfig
from synthgen.errors import OutputError, WeightsError


def find_in_nodes(config: RunConfig, nodes: Sequence[Node], driver: Probe) -> list[Finding]:
    """Judge what was found on each node.

    Args:
        config: the run.
        nodes: the nodes.
        driver: what was found where the driver runs.
    """
    found = [finding for node in nodes for finding in _find(config, node)]
    return [*found, *compare_versions(driver.machine, nodes), *_room(config, nodes)]


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
    yield from _devices(config, node.probe, where)


def _devices(config: RunConfig, probe: Probe, where: str) -> Iterable[Finding]:
    machine = probe.machine
    if config.pipeline.name != "procedural" and machine.gpus and machine.cuda is None:
        yield warning(
            f"{where}there is a GPU ({machine.gpus[0].name}) and torch "
            f"{machine.versions['torch']} is built for CPUs alone; install a torch for CUDA"
        )
    need = worker_memory(config, probe.weights)
    if need is None:
        return
    if machine.gpus and machine.cuda:
        gpus = gpus_per_actor(config, {"GPU": float(len(machine.gpus))})
        if gpus:
            yield from _gpu_memory(need, probe, machine.gpus, gpus, where)
    elif machine.memory is not None and need > machine.memory:
        yield warning(
            f"{where}a worker needs about {in_bytes(need)} of memory and "
            f"{in_bytes(machine.memory)} are free; set pipeline.batch_size lower"
        )


def _gpu_memory(
    need: int, probe: Probe, gpus: Sequence[Gpu], share: float, where: str
) -> Iterable[Finding]:
    """Compare a worker's need with its share of the smallest GPU."""
    smallest = min(gpus, key=lambda gpu: gpu.total)
    there = int(smallest.total * min(share, 1.0))
    of = f"{in_bytes(there)} of the {smallest.name}"
    if probe.weights.bytes > there:
        yield problem(
            f"{where}the weights take {in_bytes(probe.weights.bytes)} and a worker has {of}; set "
            "pipeline.dtype to float16 or bfloat16, or cluster.gpus_per_actor higher"
        )
    elif need > there:
        yield warning(
            f"{where}a worker needs about {in_bytes(need)} and has {of}; set pipeline.batch_size "
            "lower, or pipeline.dtype to float16 or bfloat16"
        )
    elif (free := min(gpu.free for gpu in gpus)) < min(need, there):
        yield warning(
            f"{where}a worker needs about {in_bytes(need)} and {in_bytes(free)} of the "
            f"{smallest.name} are free: another process uses it"
        )


def _room(config: RunConfig, nodes: Sequence[Node]) -> Iterable[Finding]:
    if not any(node.workers for node in nodes):
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
