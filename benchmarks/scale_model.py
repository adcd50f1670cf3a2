"""A discrete-event model of a run: GPUs, the driver's loop, and nothing that takes real time.

A GPU works up to two shards: it paints a round of one, whole, while the other's is judged and
written, the older first. A round paints each sample that has no accepted image, in whole batches:
what is left of the last goes to second tries, third ones and so on; the next round begins when it
is judged; after the last, the shard is written and the driver told. The driver goes round a loop:
it waits until something is done, takes in all that is, hands out, a shard to each free GPU before a
second, and no second one near the end, and starts over. A turn costs a fixed time and one for each
GPU, a shard its own, and once a second it asks each GPU how far it is. When every shard is handed
out, those that take much longer than the median are given to idle GPUs a second time, and the first
to finish counts.
"""

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

IN_FLIGHT = 2
"""Shards that a GPU holds."""

KEPT_BACK = 0.75
"""A GPU gets a second shard only while more than this many for each GPU wait."""

STRAGGLING = 1.5
"""A shard straggles when it takes this many times the median of the finished ones."""

TICK = 1.0
"""Time between two looks at stragglers [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run to be modelled.

    Attributes:
        gpus: GPUs, one to an actor.
        shards: shards to work.
        shard_size: samples of a shard.
        batch: images that are made at once.
        batch_seconds: time that a batch is painted [s].
        judge_seconds: time from the end of a round's last batch to its verdicts [s].
        commit_seconds: time from a shard's last verdict to its marker [s].
        acceptance: share of the images that are accepted (0, 1].
        start_seconds: actors are loaded at random over this time [s].
        turn_seconds: the driver's time of a turn, whatever their number is [s].
        turn_seconds_per_gpu: and for each GPU [s].
        tick_seconds_per_gpu: the driver's time to ask a GPU how far it is [s].
        settle_seconds: the driver's time to take in a shard [s].
        give_seconds: and to hand one out [s].
        seed: seed of what is random.
    """

    gpus: int
    shards: int
    shard_size: int
    batch: int = 16
    batch_seconds: float
    judge_seconds: float = 0.0
    commit_seconds: float = 0.0
    acceptance: float = 1.0
    start_seconds: float = 0.0
    turn_seconds: float = 0.0
    turn_seconds_per_gpu: float = 0.0
    tick_seconds_per_gpu: float = 0.0
    settle_seconds: float = 0.0
    give_seconds: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Course:
    """Result of a modelled run.

    Attributes:
        span: from the first batch to the last commit [s].
        busy: share of the GPUs' time in the span that painted what was committed.
        busy_while_full: share of the GPUs' time that painted, from the moment when the last of
            them began until the last shard was handed out; NaN where there was no such time.
        driver: share of the span in which the driver worked.
        commits_per_second: shards by span.
        twins: shards that were handed out twice.
    """

    span: float
    busy: float
    busy_while_full: float
    driver: float
    commits_per_second: float
    twins: int


def simulate(run: Run) -> Course:
    """Let a run take its course."""
    return _Simulation(run).course()


def rounds_of(run: Run, shard: int) -> list[int]:
    """Return how many batches each round of a shard takes: drawn, the same for each copy."""
    draws = random.Random(f"{run.seed}/{shard}")
    waiting, rounds = run.shard_size, []
    while waiting:
        rounds.append(math.ceil(waiting / run.batch))
        again, more = divmod(rounds[-1] * run.batch, waiting)
        tries = [again + 1] * more + [again] * (waiting - more)
        waiting = sum(draws.random() < (1 - run.acceptance) ** times for times in tries)
    return rounds


@dataclass(slots=True, eq=False)
class _Gpu:
    held: list["_Copy"] = field(default_factory=list)
    painting: bool = False
    began: float = math.inf


@dataclass(slots=True, eq=False)
class _Copy:
    """A shard in the hands of a GPU; `rounds` are the batches of each round that is left."""

    gpu: _Gpu
    shard: int
    rounds: deque[int]
    paintable: bool = False


