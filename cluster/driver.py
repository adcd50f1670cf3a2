"""The run: what is there already, what is left to do, and the card at the end."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cluster.executors import Executor, InlineExecutor
from cluster.loading import WorkerLoader, load_worker
from cluster.progress import Progress
from cluster.records import make_record
from cluster.schedule import Schedule
from pipelines.loading import check_pipeline
from samplers.plan import Plan, build_plan
from samplers.spec import Shard
from synthgen.config import FaceIdIdentitiesConfig, RunConfig, dump_config
from synthgen.config.priors.empirical import with_absolute_labels
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

    return RayExecutor(_anchored(config), load)


def _anchored(config: RunConfig) -> RunConfig:
    """Make local paths absolute: an actor may have another working directory."""
    anchored = _with_absolute_stores(with_absolute_labels(config))
    path = config.output.path
    if "://" in path:
        return anchored
    output = config.output.model_copy(update={"path": str(Path(path).absolute())})
    return anchored.model_copy(update={"output": output})


def _with_absolute_stores(config: RunConfig) -> RunConfig:
    changed = {}
    if isinstance(config.identities, FaceIdIdentitiesConfig):
        changed["identities"] = config.identities.with_absolute_store()
    if config.verify.identity is not None:
        identity = config.verify.identity.with_absolute_stores()
        changed["verify"] = config.verify.model_copy(update={"identity": identity})
    return config.model_copy(update=changed)


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
