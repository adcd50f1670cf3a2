"""The different rows of a label file with their weights, gathered piece by piece."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Float64

from samplers.priors.labels import LabelBatch
from synthgen.action_units import AU_COUNT, AUS
from synthgen.errors import LabelsError

MAX_ROWS = 2**20
"""Most different rows that are kept [48 bytes each]."""

_PENDING_ROWS = 2**18
"""Rows that wait before they are put together with the others."""

_WEIGHT = "weight"


def unique_rows(
    batches: Iterator[LabelBatch], where: str
) -> tuple[Float32[np.ndarray, "rows aus"], Float64[np.ndarray, " rows"]]:
    """Put equal rows together.

    Args:
        batches: the rows.
        where: name of the labels, for messages.

    Returns:
        The different rows of a weight above 0 in lexicographic order, and their weights.

    Raises:
        LabelsError: if no row is left, or more than `MAX_ROWS` different ones are.
    """
    gathered = _table(np.zeros((0, AU_COUNT), np.float32), np.zeros(0))
    pending: list[pa.Table] = []
    for batch in batches:
        pending.append(_table(batch.intensities, batch.weights))
        if sum(table.num_rows for table in pending) >= _PENDING_ROWS:
            gathered, pending = _together(gathered, pending, where), []
    return _sorted(_together(gathered, pending, where), where)


def _together(gathered: pa.Table, pending: list[pa.Table], where: str) -> pa.Table:
    table = pa.concat_tables([gathered, *pending])
    groups = table.group_by(list(AUS), use_threads=False).aggregate([(_WEIGHT, "sum")])
    if groups.num_rows > MAX_ROWS:
        raise LabelsError(
            f"{where} holds more than {MAX_ROWS} different rows; choose fewer with where, or fit "
            "a prior to them with: synthgen prior fit"
        )
    return groups.rename_columns([*AUS, _WEIGHT])


def _table(
    rows: Float32[np.ndarray, "rows aus"], weights: Float64[np.ndarray, " rows"]
) -> pa.Table:
    # By their bits, so that they are put together exactly; + 0 makes one zero of both.
    bits = (rows[weights > 0] + np.float32(0)).view(np.int32)
    columns = {name: np.ascontiguousarray(bits[:, place]) for place, name in enumerate(AUS)}
    return pa.table({**columns, _WEIGHT: weights[weights > 0]})


def _sorted(
    table: pa.Table, where: str
) -> tuple[Float32[np.ndarray, "rows aus"], Float64[np.ndarray, " rows"]]:
    if not table.num_rows:
        raise LabelsError(f"no row of {where} is left to draw from")
    bits = np.column_stack([table.column(name).to_numpy() for name in AUS])
    order = np.lexsort(bits.T[::-1])
    return bits[order].view(np.float32), table.column(_WEIGHT).to_numpy()[order]
