"""The preflight: everything that is looked at, and what is made of it."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from cluster.anchoring import anchored
from cluster.batch_size import settled
from cluster.preflight.earlier import read_earlier
from cluster.preflight.estimate import Estimate, estimate
from cluster.preflight.findings import (
    Finding,
    once,
    problem,
    problems,
    raise_problems,
    warning,
    warnings,
)
from cluster.preflight.machine import usable_gpus
from cluster.preflight.measure import measure
from cluster.preflight.node_findings import find_in_nodes, find_no_room, find_room_for
from cluster.preflight.nodes import Node, cluster_nodes, this_node
from cluster.preflight.probe import Probe
from cluster.preflight.store_findings import find_in_store
from pipelines.loading import check_pipeline, doubts
from samplers.plan import build_plan
from synthgen.config import RunConfig
from synthgen.dataset import Storage, check_output, reached
from synthgen.errors import SynthgenError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Report:
    """What a preflight found.

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
    asked = settled(config, reached(config.output.path))
    run = anchored(asked)
    nodes = cluster_nodes(run) if cluster else this_node(run)
    findings = [
        *_before(run, asked.identity()),
        *find_in_store(run),
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
    findings = [_unchecked(node) for node in nodes if node.probe is None]
    nodes = [node for node in nodes if node.probe is not None]
    findings += [*find_in_store(config), *map(warning, doubts(config))]
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


def _unchecked(node: Node) -> Finding:
    """Say that a node was not checked: it may be starting, and a run can do without it."""
    return warning(f"node {node.name} was not checked: {node.failure}")


def _before(config: RunConfig, identity: Mapping[str, object]) -> list[Finding]:
    """Find what is wrong with the plan, the pipeline's values and the output's content.

    The identity is that of the run with its paths as the user wrote them, as a record holds it.
    """
    storage = Storage(config.output.path)
    checks: list[Callable[[], object]] = [
        lambda: build_plan(config),
        lambda: check_pipeline(config),
        lambda: check_output(storage, identity, config.samples),
    ]
    found: list[Finding] = []
    for check in checks:
        with _collecting(found):
            check()
    return found


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
