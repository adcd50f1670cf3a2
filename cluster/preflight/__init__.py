"""Before a run: what is missing on each node, and what the run will take."""

from cluster.preflight.checks import (
    Report,
    check_before_run,
    check_room,
    describe,
    joined,
    preflight,
)
from cluster.preflight.elsewhere import Elsewhere, describe_elsewhere
from cluster.preflight.findings import problems

__all__ = [
    "Elsewhere",
    "Report",
    "check_before_run",
    "check_room",
    "describe",
    "describe_elsewhere",
    "joined",
    "preflight",
    "problems",
]
