"""Workers that stop at named moments until a test lets them go: no sleeping for luck.

A moment is `<shard>:<stage>`, such as `train-00001:marker`, with the stages

- `begin`: before the work on the shard begins,
- `paint`: before a batch of the shard is painted,
- `measure`: before a batch of the shard is measured,
- `data`, `rejects`, `marker`: before that file of the shard is written,
- `half`: when half of the first of its files is written, under its temporary name,
- `written`: after its marker was written, before the driver hears of it.

Painting and measuring are done for one shard at a time, so who stops there stops its worker's other
shards too. A moment stops the first worker that comes to it, and no other: so what is tried again,
or worked twice, goes through. What then happens is the test's to say:

    gates = Gates(tmp_path / "gates", ["train-00001:marker"])
    run = InThread(lambda: generate(config, "ray", load=gates.loader()))
    pid = gates.wait_for("train-00001:marker", run)    # the process that waits there
    gates.open("train-00001:marker")                   # or kill it, remove its node, leave it
    run.result()

Processes speak through files, so workers may be actors on any node of this machine. What is here
is pickled by value: an actor cannot import it.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from ray import cloudpickle

from cluster.worker import Worker
from pipelines.interfaces import Verifier
from pipelines.loading import fix_arithmetic, load_checks, load_source
from samplers.plan import Plan
from synthgen.config import RunConfig
from synthgen.dataset import RetryPolicy, Storage, layout, whole_files
from synthgen.dataset.layout import shard_of

PATIENCE = 120.0
"""Longest wait at a gate, and for one to be reached [s]."""

cloudpickle.register_pickle_by_value(sys.modules[__name__])

_STAGES = {"data": "data", "rejects": "rejects", ".synthgen/shards": "marker"}


@dataclass(frozen=True)
class Gates:
    """The moments of a run at which workers stop.

    Attributes:
        folder: where processes leave their notes.
        moments: `<shard>:<stage>`.
    """

    folder: Path
    moments: Sequence[str]

    def loader(self, prepare: Callable[[], object] | None = None) -> "HeldLoader":
        """Return what loads workers that stop here.

        Args:
            prepare: called in each worker's process before anything is loaded.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        return HeldLoader(self, prepare)

    def pass_by(self, moment: str) -> None:
        """Stop where this is the first to come to one of the moments."""
        if moment not in self.moments or not self._first(moment):
            return
        wait_until((self.folder / f"{moment}.open").exists, f"{moment} to be opened")

    def wait_for(self, moment: str, run: "InThread | None" = None) -> int:
        """Wait until a worker stands at a moment; return its process id.

        Args:
            moment: the moment.
            run: the run whose worker it is; what it raises is raised here at once.
        """
        reached = self.folder / f"{moment}.reached"
        over = (lambda: False) if run is None else run.over
        wait_until(lambda: reached.exists() or over(), f"a worker at {moment}")
        if run is not None and not reached.exists():
            raise AssertionError(f"no worker came to {moment}: the run gave {run.result()}")
        return json.loads(reached.read_text())

    def open(self, moment: str) -> None:
        """Let the worker at a moment go on."""
        (self.folder / f"{moment}.open").touch()

    def _first(self, moment: str) -> bool:
        note = self.folder / f".{moment}.{os.getpid()}.{threading.get_ident()}"
        note.write_text(json.dumps(os.getpid()))
        try:
            os.link(note, self.folder / f"{moment}.reached")
        except FileExistsError:
            return False
        return True


@dataclass(frozen=True)
class HeldLoader:
    """Loads a configuration's worker, with gates in its way; on the CPU."""

    gates: Gates
    prepare: Callable[[], object] | None = None

    def __call__(self, config: RunConfig, plan: Plan) -> Worker:
        """Load a worker."""
        if self.prepare is not None:
            self.prepare()
        fix_arithmetic(config.pipeline.threads)
        _write_by_halves(self.gates)
        source = HeldSource(load_source(config.pipeline, "cpu"), self.gates, config)
        checks = [HeldVerifier(check, self.gates, source) for check in load_checks(config, "cpu")]
        worker = HeldWorker(config, plan, source, checks, HeldStorage(config, self.gates))
        worker.gates = self.gates
        return worker


