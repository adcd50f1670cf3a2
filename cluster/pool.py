"""Pool of Ray actors: hired on the cluster's nodes as it has room, loaded, counted, let go."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayError, RayTaskError

from cluster.resolve import actors_on
from cluster.schedule import Task
from synthgen.errors import RunError

_log = logging.getLogger(__name__)

_SUSPICION = 60.0
"""Time without new actors for a node whose actor stopped answering; Ray needs about 30 s to notice
that a node is gone, and would send it actors until then [s]."""


class Nodes:
    """Nodes as Ray knows them, with our own judgement of them."""

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


COUNTED = ("judged", "accepted")
"""Counts of actors."""


@dataclass(slots=True, eq=False)
class ActorState:
    """An actor of the pool.

    Attributes:
        handle: the actor; used only as `handle.<method>.remote(…)`.
        avoids: the label selector that it was asked for with.
        node: id of its node; None until the cluster has placed it.
        arriving: its answer to where it is, then to what it loaded.
        ready: whether it is loaded.
        tasks: what it works.
        counting: its answer to the last question for its counts, while that is on its way.
        counts: its last answer.
        died: why it gave none, where it is dead.
    """

    handle: Any
    avoids: Mapping[str, str]
    node: str | None = None
    arriving: ray.ObjectRef | None = None
    ready: bool = False
    tasks: dict[ray.ObjectRef, Task] = field(default_factory=dict)
    counting: ray.ObjectRef | None = None
    counts: dict[str, int] = field(default_factory=dict)
    died: RayError | None = None

    def takes(self, in_flight: int) -> bool:
        """Return whether it may be given a task beside this many that it has."""
        alone = any(task.alone for task in self.tasks.values())
        return self.ready and len(self.tasks) == in_flight and not alone


class ActorCounters:
    """The images judged and accepted by all actors there ever were, without waiting for any."""

    def __init__(self) -> None:
        self._gone: dict[str, int] = dict.fromkeys(COUNTED, 0)

    def keep(self, member: ActorState) -> None:
        """Keep the counts of an actor that leaves the pool."""
        self._gone = _sum([self._gone, member.counts])

    def total(self, members: Iterable[ActorState]) -> dict[str, int]:
        """Take in the answers that have come, ask again, and return the sums."""
        ready = [member for member in members if member.ready]
        asked = {member.counting: member for member in ready if member.counting is not None}
        if asked:
            done, _ = ray.wait(list(asked), num_returns=len(asked), timeout=0)
            for ref in done:
                _take_in(asked[ref], ref)
        for member in ready:
            if member.counting is None and member.died is None:
                member.counting = member.handle.counts.remote()
        return _sum([self._gone, *(member.counts for member in ready)])


def _take_in(member: ActorState, ref: ray.ObjectRef) -> None:
    member.counting = None
    try:
        member.counts = ray.get(ref)
    except RayError as error:
        member.died = error


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    known = list(counts)
    return {key: sum(each.get(key, 0) for each in known) for key in COUNTED}


_LOOK = 5.0
"""Time between two looks at the cluster's nodes [s]."""

StartActor = Callable[[Mapping[str, str]], Any]
"""Asks the cluster for an actor, with a label selector, and returns its handle."""

EndActor = Callable[[Any], None]
"""Kills the actor of a handle."""


