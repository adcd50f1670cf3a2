"""A configuration made definite: absolute paths, output, batch size, an actor's resources."""

import os
from collections.abc import Mapping
from pathlib import Path

from synthgen.config import RunConfig
from synthgen.config.base import Section
from synthgen.dataset import RetryPolicy, Storage, layout, reached, read_record
from synthgen.errors import ConfigError

IN_JOB = "SYNTHGEN_IN_JOB"
"""Variable that is set in a job: there each process works in its node's copy of the job's folder,
which need not lie at the same place on all nodes."""


def absolute_paths(config: RunConfig) -> RunConfig:
    """Make local paths absolute: an actor may have another working directory.

    In a job they stay as they are.
    """
    if os.environ.get(IN_JOB):
        return config
    found = _with_absolute_files(config)
    path = config.output.path
    if "://" in path:
        return found
    # fsspec takes `~` for the home folder, pathlib does not.
    absolute = str(Path(path).expanduser().absolute())
    output = config.output.model_copy(update={"path": absolute})
    return found.model_copy(update={"output": output})


def _with_absolute_files(config: RunConfig) -> RunConfig:
    expressions = config.expressions.with_absolute_paths()
    if expressions.flame is not None:
        flame = expressions.flame.with_absolute_paths()
        expressions = expressions.model_copy(update={"flame": flame})
    changed: dict[str, Section] = {
        "expressions": expressions,
        "identities": config.identities.with_absolute_paths(),
    }
    changed["verify"] = config.verify.with_absolute_paths()
    return config.model_copy(update=changed)


def output_storage(config: RunConfig) -> Storage:
    """Open the output of a run; nothing is asked and nothing is written.

    Raises:
        OutputError: if `output.path` is on no store of datasets.
        MissingDependencyError: if it needs a package that is not installed.
    """
    return Storage(config.output.path, _patience(config))


def reached_output(config: RunConfig) -> Storage:
    """Open the output of a run that is about to begin; its store must answer within seconds.

    Raises:
        OutputError: as `output_storage`, and if the store does not answer or refuses.
        MissingDependencyError: as `output_storage`.
    """
    return reached(config.output.path, _patience(config))


def _patience(config: RunConfig) -> RetryPolicy:
    return RetryPolicy(config.cluster.storage_patience)


def with_batch_size(config: RunConfig, size: int) -> RunConfig:
    """Return a configuration whose batches have a number of images."""
    pipeline = config.pipeline.model_copy(update={"batch_size": size})
    return config.model_copy(update={"pipeline": pipeline})


def as_begun(config: RunConfig, storage: Storage, *, overwrite: bool = False) -> RunConfig:
    """Return the configuration with what a begun run has taken where it says `auto`.

    Args:
        config: the configuration.
        storage: where its dataset lies, or will lie.
        overwrite: whether what was begun there counts for nothing.

    Returns:
        The configuration with `output.mark` true or false; its batch size stays `auto` where
        nothing was begun.

    Raises:
        DatasetError: if the record of what was begun is corrupt.
    """
    asks = config.pipeline.batch_size == "auto" or config.output.mark == "auto"
    begun = asks and not overwrite and storage.exists(layout.RUN)
    if not begun:
        return _with_mark(config, config.output.marked)
    stored = read_record(storage).configuration
    if config.output.mark == "auto":
        # Versions that knew no marks stored no such key.
        config = _with_mark(config, stored.get("output", {}).get("mark") is True)
    size = stored.get("pipeline", {}).get("batch_size")
    if config.pipeline.batch_size == "auto" and isinstance(size, int):
        return with_batch_size(config, size)
    return config


def _with_mark(config: RunConfig, mark: bool) -> RunConfig:
    output = config.output.model_copy(update={"mark": mark})
    return config.model_copy(update={"output": output})


def gpus_per_actor(config: RunConfig, resources: Mapping[str, float]) -> float:
    """Return how many GPUs an actor takes.

    With `auto`, one where the cluster has any and the pipeline uses it; drawn portraits do not. A
    fraction lets several actors share a GPU whose memory holds as many pipelines.

    Args:
        config: the run.
        resources: name → amount over the whole cluster.

    Raises:
        ConfigError: if the configuration asks for more than one GPU and a part of another.
    """
    asked = config.cluster.gpus_per_actor
    if asked == "auto":
        return 1.0 if config.pipeline.uses_gpu and resources.get("GPU", 0) else 0.0
    if asked > 1 and not float(asked).is_integer():
        raise ConfigError(
            f"cluster.gpus_per_actor is {asked:g}: several actors can share a GPU (0.5), but an "
            "actor of more than one takes whole GPUs (1, 2, …)"
        )
    return float(asked)


def actors_on(resources: Mapping[str, float], cpus: int, gpus: float) -> int:
    """Return how many actors a node has room for when nothing else runs there.

    Args:
        resources: name → amount of the node.
        cpus: CPUs that an actor takes.
        gpus: GPUs that an actor takes.
    """
    room = int(resources.get("CPU", 0) / cpus)
    # A third of a GPU is taken three times, whatever its binary digits are.
    return min(room, int(resources.get("GPU", 0) / gpus + 1e-6)) if gpus else room
