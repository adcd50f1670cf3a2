"""A picture of a dataset's first samples, with what was asked for and found under each."""

import io

from PIL import Image

from synthgen.action_units import ActionUnitSet
from synthgen.dataset import layout
from synthgen.dataset.damage import DamagedShardError, changed_files
from synthgen.dataset.markers import ShardMarker
from synthgen.dataset.marks.containers import read_mark
from synthgen.dataset.marks.xmp import Mark
from synthgen.dataset.parquet import read_columns
from synthgen.dataset.run_record import RunRecord
from synthgen.dataset.schema import AUS_MEASURED
from synthgen.dataset.sheet import contact_sheet, encode_png
from synthgen.dataset.storage import Storage

_PICTURES = 12


def sample_sheet(storage: Storage, record: RunRecord, markers: list[ShardMarker]) -> bytes | None:
    """Draw the first samples of the first shard that has rows, in `train` if there are any.

    Flipped bytes may still be a picture, of something else, so the checksum is compared first.
    """
    filled = [marker for marker in markers if marker.rows]
    if not filled:
        return None
    first = min(filled, key=lambda marker: (marker.split != "train", marker.key))
    if problems := changed_files(storage, first):
        raise DamagedShardError(first, problems)
    name = layout.data_file(*first.key)
    aus = ActionUnitSet(record.schema.aus)
    measured = [AUS_MEASURED] if record.schema.has(AUS_MEASURED) else []
    columns = ["image", "aus", *measured]
    rows = next(read_columns(storage, name, columns, batch_rows=_PICTURES)).to_pylist()
    images = [Image.open(io.BytesIO(row["image"]["bytes"])) for row in rows]
    captions = [
        "\n".join(
            [f"asked {aus.describe(row['aus'])}", *(_found(aus, row[name]) for name in measured)]
        )
        for row in rows
    ]
    # A sheet is of the same origin as its pictures; of several, of the first one's.
    mark = read_mark(rows[0]["image"]["bytes"])
    return encode_png(contact_sheet(images, captions), mark and Mark(mark.source))


def _found(names: ActionUnitSet, aus: list[float | None]) -> str:
    if None in aus:
        return "no face found"
    return f"found {names.describe([value if value and value >= 0.5 else 0.0 for value in aus])}"
