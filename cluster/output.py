"""Where a run writes, with the patience that its configuration asks for."""

from synthgen.config import RunConfig
from synthgen.dataset import Patience, Storage, reached


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


def _patience(config: RunConfig) -> Patience:
    return Patience(config.cluster.storage_patience)
