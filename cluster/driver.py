"""The run: what is there already, what is left to do, and the card at the end."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from cluster.executors import Executor, InlineExecutor
from cluster.fuse import RunFuse
from cluster.preflight import check_before_run, check_room
from cluster.progress import Progress
from cluster.records import make_record
from cluster.resolve import absolute_paths, as_begun, reached_output, with_batch_size
from cluster.schedule import Schedule
from cluster.worker import WorkerLoader, load_worker
from pipelines.loading import check_components
from samplers.flame.serving import refuse_unserved
from samplers.plan import Plan, build_plan
from samplers.spec import Shard
from synthgen.config import RunConfig, dump_config
from synthgen.dataset import (
    Lease,
    MarkerIndex,
    ShardKey,
    ShardMarker,
    check_output,
    open_run,
    remove_leftovers,
    write_card,
)
from synthgen.dataset.damage import DamagedShardError
from synthgen.dataset.markers import ShortStratum
from synthgen.dataset.pace import Pace, measure_pace
from synthgen.dataset.strata import total_short
from synthgen.errors import DatasetError, OutputError, RunError

ExecutorName = Literal["ray", "inline"]


@dataclass(frozen=True, slots=True)
class Summary:
    """Outcome of a run.

    Attributes:
        rows: samples in the dataset.
        accepted: those of them whose image keeps the policy.
        missing: samples that have no row; more than 0 means exit code 3.
        errors: those of them whose image could not be made.
        attempts: images made for them, over all runs.
        rejected: reason → rejected images.
        pace: how fast they were made; None if no marker tells.
        short: name of a stratum → what it lacks, for each that lacks accepted samples.
        empty_splits: which splits got no sample, and what would do; empty where each got some.
    """

    rows: int
    accepted: int
    missing: int
    errors: int
    attempts: int
    rejected: Mapping[str, int]
    pace: Pace | None = field(default=None, compare=False)
    short: Mapping[str, ShortStratum] = field(default_factory=dict)
    empty_splits: str = ""

    @property
    def lacking(self) -> int:
        """Samples without an accepted image, whether they have a row or not."""
        return self.rows - self.accepted + self.missing


def generate(
    config: RunConfig,
    executor: ExecutorName = "ray",
    overwrite: bool = False,
    load: WorkerLoader = load_worker,
    *,
    verify: bool = False,
) -> Summary:
    """Make a dataset whole: begin it, continue it, or extend it.

    Finished shards whose files have changed are made again: those whose size or footer tells it, or
    with `verify` their checksum, before work begins, and those that the card cannot count after it.

    Args:
        config: the configuration; the dataset is a function of it.
        executor: `ray`, or `inline` for this process.
        overwrite: delete what an earlier run wrote and begin anew.
        load: loads each worker.
        verify: compare the checksums of all finished shards before work.

    Raises:
        ConfigError: if the configuration asks for what cannot be.
        OutputError: if the output is not ours, holds another dataset, or is written by another run.
        WeightsError: if weights are missing or do not fit.
        RunError: if the run ended before the dataset was whole.
    """
    try:
        return _generate(config, executor, overwrite, load, verify)
    except DamagedShardError as damage:
        if verify:
            raise RunError(f"{damage}; it was whole when the run began") from damage
        # One shard is told; all are looked for, so that one more run mends them.
        return generate(config, executor, load=load, verify=True)


def _generate(
    config: RunConfig, executor: ExecutorName, overwrite: bool, load: WorkerLoader, verify: bool
) -> Summary:
    storage = reached_output(config)
    config = as_begun(config, storage, overwrite=overwrite)
    check_components(config)
    plan = build_plan(config)
    refuse_unserved(plan)
    check_room(config, executor)
    check_output(storage, config.identity(), config.samples, overwrite=overwrite)
    lease = Lease(storage, overwrite=overwrite)
    lease.look()
    shards = list(plan.shards())
    with ExitStack() as held:
        with _start(config, plan, executor, load) as running:
            if load is load_worker:
                check_before_run(absolute_paths(config), executor)
            if config.pipeline.batch_size == "auto":
                config = with_batch_size(config, running.probe())
            record = make_record(config, plan, running.fingerprint())
            held.enter_context(lease)
            markers = open_run(
                storage,
                record,
                dump_config(config),
                shards,
                overwrite=overwrite,
                mixed_hardware=config.cluster.mixed_hardware,
                verify=verify,
            )
            held.enter_context(_continuable(markers, len(shards)))
            _work(config, plan, running, shards, markers, lease, MarkerIndex(storage))
        lease.confirm()
        remove_leftovers(storage)
        write_card(storage)
    return replace(summarise(markers.values()), empty_splits=plan.empty_splits)


def summarise(markers: Iterable[ShardMarker]) -> Summary:
    """Add up the markers of a dataset."""
    markers = list(markers)
    rejected: Counter[str] = Counter()
    for marker in markers:
        rejected.update(marker.rejected)
    return Summary(
        rows=sum(marker.rows for marker in markers),
        accepted=sum(marker.accepted for marker in markers),
        missing=sum(len(marker.missing) for marker in markers),
        errors=sum(marker.errors for marker in markers),
        attempts=sum(marker.attempts for marker in markers),
        rejected=dict(rejected),
        pace=measure_pace(markers),
        short=total_short(markers),
    )


def _start(config: RunConfig, plan: Plan, executor: ExecutorName, load: WorkerLoader) -> Executor:
    if executor == "inline":
        return InlineExecutor(config, plan, load)
    from cluster.actors import RayExecutor

    return RayExecutor(absolute_paths(config), load, plan.run_id)


def _work(
    config: RunConfig,
    plan: Plan,
    executor: Executor,
    shards: Sequence[Shard],
    markers: dict[ShardKey, ShardMarker],
    lease: Lease,
    index: MarkerIndex,
) -> None:
    """Work the shards that have no marker, and add their markers."""
    todo = [shard for shard in shards if (shard.split, shard.number) not in markers]
    fuse = RunFuse(config.verify.fuse, plan, shards)
    if todo:
        fuse.committed(markers.values())
    kept = sum(marker.rows for marker in markers.values())
    with Progress(config.samples, len(shards), config.cluster.log_format) as progress:
        progress.start(kept, len(markers))

        def committed(marker: ShardMarker) -> None:
            markers[marker.key] = marker
            progress.committed(marker)
            index.keep(markers)
            fuse.committed([marker])

        def tick(counts: dict[str, int]) -> None:
            lease.check()
            progress.tick(counts)

        schedule = Schedule(todo, config.cluster.max_failures)
        executor.run(schedule, committed, tick)
        if schedule.blown is not None:
            raise schedule.blown
    index.keep(markers, last=True)


@contextmanager
def _continuable(markers: Mapping[ShardKey, ShardMarker], shards: int) -> Iterator[None]:
    """Turn a failing output into the end of a run that is begun and not whole: exit code 3.

    Exit code 2 would say that nothing was done.
    """
    try:
        yield
    except DamagedShardError:
        raise  # it is made again
    except (OutputError, DatasetError) as error:
        raise RunError(
            f"{error}; {len(markers)} of {shards} shards are committed: mend this, and run again "
            "to continue"
        ) from error
