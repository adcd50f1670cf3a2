"""What an actor takes of a cluster's resources; knows no Ray."""

from collections.abc import Mapping

from synthgen.config import RunConfig
from synthgen.errors import ConfigError


def gpus_per_actor(config: RunConfig, resources: Mapping[str, float]) -> float:
    """Return how many GPUs an actor takes.

    With `auto`, one where the cluster has any and the pipeline is a model; drawn portraits need
    none. A fraction lets several actors share a GPU whose memory holds as many pipelines.

    Args:
        config: the run.
        resources: name → amount over the whole cluster.

    Raises:
        ConfigError: if the configuration asks for more than one GPU and a part of another.
    """
    asked = config.cluster.gpus_per_actor
    if asked == "auto":
        needs_model = config.pipeline.name != "procedural"
        return 1.0 if needs_model and resources.get("GPU", 0) else 0.0
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
