"""The machines that a run would work on: this one, or each node of a Ray cluster."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.preflight.probe import Probe, lit_beacon, probe
from cluster.resolve import actors_on, gpus_per_actor
from synthgen.config import RunConfig

PATIENCE = 60.0
"""Time for a node to answer [s]."""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the run.

    Attributes:
        name: how the user knows it.
        workers: workers that it has room for.
        probe: what was found there; None where it gave no answer.
        failure: why it gave none.
        here: whether this process runs there.
        cores: those that this process may use, where it runs there and no cluster is looked at.
    """

    name: str
    workers: int
    probe: Probe | None
    failure: str = ""
    here: bool = False
    cores: int | None = None


def this_node(config: RunConfig) -> list[Node]:
    """Look at this machine alone, as a run without a cluster would use it."""
    found = probe(config)
    usable = len(found.machine.gpus) if found.machine.cuda else 0
    cores = len(os.sched_getaffinity(0))
    resources = {"CPU": float(cores), "GPU": float(usable)}
    gpus = gpus_per_actor(config, resources)
    workers = room(config, resources, gpus)
    return [Node("this machine", workers, found, here=True, cores=cores)]


def cluster_nodes(config: RunConfig, patience: float = PATIENCE) -> list[Node]:
    """Look at each node that is alive in the cluster that this process has joined.

    Args:
        config: the run, with paths that do not depend on the working folder.
        patience: time for all to answer [s].
    """
    import ray

    alive = [node for node in ray.nodes() if node["Alive"]]
    here = ray.get_runtime_context().get_node_id()
    gpus = gpus_per_actor(config, ray.cluster_resources())
    names = _names(alive)
    with lit_beacon(config.output.path) as beacon:
        answers = _answers(config, alive, here, beacon if len(alive) > 1 else None, patience)
    nodes = [
        Node(names[key], room(config, node["Resources"], gpus), *answers[key], here=key == here)
        for node in alive
        if (key := node["NodeID"])
    ]
    return sorted(nodes, key=lambda node: node.name)


def room(config: RunConfig, resources: Mapping[str, float], gpus: float) -> int:
    """Return how many workers of so many GPUs fit on a node with these resources."""
    return actors_on(resources, config.pipeline.threads, gpus)


def total_workers(config: RunConfig, nodes: Iterable[Node]) -> int:
    """Return how many workers the run would have."""
    there = sum(node.workers for node in nodes)
    asked = config.cluster.actors
    return there if asked == "auto" else min(there, asked)


def _answers(
    config: RunConfig,
    alive: Iterable[Mapping[str, Any]],
    here: str,
    beacon: str | None,
    patience: float,
) -> dict[str, tuple[Probe | None, str]]:
    """Ask each node by a task that is bound to it; this one needs none."""
    import ray

    keys = [node["NodeID"] for node in alive if node["NodeID"] != here]
    asked = {key: _ask(key, config, beacon) for key in keys}
    answers: dict[str, tuple[Probe | None, str]] = {here: (probe(config, beacon), "")}
    if asked:
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=patience)
    return answers | {key: _answer(ref, patience) for key, ref in asked.items()}


def _ask(key: str, config: RunConfig, beacon: str | None) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from cluster.remote import call_remotely

    pinned = NodeAffinitySchedulingStrategy(key, soft=False)
    options = {"num_cpus": 0, "max_retries": 0, "scheduling_strategy": pinned}
    return call_remotely(probe, config, beacon, **options)


def _answer(ref: Any, patience: float) -> tuple[Probe | None, str]:
    import ray
    from ray.exceptions import RayError, RayTaskError

    if not ray.wait([ref], timeout=0)[0]:
        return None, f"no answer in {patience:.0f} s"
    try:
        return ray.get(ref), ""
    except RayTaskError as error:
        return None, f"{type(error.cause).__name__}: {error.cause}"
    except RayError as error:
        return None, type(error).__name__


def _names(nodes: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Name nodes by their address; where several share one, with the start of their id."""
    addresses = {node["NodeID"]: node["NodeManagerAddress"] for node in nodes}
    count = Counter(addresses.values())
    return {
        key: address if count[address] == 1 else f"{address}/{key[:6]}"
        for key, address in addresses.items()
    }
