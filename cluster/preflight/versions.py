"""Package versions that differ between the driver and the nodes."""

from collections.abc import Iterable, Sequence

from cluster.preflight.findings import Finding, problem, warning
from cluster.preflight.machine import Machine
from cluster.preflight.nodes import Node

_COMPUTING = (
    "synthgen", "torch", "diffusers", "transformers", "peft", "numpy", "pillow", "pyarrow", "scipy",
)  # fmt: skip
"""Packages whose versions decide bytes: another version makes another dataset."""


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
        if package in _COMPUTING:
            yield problem(f"{said}; install the same version on both, or the data would differ")
        else:
            yield warning(said)


def _release(version: str) -> str:
    return version.partition("+")[0]