class HeldWorker(Worker):
    """A worker that passes the gates `begin`."""

    gates: Gates

    def work(self, shard, isolate=False):
        """Make a shard whole and commit it."""
        self.gates.pass_by(f"{shard.split}-{shard.number:05d}:begin")
        return super().work(shard, isolate)


class HeldSource:
    """An image source that passes the gates `paint`."""

    def __init__(self, source, gates, config):
        self.name = source.name
        self.fingerprint = source.fingerprint
        self.columns, self.labels = source.columns, source.labels
        self.only_in_data, self.descriptions = source.only_in_data, source.descriptions
        self.painted = {}
        self._source, self._gates = source, gates
        self._shard_size = config.output.shard_size

    def generate(self, attempts):
        """Paint a batch."""
        spec = attempts[0].spec
        shard = f"{spec.split}-{spec.position // self._shard_size:05d}"
        self._gates.pass_by(f"{shard}:paint")
        images = self._source.generate(attempts)
        self.painted.update({id(image): (image, shard) for image in images})
        return images


class HeldVerifier(Verifier):
    """A verifier that passes the gates `measure`."""

    def __init__(self, verifier, gates, source):
        self.name = verifier.name
        self.plain_reasons = verifier.plain_reasons
        self.fingerprint = verifier.fingerprint
        self.verdict = verifier.verdict
        self._verifier, self._gates, self._source = verifier, gates, source

    @property
    def columns(self):
        """Return the columns of the real one."""
        return self._verifier.columns

    def measure(self, images, specs):
        """Measure a batch."""
        shards = {self._source.painted[id(image)][1] for image in images}
        for shard in sorted(shards):
            self._gates.pass_by(f"{shard}:measure")
        return self._verifier.measure(images, specs)


class HeldStorage(Storage):
    """A storage that passes the gates `data`, `rejects`, `marker` and `written`."""

    def __init__(self, config, gates):
        super().__init__(config.output.path, RetryPolicy(config.cluster.storage_patience))
        self._gates = gates

    def write(self, name, data):
        """Write a file."""
        key = shard_of(name)
        if key is None:
            super().write(name, data)
            return
        shard, stage = f"{key[0]}-{key[1]:05d}", _STAGES[name.rpartition("/")[0]]
        self._gates.pass_by(f"{shard}:{stage}")
        super().write(name, data)
        if stage == "marker":
            self._gates.pass_by(f"{shard}:written")


def _write_by_halves(gates):
    """Let files stop at the gates `half`; the whole process writes this way from now on."""
    asked = [moment for moment in gates.moments if moment.endswith(":half")]
    write = whole_files._write

    def write_by_halves(path, data):
        moment = f"{_shard_in(path)}:half"
        if moment in asked:
            path.write_bytes(data[: len(data) // 2])
            gates.pass_by(moment)
            path.unlink()
        write(path, data)

    if asked:
        whole_files._write = write_by_halves


def _shard_in(path):
    """Return the shard of a temporary file, such as `train-00001`; "" for other files."""
    _, _, name = path.name.removeprefix(".tmp-").partition("-")
    return name.partition(".")[0] if layout.is_temporary(f"{path.parent.name}/{path.name}") else ""


def wait_until(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: if it takes longer than `patience` [s].
    """
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {patience:g} s for {what}")
        time.sleep(0.02)


class InThread:
    """Work in a thread beside the test, such as a run."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._future: Future[object] = Future()
        # A daemon: a run that hangs must not keep the tests from ending.
        threading.Thread(target=self._keep, args=(work,), daemon=True).start()

    def over(self) -> bool:
        """Return whether the work is done or failed."""
        return self._future.done()

    def result(self, patience: float = PATIENCE) -> object:
        """Wait for the work [s]; return what it returned, or raise what it raised."""
        return self._future.result(patience)

    def _keep(self, work: Callable[[], object]) -> None:
        try:
            self._future.set_result(work())
        except BaseException as error:
            self._future.set_exception(error)


def moments(shards: Iterable[str], stage: str) -> list[str]:
    """Return a stage's moment of each of some shards."""
    return [f"{shard}:{stage}" for shard in shards]
