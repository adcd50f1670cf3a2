"""A small run, three moments of it at which faults strike, and what must hold after each."""

import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from logging.handlers import BufferingHandler
from pathlib import Path

import pyarrow.parquet as pq
from embedded import EDITION
from held_workers import Gates, HeldLoader, InThread, wait_until
from PIL.Image import Image
from ray import cloudpickle

from cluster.driver import ExecutorName, Summary, generate
from cluster.worker import WorkerLoader
from pipelines.interfaces import ActionUnitReader, Measurement
from pipelines.procedural.source import ProceduralSource
from synthgen.config import RunConfig, parse_config
from synthgen.dataset import Storage, inspect_dataset, layout, read_markers, verify_shard

cloudpickle.register_pickle_by_value(sys.modules[__name__])

SHARDS = ("train-00000", "train-00001", "test-00000", "test-00001")
"""The shards of the small run, in the order in which they are handed out."""

RUN = {
    "name": "small",
    "seed": 5,
    "samples": 24,
    "output": {"shard_size": 6, "splits": {"train": 0.5, "test": 0.5}},
    "expressions": {"prior": "emotions", "categories": ["neutral", "happy", "sad", "surprised"]},
    "identities": {
        "source": "prompts",
        "template": "a portrait of a {age} {person} with {hair} hair",
        "slots": {
            "age": ["young", "old"],
            "person": ["man", "woman"],
            "hair": ["black", "brown", "blond", "red"],
        },
        "expressions_per_identity": 4,
    },
    "pipeline": {
        "name": "procedural",
        "edition": EDITION,
        "size": 64,
        "au_noise": 0.7,
        "batch_size": 3,
    },
    "verify": {"weights": "mini", "aligner": "centered", "max_attempts": 2},
}


@dataclass(frozen=True)
class Moment:
    """A moment of the small run, at which its workers stand still.

    Attributes:
        shard: the shard that a fault is to hit.
        stage: what its worker is about to do.
        committed: how many shards are committed: those before it.
    """

    shard: str
    stage: str
    committed: int

    @property
    def place(self) -> str:
        """Where the worker stands that works the shard."""
        return f"{self.shard}:{self.stage}"

    @property
    def stops(self) -> list[str]:
        """Where workers stand: at the shard's stage, and before they write a later shard."""
        return [self.place, *(f"{shard}:data" for shard in SHARDS[self.committed + 1 :])]

    def at(self, stage: str) -> "Moment":
        """Return the same moment with the shard's worker about to do something else."""
        return replace(self, stage=stage)


MOMENTS = (
    Moment("train-00000", "rejects", 0),
    Moment("train-00001", "marker", 1),
    Moment("test-00001", "half", 3),
)
"""With a data file and no more; with a shard that lacks its marker; in the middle of writing."""

NAMES = ("before the first commit", "between commits", "during the last")


@dataclass(frozen=True)
class Undisturbed:
    """What the run gives when nothing happens.

    Attributes:
        digests: sha256 of each data and rejects file.
        summary: what the run says at its end.
    """

    digests: Mapping[str, str]
    summary: Summary


def small_run(folder: Path, **cluster: object) -> RunConfig:
    """Return the small run with its output in a folder."""
    output = {**RUN["output"], "path": str(folder)}
    return parse_config({**RUN, "output": output, "cluster": {"speculate": False, **cluster}})


def undisturbed_run(folder: Path) -> Undisturbed:
    """Make the small run inline, with nothing in its way."""
    config = small_run(folder / "undisturbed")
    summary = generate(config, "inline", load=Gates(folder / "no gates", []).loader())
    expected = Undisturbed(digests(config), summary)
    assert summary.rejected
    assert_whole(config, expected)
    return expected


class Disturbed:
    """A run that stands still at a moment, until its fault has struck.

    Attributes:
        pid: the process that works the moment's shard.
    """

    def __init__(
        self,
        moment: Moment,
        gates: Gates,
        config: RunConfig,
        run: InThread,
    ) -> None:
        """Wait until the run stands.

        Args:
            moment: the moment; its worker's shard may have a gate `begin` too.
            gates: the gates of the run.
            config: the run.
            run: where it runs.
        """
        self._gates = gates
        self._run = run
        begin = f"{moment.shard}:begin"
        for stop in [stop for stop in (begin, moment.place) if stop in gates.moments]:
            self.pid = gates.wait_for(stop, run)
            wait_until(lambda: committed(config) == moment.committed, "the shards before it")
            if stop != moment.place:
                gates.open(stop)

    def go_on(self, but: str = "") -> None:
        """Let every worker go on that lives, but for who stands at one place."""
        for stop in self._gates.moments:
            if stop != but:
                self._gates.open(stop)

    def result(self) -> object:
        """Let every worker go on that lives, and return or raise what the run does."""
        self.go_on()
        return self._run.result()


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        """Begin at 0."""
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time [s]."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def disturb(
    folder: Path,
    moment: Moment,
    config: RunConfig,
    executor: ExecutorName,
    *,
    stops: list[str] | None = None,
    wrap: Callable[[HeldLoader], WorkerLoader] = lambda load: load,
) -> Disturbed:
    """Begin a run and wait until it stands at a moment, and knows of the shards before it.

    Their markers are there before they are synced, so a fault could strike those, too.

    Args:
        folder: where processes leave their notes.
        moment: the moment.
        config: the run.
        executor: `inline` or `ray`.
        stops: where workers stand, if elsewhere than the moment says.
        wrap: makes the loader of the workers another.
    """
    gates = Gates(folder / "gates", moment.stops if stops is None else stops)
    load = wrap(gates.loader())
    with _commits() as known:
        run = InThread(lambda: generate(config, executor, load=load))
        disturbed = Disturbed(moment, gates, config, run)
        wait_until(lambda: len(known) == moment.committed, "the driver to know of the shards")
    return disturbed


