import io

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_dataset import SCHEMA, make_reject, make_row

from synthgen.action_units import AU_COUNT
from synthgen.dataset import Storage, parquet
from synthgen.dataset.parquet import encode_rejects, encode_rows, read_columns
from synthgen.dataset.schema import DatasetSchema
from synthgen.errors import DatasetError

INTENSITIES = st.lists(st.floats(-10, 10, width=32), min_size=AU_COUNT, max_size=AU_COUNT).map(
    tuple
)


def _read(data):
    return pq.read_table(io.BytesIO(data)).to_pylist()


@settings(max_examples=25)
@given(INTENSITIES, st.none() | INTENSITIES, st.integers(0, 2**63 - 1), st.text(max_size=20))
def test_values_are_read_back(aus, measured, seed, prompt):
    row = make_row(5, aus=aus, aus_measured=measured, seed=seed, prompt=prompt)
    (found,) = _read(encode_rows(SCHEMA, [row], "train"))
    assert found["aus"] == list(aus)
    assert found["aus_measured"] == ([None] * AU_COUNT if measured is None else list(measured))
    assert found["seed"] == seed
    assert found["prompt"] == prompt
    assert found["image"] == {"bytes": row.image, "path": "sample-00000005.png"}
    assert found["emotion"] == 1
    assert found["identity"] == {"age": "old", "hair": "red"}


def test_rejects_are_read_back():
    (found,) = _read(encode_rejects(SCHEMA, [make_reject(2)], "train"))
    assert found["reason"] == "no_face"
    assert found["detail"] == "no face was found"
    assert found["aus_measured"] == [None] * AU_COUNT
    assert found["active_error"] is None


def test_equal_rows_give_equal_bytes():
    rows = [make_row(index) for index in range(7)]
    assert encode_rows(SCHEMA, rows, "train") == encode_rows(SCHEMA, tuple(rows), "train")
    assert encode_rows(SCHEMA, rows, "train") != encode_rows(SCHEMA, rows[::-1], "train")


def test_no_rows_give_a_file_with_the_columns():
    table = pq.read_table(io.BytesIO(encode_rows(SCHEMA, [], "train")))
    assert table.num_rows == 0
    assert table.schema.names[0] == "sample_id"


def test_a_category_that_the_schema_lacks_is_a_defect():
    with pytest.raises(ValueError, match="not in tuple"):
        encode_rows(DatasetSchema(("sad",), (), "png"), [make_row(0)], "train")


def test_images_are_kept_as_they_are_and_the_rest_is_compressed():
    metadata = pq.read_metadata(io.BytesIO(encode_rows(SCHEMA, [make_row(0)], "train")))
    for number in range(metadata.num_columns):
        column = metadata.row_group(0).column(number)
        image = column.path_in_schema == "image.bytes"
        assert column.compression == ("UNCOMPRESSED" if image else "ZSTD")
        assert column.has_offset_index
        assert column.has_column_index != image


def test_row_groups_keep_both_bounds(monkeypatch):
    def groups(rows):
        metadata = pq.read_metadata(io.BytesIO(encode_rows(SCHEMA, rows, "train")))
        return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]

    rows = [make_row(0, image=b"12345678")] * 601
    assert groups(rows) == [250, 250, 101]
    monkeypatch.setattr(parquet, "BYTES_PER_GROUP", 20)
    assert groups(rows[:5]) == [2, 2, 1]
    monkeypatch.setattr(parquet, "BYTES_PER_GROUP", 4)
    assert groups(rows[:3]) == [1, 1, 1]


def test_columns_are_read_alone_and_in_batches(tmp_path):
    storage = Storage(str(tmp_path))
    rows = [make_row(index) for index in range(5)]
    storage.write("a.parquet", encode_rows(SCHEMA, rows, "train"))
    batches = list(read_columns(storage, "a.parquet", ["seed"], batch_rows=2))
    assert [batch.num_rows for batch in batches] == [2, 2, 1]
    assert batches[0].schema.names == ["seed"]


def test_what_cannot_be_read_is_named(tmp_path):
    storage = Storage(str(tmp_path))
    storage.write("bad.parquet", b"PAR1 is not enough")
    storage.write("good.parquet", encode_rows(SCHEMA, [], "train"))
    with pytest.raises(DatasetError, match=r"^bad\.parquet is not readable Parquet: "):
        list(read_columns(storage, "bad.parquet"))
    with pytest.raises(DatasetError, match=r"^good\.parquet has no column happiness$"):
        list(read_columns(storage, "good.parquet", ["seed", "happiness"]))
