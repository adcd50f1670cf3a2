"""Before a run: what is missing on each node, and what the run will take."""

from cluster.preflight.checks import Report, check_before_run, check_room, preflight
from cluster.preflight.findings import problems
from cluster.preflight.joining import joined
from cluster.preflight.text import describe

__all__ = [
    "Report",
    "check_before_run",
    "check_room",
    "describe",
    "joined",
    "preflight",
    "problems",
]
