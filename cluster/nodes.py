"""The nodes of a Ray cluster: which there are, and which get no more actors."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayError

from cluster.resources import actors_on

_log = logging.getLogger(__name__)

_SUSPICION = 60.0
"""How long a node whose actor stopped answering gets no new one; Ray needs about 30 s to notice
that a node is gone, and would send it actors until then [s]."""


class Nodes:
    """What Ray knows of the nodes, with our own judgement of them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._alive: dict[str, dict[str, Any]] = {}
        self._barred: set[str] = set()
        self._suspected: dict[str, float] = {}
        self.refresh()

    def refresh(self) -> None:
        """Ask Ray which nodes there are: one short call, whatever their number."""
        self._alive = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}

    def room(self, cpus: int, gpus: float) -> int:
        """Return how many actors the nodes that may have any have room for."""
        usable = self._alive.keys() - self._barred - self._suspects()
        return sum(actors_on(self._alive[node]["Resources"], cpus, gpus) for node in usable)

    def bar(self, node: str, reason: str) -> None:
        """Give a node no more actors in this run, and say so once."""
        if node not in self._barred:
            self._barred.add(node)
            address = self._alive.get(node, {}).get("NodeManagerAddress", "that has left")
            _log.warning("node %s (%s) gets no more actors: %s", node[:8], address, reason)

    def barred(self, node: str | None) -> bool:
        """Return whether a node gets no more actors in this run."""
        return node in self._barred

    def selector(self) -> Mapping[str, str]:
        """Return Ray's label selector that keeps a new actor away from nodes that get none."""
        if avoided := sorted((self._barred | self._suspects()) & self._alive.keys()):
            return {"ray.io/node-id": f"!in({','.join(avoided)})"}
        return {}

    def took(self, node: str | None, error: RayError) -> bool:
        """Return whether an actor's death was its node's doing, not its own.

        Ray says how an actor died in words only, and learns of a node that fell silent after half
        a minute; until then its actors are called unavailable.

        Args:
            node: where the actor was; None where it was never placed.
            error: what its tasks raised.
        """
        if isinstance(error, ActorUnavailableError):
            if node is not None:
                self._suspected[node] = self._clock() + _SUSPICION
            return True
        if isinstance(error, RayActorError) and error.preempted:
            return True
        self.refresh()
        gone = node is not None and node not in self._alive
        return gone or "its node has died" in str(error)

    def _suspects(self) -> set[str]:
        now = self._clock()
        return {node for node, until in self._suspected.items() if until > now}
