"""`pipeline.batch_size: auto`: a number that a run takes once and then keeps."""

from synthgen.config import RunConfig
from synthgen.dataset import Storage, layout, read_record


def frozen(config: RunConfig, size: int) -> RunConfig:
    """Return a configuration whose batches have a number of images."""
    pipeline = config.pipeline.model_copy(update={"batch_size": size})
    return config.model_copy(update={"pipeline": pipeline})


def settled(config: RunConfig, storage: Storage) -> RunConfig:
    """Return the configuration with the batch size that a begun run has taken.

    Args:
        config: the configuration.
        storage: where its dataset lies, or will lie.

    Returns:
        The configuration as it is where its batch size is a number or nothing was begun.

    Raises:
        DatasetError: if the record of what was begun is corrupt.
    """
    if config.pipeline.batch_size != "auto" or not storage.exists(layout.RUN):
        return config
    stored = read_record(storage).configuration.get("pipeline", {}).get("batch_size")
    return frozen(config, stored) if isinstance(stored, int) else config
