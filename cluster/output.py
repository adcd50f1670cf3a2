"""Where a run writes, with the patience that its configuration asks for."""

from synthgen.config import RunConfig
from synthgen.dataset import Patience, Storage


def output_storage(config: RunConfig) -> Storage:
    """Open the output of a run; nothing is written.

    Raises:
        OutputError: if the protocol of `output.path` is not known.
        MissingDependencyError: if it needs a package that is not installed.
    """
    return Storage(config.output.path, Patience(config.cluster.storage_patience))
