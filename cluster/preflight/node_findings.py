"""What is wrong on the nodes of a run."""

from collections.abc import Iterable, Sequence

from cluster.preflight.findings import Finding, problem, warning
from cluster.preflight.machine import Gpu
from cluster.preflight.memory import image_side, least_memory, worker_memory
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
                f"pipeline.threads is {threads} and this machine has {cores} "
                f"core{'' if cores == 1 else 's'}; it must be at most {cores}"
            )
        )
    if asked != "auto" and asked > gpus:
        found.append(
            problem(
                f"cluster.gpus_per_actor is {asked:g} and this machine has {gpus} "
                f"GPU{'' if gpus == 1 else 's'} that torch can use; set it to 'auto'"
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
    side = image_side(config, node.probe.weights.sample_size)
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
    if config.pipeline.name != "procedural" and machine.gpus and machine.cuda is None:
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
