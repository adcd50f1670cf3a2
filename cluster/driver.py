"""The run: what is there already, what is left to do, and the card at the end."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from cluster.anchoring import anchored
from cluster.executors import Executor, InlineExecutor
from cluster.loading import WorkerLoader, load_worker
from cluster.progress import Progress
from cluster.records import make_record
from cluster.schedule import Schedule
from pipelines.loading import check_pipeline
from samplers.plan import Plan, build_plan
from samplers.spec import Shard
from synthgen.config import RunConfig, dump_config
from synthgen.dataset import (
    ShardMarker,
    Storage,
    check_output,
    open_run,
    read_markers,
    write_card,
)

ExecutorName = Literal["ray", "inline"]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run left behind.

    Attributes:
        rows: samples in the dataset.
        accepted: those of them whose image keeps the policy.
        missing: samples that were dropped.
        errors: samples whose image could not be made; more than 0 means exit code 3.
        attempts: images made for them, over all runs.
        rejected: reason → rejected images.
    """

    rows: int
    accepted: int
    missing: int
    errors: int
    attempts: int
    rejected: Mapping[str, int]


def generate(
    config: RunConfig,
    executor: ExecutorName = "ray",
    overwrite: bool = False,
    load: WorkerLoader = load_worker,
) -> Summary:
    """Make a dataset whole: begin it, continue it, or extend it.

    Args:
        config: the configuration; the dataset is a function of it.
        executor: `ray`, or `inline` for this process.
        overwrite: delete what an earlier run wrote and begin anew.
        load: loads each worker.

    Raises:
        ConfigError: if the configuration asks for what cannot be.
        OutputError: if the output is not ours, or holds another dataset.
        WeightsError: if weights are missing or do not fit.
        RunError: if the run ended before the dataset was whole.
    """
    plan = build_plan(config)
    check_pipeline(config)
    storage = Storage(config.output.path)
    check_output(storage, config.identity(), config.samples, overwrite=overwrite)
    with _start(config, plan, executor, load) as running:
        record = make_record(config, plan, running.fingerprint())
        shards = list(plan.shards())
        finished = open_run(storage, record, dump_config(config), shards, overwrite=overwrite)
        markers = read_markers(storage)
        _work(config, running, shards, [markers[key] for key in finished])
    write_card(storage)
    return summarise(read_markers(storage).values())


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
    )


def _start(config: RunConfig, plan: Plan, executor: ExecutorName, load: WorkerLoader) -> Executor:
    if executor == "inline":
        return InlineExecutor(config, plan, load)
    from cluster.actors import RayExecutor

    return RayExecutor(anchored(config), load)


def _work(
    config: RunConfig, executor: Executor, shards: list[Shard], finished: list[ShardMarker]
) -> None:
    done = {marker.key for marker in finished}
    todo = [shard for shard in shards if (shard.split, shard.number) not in done]
    kept = sum(marker.rows for marker in finished)
    with Progress(config.samples, len(shards)) as progress:
        progress.start(kept, len(done))
        schedule = Schedule(todo, config.cluster.max_failures)
        executor.run(schedule, progress.committed, progress.tick)
