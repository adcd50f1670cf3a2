"""Join the Ray cluster of a run."""

import os
from typing import Any

import ray

from synthgen.config import RunConfig
from synthgen.errors import ConfigError


def connect(config: RunConfig) -> bool:
    """Join the cluster that is meant; return whether this process has to leave it again.

    Raises:
        ConfigError: if no cluster answers at the address.
    """
    if ray.is_initialized():
        return False
    # A job's driver finds its cluster in RAY_ADDRESS. Without either, a local Ray of our own:
    # ray.init() without an address may attach to somebody else's cluster.
    address = config.cluster.address or os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        options["include_dashboard"] = False
    try:
        ray.init(address=address, **options)
    except ConnectionError as error:
        raise ConfigError(f"cluster.address: no Ray cluster answers at {address!r}") from error
    return True
