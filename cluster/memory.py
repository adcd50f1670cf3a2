"""Out of memory on the device: the run ends and says which batch size to set."""

import contextlib
from collections.abc import Iterator

from pipelines.device_memory import is_out_of_memory
from synthgen.errors import RunError


@contextlib.contextmanager
def naming_batch_size(size: int, doing: str) -> Iterator[None]:
    """Turn a lack of memory into an error that a user can mend.

    A smaller batch is not taken silently: its shape decides bits.

    Args:
        size: images of the batch.
        doing: what is done to them: `paint` or `measure`.

    Raises:
        RunError: if the device's memory is exhausted.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        mend = (
            f"set pipeline.batch_size: {size // 2}"
            if size > 1
            else "take a device with more memory, a smaller pipeline.dtype, or smaller images"
        )
        raise RunError(
            f"the device has not enough memory to {doing} a batch at pipeline.batch_size {size}; "
            f"{mend}"
        ) from error