@contextmanager
def _commits() -> Iterator[list[logging.LogRecord]]:
    """Collect what drivers in this process say of the shards that they know to be committed."""
    handler, log = BufferingHandler(2 * len(SHARDS)), logging.getLogger("cluster.progress")
    handler.addFilter(lambda record: getattr(record, "event", "") == "shard_committed")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield handler.buffer
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def committed(config: RunConfig) -> int:
    """Return how many shards have their marker."""
    return len(list(Path(config.output.path, layout.MARKERS).glob("*.json")))


def digests(config: RunConfig) -> dict[str, str]:
    """Return the sha256 of each data and rejects file."""
    storage = Storage(config.output.path)
    names = [*storage.names(layout.DATA), *storage.names(layout.REJECTS)]
    return {name: storage.sha256(name) for name in names if not layout.is_temporary(name)}


def assert_nothing_half(config: RunConfig, expected: Undisturbed) -> None:
    """See that what is there, and has its name, is whole, while a run stands or has ended."""
    storage = Storage(config.output.path)
    for folder in layout.FOLDERS:
        assert [name for name in storage.names(folder) if not layout.is_ours(name)] == []
    assert digests(config).items() <= expected.digests.items()
    for marker in read_markers(storage).values():
        assert verify_shard(storage, marker) == []


def assert_whole(config: RunConfig, expected: Undisturbed) -> None:
    """See that a run made what the undisturbed one made, each sample once, and left no lease."""
    assert digests(config) == expected.digests
    assert inspect_dataset(config.output.path).problems == ()
    tables = [pq.read_table(file) for file in sorted(Path(config.output.path).glob("data/*"))]
    ids = Counter(value for table in tables for value in table["sample_id"].to_pylist())
    names = [f"sample-{config.run_id()}-{index:08d}" for index in range(config.samples)]
    assert ids == dict.fromkeys(names, 1)
    assert not Storage(config.output.path).exists(layout.LEASE)


class Remembering:
    """The real verifier, which measures batches of the same pixels once."""

    def __init__(self, verifier: ActionUnitReader) -> None:
        """Begin with nothing remembered."""
        self.name = verifier.name
        self.fingerprint = verifier.fingerprint
        self._verifier = verifier
        self._found: dict[tuple[bytes, ...], Measurement] = {}

    def measure(self, images: Sequence[Image]) -> Measurement:
        """Measure a batch."""
        key = tuple(image.tobytes() for image in images)
        if key not in self._found:
            self._found[key] = self._verifier.measure(images)
        return self._found[key]


def poisonous(shard: str, happen: Callable[[], object]) -> type[ProceduralSource]:
    """Return the real source, to which something happens when it paints some samples together.

    Args:
        shard: whose first batch it is; each of its samples alone is harmless.
        happen: called before that batch is painted.
    """
    split, _, number = shard.rpartition("-")
    start = int(number) * RUN["output"]["shard_size"]

    class Poisonous(ProceduralSource):
        def generate(self, attempts):
            first = attempts[0].spec
            several = len({attempt.spec.index for attempt in attempts}) > 1
            if several and (first.split, first.position) == (split, start):
                happen()
            return super().generate(attempts)

    return Poisonous


def die_unless_isolated(load: HeldLoader, name: str) -> WorkerLoader:
    """Return what loads workers that are killed, as a machine out of memory kills them.

    Args:
        load: what loads the workers.
        name: shard under which they die after a batch, unless it is worked sample by sample.
    """

    def load_deadly(config, plan):
        worker = load(config, plan)
        made = worker._made

        def made_or_died(shard, isolate):
            if f"{shard.split}-{shard.number:05d}" == name and not isolate:
                worker.generate([plan.attempt(plan.sample(0), 0)])
                os.kill(os.getpid(), signal.SIGKILL)
            return made(shard, isolate)

        worker._made = made_or_died
        return worker

    return load_deadly
