"""Weights that a run needs on a machine: presence, licences, sizes, and memory of a worker.

The rule: weights at the pipeline's number format, 0.7 GB for the process, for each image of a batch
1.25 times what the pipeline says that it takes while it is made, and what the checks say that
measuring a batch takes. Without a GPU, the pictures themselves lie in the
same memory: the batch that is measured and the one that is painted meanwhile.

Nothing is fetched and no torch is loaded. The Hub is asked only for what is not here.
"""

from collections.abc import Callable

from pipelines.hub import NotFetchedError, trouble_with
from pipelines.loading import weight_finders
from synthgen.config import RunConfig
from synthgen.config.base import Weights
from synthgen.errors import MissingDependencyError, WeightsError

PROCESS = 700 << 20
"""Memory of a process besides weights and pictures: CUDA's context, libraries [bytes]."""

ALLOWANCE = 1.25
"""For an allocator's gaps and the work space of convolutions."""


def worker_memory(config: RunConfig, weights: Weights, on_gpu: bool = False) -> int | None:
    """Return what a worker needs where it computes [bytes].

    None where the weights are not there, or the batch size is found out by trying.
    """
    if (least := least_memory(config, weights, on_gpu)) is None:
        return None
    return least + PROCESS + int(_batch(config) * _painting(config, weights) * (ALLOWANCE - 1))


def least_memory(config: RunConfig, weights: Weights, on_gpu: bool = False) -> int | None:
    """Return what a worker cannot do without [bytes]: the rule without what is allowed for.

    None where `worker_memory` is.
    """
    if not isinstance(config.pipeline.batch_size, int) or weights.problems or weights.unfetched:
        return None
    batch = _batch(config)
    pictures = 0.0 if on_gpu else _pictures(config, weights)
    measured = sum(check.working_memory(batch) for check in config.verify.checks)
    return weights.bytes + int(batch * (_painting(config, weights) + pictures)) + measured


def _batch(config: RunConfig) -> int:
    return config.pipeline.fixed_batch_size


def _painting(config: RunConfig, weights: Weights) -> int:
    """Return the working memory of an image's painting [bytes]."""
    return config.pipeline.working_memory(weights)


def _pictures(config: RunConfig, weights: Weights) -> float:
    """Return what an image takes until it is judged [bytes]: it and one of the next batch."""
    size = config.pipeline.image_size(weights)
    return 2 * 3.0 * size[0] * size[1] if size else 0.0


def find_weights(config: RunConfig) -> Weights:
    """Look for everything that a worker of this run loads; what is missing is said in it."""
    return Weights.joined(_looked_for(find) for find in weight_finders(config))


def _looked_for(find: Callable[[bool], Weights]) -> Weights:
    try:
        return find(False)
    except NotFetchedError as error:
        return _unfetched(error)
    except (WeightsError, MissingDependencyError) as error:
        return Weights(problems=(str(error),))


def _unfetched(error: NotFetchedError) -> Weights:
    if trouble := trouble_with(error.repo, error.revision):
        return Weights(problems=(f"{error}, but {trouble}",))
    return Weights(unfetched=(str(error),))
