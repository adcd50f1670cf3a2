"""What runs in an actor's process: a loaded worker."""

import os
from typing import Any

import ray

from cluster.loading import WorkerLoader
from cluster.logs import log_to_session
from cluster.worker import Worker
from samplers.plan import build_plan
from samplers.spec import Shard
from synthgen.config import RunConfig
from synthgen.dataset import ShardMarker


class WorkerActor:
    """A worker in a process of its own; `load` comes first.

    Actors of one node share the reading of their weights: safetensors files are mapped, so that the
    node's page cache holds each once; an actor has a copy of its own only on its device, or of what
    it changes (another number format, a fused LoRA).
    """

    def __init__(self, config: RunConfig, load: WorkerLoader, run_id: str | None = None) -> None:
        self._config = config
        self._load = load
        self._run_id = run_id
        self._worker: Worker | None = None

    def where(self) -> str:
        """Return the id of the node; it answers as soon as the actor has a place."""
        return ray.get_runtime_context().get_node_id()

    def load(self) -> dict[str, Any]:
        """Load the worker and return its fingerprint; a method, so that its errors keep type."""
        log_to_session(self._config.cluster.log_format)
        _see_own_gpus_only()
        self._worker = self._load(self._config, build_plan(self._config, self._run_id))
        return self._worker.fingerprint()

    def probe(self) -> int:
        """Find the batch size that the worker goes on with; see `Worker.probe`."""
        return self._loaded().probe()

    def work(self, shard: Shard, isolate: bool) -> ShardMarker:
        """Make a shard whole and commit it; see `Worker.work`."""
        return self._loaded().work(shard, isolate)

    def counts(self) -> dict[str, int]:
        """Return the images judged and accepted so far."""
        return self._loaded().counts()

    def _loaded(self) -> Worker:
        if self._worker is None:
            raise RuntimeError("the actor was asked for work before it was loaded")
        return self._worker


def _see_own_gpus_only() -> None:
    """Hide the GPUs from an actor that asked for none: Ray leaves them all visible to it."""
    if not ray.get_runtime_context().get_accelerator_ids().get("GPU"):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
