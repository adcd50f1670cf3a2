"""A quick measurement: the run's own pipeline and verifier on a few batches. Loads torch."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cluster.batches import encode_sample
from cluster.conditions import picture_bytes
from cluster.resolve import gpus_per_actor
from cluster.worker import Worker, load_worker
from samplers.plan import Plan, build_plan
from samplers.spec import Attempt
from synthgen.config import RunConfig


@dataclass(frozen=True, slots=True)
class Measured:
    """Result of a few batches of first attempts.

    Attributes:
        rate: images a second of one worker.
        images: images that were judged.
        accepted: those of them that the policy accepts.
        bytes: mean size of an encoded image, with the picture that it was edited from where that
            is kept [bytes].
        hardware: the accelerator.
        memory: most GPU memory in use [bytes]; None on a CPU.
    """

    rate: float
    images: int
    accepted: int
    bytes: float
    hardware: str
    memory: int | None


_BATCHES = 2
"""Batches that are timed, after one that is not."""


def measure(config: RunConfig, cluster: bool) -> Measured:
    """Measure here, or on a node of the cluster that this process has joined.

    Raises:
        SynthgenError: if the worker cannot be loaded.
    """
    if not cluster:
        return measure_here(config)
    import ray
    from ray.exceptions import RayTaskError

    from cluster.remote import call_remotely

    resources = {
        "num_cpus": config.pipeline.threads,
        "num_gpus": gpus_per_actor(config, ray.cluster_resources()),
    }
    try:
        return ray.get(call_remotely(measure_here, config, max_retries=0, **resources))
    except RayTaskError as error:
        raise error.cause from error


def measure_here(config: RunConfig) -> Measured:
    """Paint and judge three batches in this process; nothing is written.

    On a GPU, judging goes on while the next batch is painted, and the slower of both counts; on a
    CPU they share the core.
    """
    import torch

    plan = build_plan(config)
    worker = load_worker(config, plan)
    size, output = _batch_size(config, worker), config.output
    worker.judge(batch := _batch(plan, size, 0), worker.generate(batch))
    painting = judging = 0.0
    outcomes, encoded = [], []
    for number in range(1, _BATCHES + 1):
        batch = _batch(plan, size, number)
        seconds, images = _timed(lambda batch=batch: worker.generate(batch))
        painting += seconds
        seconds, found = _timed(lambda batch=batch, images=images: worker.judge(batch, images))
        judging += seconds
        outcomes += found
        encoded += [
            len(encode_sample(image, config, attempt.spec)) + picture_bytes(attempt.spec, output)
            for image, attempt in zip(images, batch, strict=True)
        ]
    on_gpu = torch.cuda.is_available()
    return Measured(
        rate=len(outcomes) / (max(painting, judging) if on_gpu else painting + judging),
        images=len(outcomes),
        accepted=sum(outcome.reject is None for outcome in outcomes),
        bytes=sum(encoded) / len(encoded),
        hardware=torch.cuda.get_device_name() if on_gpu else "CPU",
        memory=torch.cuda.max_memory_allocated() if on_gpu else None,
    )


def _batch_size(config: RunConfig, worker: Worker) -> int:
    size = config.pipeline.batch_size
    return size if isinstance(size, int) else worker.probe()


def _batch(plan: Plan, size: int, number: int) -> list[Attempt]:
    """Return first attempts at the samples of a batch; a small run's come again."""
    places = range(number * size, (number + 1) * size)
    return [plan.attempt(plan.sample(place % plan.samples), 0) for place in places]


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    done = work()
    return time.perf_counter() - started, done
