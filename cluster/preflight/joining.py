"""Join the cluster that is to be looked at, if there is one."""

import contextlib
import sys
from collections.abc import Iterator

from cluster.addresses import LOCAL, meant


@contextlib.contextmanager
def joined(address: str | None) -> Iterator[bool]:
    """Join a Ray cluster while the block runs; yield whether there is one.

    Args:
        address: of the cluster; None: what `RAY_ADDRESS` says, as inside a job.

    Raises:
        ConfigError: if no cluster answers, or it asks for a token.
    """
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        yield True
        return
    found = meant(address, "--address or cluster.address")
    if found.text == LOCAL:
        yield False
        return
    from cluster.connection import join

    join(found)
    import ray

    try:
        yield True
    finally:
        ray.shutdown()