class _Simulation:
    def __init__(self, run: Run) -> None:
        self._run = run
        self._now = 0.0
        self._events: list[tuple[float, int, Callable[..., None], tuple]] = []
        self._order = itertools.count()
        self._gpus = [_Gpu() for _ in range(run.gpus)]
        self._fresh = deque(range(run.shards))
        self._dry = 0.0
        self._since: dict[int, float] = {}
        self._twins: set[int] = set()
        self._paces: list[float] = []
        self._done: list[_Copy] = []
        self._free: list[_Gpu] = []
        self._driving = False
        self._ticking = False
        self._driven = 0.0
        self._useful = 0
        self._painted: list[tuple[float, float]] = []
        self._ended = 0.0

    def course(self) -> Course:
        """Let everything happen, in order of time."""
        draws = random.Random(self._run.seed)
        for gpu in self._gpus:
            self._later(draws.uniform(0, self._run.start_seconds), self._loaded, gpu)
        self._later(TICK, self._tick)
        while len(self._paces) < self._run.shards:
            self._now, _, happen, arguments = heapq.heappop(self._events)
            happen(*arguments)
        return self._course()

    def _later(self, seconds: float, happen: Callable[..., None], *arguments: object) -> None:
        event = (self._now + seconds, next(self._order), happen, arguments)
        heapq.heappush(self._events, event)

    # A GPU

    def _loaded(self, gpu: _Gpu) -> None:
        self._free.append(gpu)
        self._drive()

    def _received(self, copy: _Copy) -> None:
        copy.paintable = True
        self._paint(copy.gpu)

    def _paint(self, gpu: _Gpu) -> None:
        copy = next((copy for copy in gpu.held if copy.paintable), None)
        if copy is None or gpu.painting:
            return
        gpu.painting, copy.paintable = True, False
        gpu.began = min(gpu.began, self._now)
        seconds = copy.rounds.popleft() * self._run.batch_seconds
        self._painted.append((self._now, self._now + seconds))
        self._later(seconds, self._round_painted, copy)

    def _round_painted(self, copy: _Copy) -> None:
        copy.gpu.painting = False
        self._later(self._run.judge_seconds, self._judged, copy)
        self._paint(copy.gpu)

    def _judged(self, copy: _Copy) -> None:
        if copy.rounds:
            self._received(copy)
        else:
            self._later(self._run.commit_seconds, self._committed, copy)

    def _committed(self, copy: _Copy) -> None:
        self._done.append(copy)
        self._drive()

    # The driver

    def _drive(self) -> None:
        """Begin a turn unless one goes on, which will be followed by another."""
        if not self._driving:
            self._driving = True
            self._later(0, self._turn)

    def _turn(self) -> None:
        """Take in what is done and hand out; all of it costs time."""
        run, began = self._run, self._now
        spent = run.turn_seconds + run.turn_seconds_per_gpu * run.gpus
        spent += run.tick_seconds_per_gpu * run.gpus * self._ticking
        self._ticking = False
        done, self._done = self._done, []
        free, self._free = self._free, []
        for copy in done:
            spent += run.settle_seconds
            self._settle(copy, began + spent)
            free.append(copy.gpu)
        for held in range(IN_FLIGHT):
            kept = int(KEPT_BACK * run.gpus) if held else 0
            for gpu in dict.fromkeys(free):
                if len(gpu.held) == held and len(self._fresh) > kept:
                    spent += run.give_seconds
                    self._give(gpu, self._fresh.popleft(), spent)
                    self._dry = began + spent
        self._driven += spent
        self._later(spent, self._turned)

    def _turned(self) -> None:
        self._driving = False
        if self._done or self._free or self._ticking:
            self._drive()

    def _settle(self, copy: _Copy, now: float) -> None:
        copy.gpu.held.remove(copy)
        if copy.shard not in self._since:
            return  # Its twin was quicker.
        self._paces.append(now - self._since.pop(copy.shard))
        self._useful += sum(rounds_of(self._run, copy.shard))
        self._ended = max(self._ended, now)

    def _give(self, gpu: _Gpu, shard: int, after: float) -> None:
        copy = _Copy(gpu, shard, deque(rounds_of(self._run, shard)))
        gpu.held.append(copy)
        self._since.setdefault(shard, self._now + after)
        self._later(after, self._received, copy)

    def _tick(self) -> None:
        """Ask each GPU how far it is; give stragglers to idle GPUs too, the oldest first."""
        self._later(TICK, self._tick)
        self._ticking = True
        self._drive()
        if self._fresh or not self._paces:
            return
        self._paces.sort()
        allowed = STRAGGLING * self._paces[len(self._paces) // 2]
        idle = [gpu for gpu in self._gpus if not gpu.held and gpu.began < math.inf]
        slow = [s for s, since in self._since.items() if self._now - since > allowed]
        single = sorted(set(slow) - self._twins, key=lambda shard: (self._since[shard], shard))
        for gpu, shard in zip(idle, single, strict=False):
            self._twins.add(shard)
            self._give(gpu, shard, self._run.give_seconds)

    def _course(self) -> Course:
        run = self._run
        starts = [gpu.began for gpu in self._gpus if gpu.began < math.inf]
        span = self._ended - min(starts)
        return Course(
            span=span,
            busy=self._useful * run.batch_seconds / (run.gpus * span),
            busy_while_full=self._between(max(starts), self._dry) / run.gpus,
            driver=self._driven / span,
            commits_per_second=run.shards / span,
            twins=len(self._twins),
        )

    def _between(self, begin: float, end: float) -> float:
        """Return how many GPUs paint on average between two moments; NaN if they are none."""
        if end <= begin:
            return math.nan
        inside = (min(stop, end) - max(start, begin) for start, stop in self._painted)
        return sum(max(0.0, seconds) for seconds in inside) / (end - begin)
