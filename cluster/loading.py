"""Load a worker from the configuration, the same way inline and in an actor."""

from collections.abc import Callable

from cluster.output import output_storage
from cluster.worker import Worker
from pipelines.faceid.verifier import IdentityVerifier
from pipelines.loading import (
    check_pipeline,
    check_spec,
    fix_arithmetic,
    hardware_kind,
    load_source,
    load_verifier,
    pick_device,
    prepare_source,
)
from samplers.plan import Plan
from synthgen.config import FaceIdConfig, FineFaceConfig, PipelineConfig, RunConfig

WorkerLoader = Callable[[RunConfig, Plan], Worker]
"""Loads a worker in its process; an actor's is pickled by value, so that it may be any callable."""


def load_worker(config: RunConfig, plan: Plan) -> Worker:
    """Load the pipeline and the verifier of a configuration on this process's device.

    What is compiled is compiled here; where the batch size is yet to be found, by `Worker.probe`.

    Raises:
        SynthgenError: if the configuration, weights or an optional package do not serve.
    """
    check_pipeline(config)
    fix_arithmetic(config.pipeline.threads)
    device = pick_device()
    source = load_source(config.pipeline, device)
    prepare_source(source, config)
    check_spec(source, plan.sample(0))
    worker = Worker(
        config,
        plan,
        source,
        load_verifier(config.verify, device),
        output_storage(config),
        _load_identities(config, plan, device),
        hardware=hardware_kind(device),
    )
    if _compiles(config.pipeline) and config.pipeline.batch_size != "auto":
        worker.warm_up()
    return worker


def _compiles(config: PipelineConfig) -> bool:
    return isinstance(config, FineFaceConfig | FaceIdConfig) and config.compile


def _load_identities(config: RunConfig, plan: Plan, device: str) -> IdentityVerifier | None:
    """Load what compares people, and see that it can compare those of this run."""
    if config.verify.identity is None:
        return None
    verifier = IdentityVerifier.from_config(config.verify.identity, device, config.pipeline.threads)
    verifier.check(plan.sample(0).faceid)
    return verifier
