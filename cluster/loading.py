"""Load a worker from the configuration, the same way inline and in an actor."""

from cluster.worker import Worker
from pipelines.loading import (
    check_pipeline,
    fix_arithmetic,
    load_source,
    load_verifier,
    pick_device,
)
from samplers.plan import Plan
from synthgen.config import RunConfig
from synthgen.dataset import Storage


def load_worker(config: RunConfig, plan: Plan) -> Worker:
    """Load the pipeline and the verifier of a configuration on this process's device.

    Raises:
        SynthgenError: if the configuration, weights or an optional package do not serve.
    """
    check_pipeline(config)
    fix_arithmetic(config.pipeline.threads)
    device = pick_device()
    return Worker(
        config,
        plan,
        load_source(config.pipeline, device),
        load_verifier(config.verify, device),
        Storage(config.output.path),
    )
