"""What is looked at on each machine; it runs there, and loads neither torch nor Ray."""

from dataclasses import dataclass

from cluster.preflight.machine import Machine, this_machine
from cluster.preflight.output import Output, probe_output
from cluster.preflight.weights import Weights, find_weights
from synthgen.config import RunConfig


@dataclass(frozen=True, slots=True)
class Probe:
    """What one machine has for a run.

    Attributes:
        machine: GPUs, memory, versions.
        weights: which weights are there.
        output: whether it may write.
    """

    machine: Machine
    weights: Weights
    output: Output


def probe(config: RunConfig, beacon: str | None = None) -> Probe:
    """Look at this machine.

    Args:
        config: the run.
        beacon: file that the driver wrote where the output will be.
    """
    return Probe(this_machine(), find_weights(config), probe_output(config.output.path, beacon))