class Pool:
    """The actors that there are, and those that were asked for.

    The pool follows the cluster. With a number of actors it asks for that many, and asks again
    whenever one is gone; with `auto` for as many as the nodes have room for at the time, so that
    nodes that join bring actors and nodes that leave take theirs along, but never for fewer than
    one. An actor that the cluster has no room for holds nothing back: it is a request that waits.
    To an autoscaler the waiting requests are the demand: a number of actors is what it scales up
    to, while `auto` asks for one node at most and takes what others bring.
    """

    def __init__(
        self,
        size: int | None,
        takes: tuple[int, float],
        start: StartActor,
        end: EndActor,
        *,
        max_failures: int,
        mixed_hardware: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make an empty pool; `follow` hires.

        Args:
            size: how many actors to ask for; None: as many as there is room for.
            takes: CPUs and GPUs of an actor.
            start: asks the cluster for an actor.
            end: kills one.
            max_failures: deaths of loading actors on one node before it gets no more.
            mixed_hardware: whether actors may have different kinds of accelerators.
            clock: the time [s].
        """
        self._size = size
        self.members: dict[ActorState, None] = {}
        self.fingerprint: dict[str, Any] | None = None
        self._takes = takes
        self._start = start
        self._end = end
        self._max_failures = max_failures
        self._mixed_hardware = mixed_hardware
        self._clock = clock
        self._nodes = Nodes(clock)
        self._arriving: dict[ray.ObjectRef, ActorState] = {}
        self._failed_loads: Counter[str | None] = Counter()
        self._look_at = self._clock()

    def follow(self) -> None:
        """Ask for the actors that are missing; cheap when called often."""
        if self._clock() < self._look_at:
            return
        self._look_at = self._clock() + _LOOK
        self._nodes.refresh()
        self._let_go_of_outdated_requests()
        for _ in range(self._wanted() - len(self.members)):
            self._hire()

    def resize(self, size: int | None) -> None:
        """Ask for so many actors from now on; None: for as many as there is room for."""
        self._size = size
        self._look_at = self._clock()

    def arriving(self) -> list[ray.ObjectRef]:
        """Return what to wait for until every actor is placed and loaded."""
        return list(self._arriving)

    def kept_back(self) -> int:
        """Return how many waiting tasks no actor should get in advance.

        Some are for the actors that still load. The last ones are for whoever is free first: at the
        end of a run an actor with two would keep one from another that has none. (Three quarters of
        the actors came out best for 10 to 1,000 simulated GPUs.)
        """
        placed = [member for member in self.members if member.node is not None]
        return max(sum(not member.ready for member in placed), 3 * len(placed) // 4)

    def arrived(self, ref: ray.ObjectRef) -> None:
        """Take in one of `arriving`.

        Raises:
            SynthgenError: what the first actor raised while it loaded, if the user can mend it.
            RunError: if an actor would make other data, or none can be loaded.
            Exception: what the first actor raised while it loaded, otherwise.
        """
        member = self._arriving.pop(ref, None)
        if member is None:
            return
        try:
            answer = ray.get(ref)
        except RayTaskError as error:
            self._cannot_load(member, cause(error))
        except RayError as error:
            self._died_loading(member, error)
        else:
            if member.node is None:
                self._placed(member, answer)
            else:
                self._admit(member, answer)

    def bury(self, member: ActorState, error: RayError) -> bool:
        """Remove a dead actor, and see to another; return whether its node took it along."""
        took = self._nodes.took(member.node, error)
        self.remove(member)
        return took

    def remove(self, member: ActorState) -> None:
        """End an actor, dead or alive, and see to another soon."""
        self._forget(member)
        self._look_at = self._clock()

    def close(self) -> None:
        """End every actor."""
        for member in list(self.members):
            self._forget(member)

    def _wanted(self) -> int:
        if self._size is not None:
            return self._size
        staying = sum(self._nodes.barred(member.node) for member in self.members)
        return max(1, self._nodes.room(*self._takes) + staying)

    def _hire(self) -> None:
        avoids = self._nodes.selector()
        member = ActorState(self._start(avoids), avoids)
        self.members[member] = None
        self._await(member, member.handle.where.remote())

    def _await(self, member: ActorState, answer: ray.ObjectRef) -> None:
        member.arriving = answer
        self._arriving[answer] = member

    def _let_go_of_outdated_requests(self) -> None:
        """Drop waiting requests for room that has gone, or that would go where none is wanted."""
        waiting = [member for member in self.members if member.node is None]
        surplus = len(self.members) - self._wanted()
        avoids = self._nodes.selector()
        for place, member in enumerate(reversed(waiting)):
            if place < surplus or member.avoids != avoids:
                self._forget(member)

    def _forget(self, member: ActorState) -> None:
        del self.members[member]
        if member.arriving is not None:
            self._arriving.pop(member.arriving, None)
        self._end(member.handle)

    def _placed(self, member: ActorState, node: str) -> None:
        """Let an actor load, now that its node is known: to blame, should it die of that."""
        member.node = node
        _log.info(
            "an actor has its place on node %s",
            node[:8],
            extra={"event": "actor_hired", "node": node},
        )
        self._await(member, member.handle.load.remote())

    def _admit(self, member: ActorState, fingerprint: dict[str, Any]) -> None:
        first = self.fingerprint
        if first is None:
            self.fingerprint = fingerprint
        elif not self._mixed_hardware and _other_hardware(first, fingerprint):
            self._let_go(member, fingerprint["hardware"], first["hardware"])
            return
        elif _without_hardware(first) != _without_hardware(fingerprint):
            raise RunError(
                "the nodes would make different data, their weights or package versions differ: "
                f"{first} on the first, {fingerprint} on another"
            )
        member.ready = True
        node = (member.node or "unknown")[:8]
        _log.info(
            "an actor on node %s is loaded",
            node,
            extra={"event": "actor_loaded", "node": member.node},
        )

    def _let_go(self, member: ActorState, kind: str, first: str) -> None:
        if member.node is not None:
            self._nodes.bar(
                member.node,
                f"it has {kind}, the first actor {first}, and bits differ between them; "
                "cluster.mixed_hardware: true lets it work too",
            )
        self.remove(member)

    def _cannot_load(self, member: ActorState, error: Exception) -> None:
        if self.fingerprint is None or member.node is None:
            raise error
        text = " ".join(str(error).split())
        self._nodes.bar(member.node, f"loading failed there: {type(error).__name__}: {text}")
        self._forget(member)

    def _died_loading(self, member: ActorState, error: RayError) -> None:
        """Remove an actor that died; the next look hires another, not at once, lest it spins."""
        took = self._nodes.took(member.node, error)
        self._forget(member)
        if took:
            return
        self._failed_loads[member.node] += 1
        if self._failed_loads[member.node] <= self._max_failures:
            return
        if member.node is not None:
            self._nodes.bar(member.node, "actors die there while they load their models")
        elsewhere = member.node is not None and self._nodes.room(*self._takes)
        if not elsewhere and not any(other.ready for other in self.members):
            text = " ".join(str(error).split())
            raise RunError(f"actors die while they load their models: {text}")


def cause(error: RayTaskError) -> Exception:
    """Return what an actor's method raised, in its own type where that can travel."""
    return error.cause if isinstance(error.cause, Exception) else error


def _other_hardware(first: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    kinds = first.get("hardware"), other.get("hardware")
    return None not in kinds and kinds[0] != kinds[1]


def _without_hardware(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fingerprint.items() if key != "hardware"}
