import pytest
from tiny_dataset import make_dataset, make_row

from synthgen.dataset import layout, sample_rows
from synthgen.errors import MissingFileError

TRAIN = layout.data_file("train", 1)


def test_a_sample_is_found_by_its_id(tmp_path):
    (row,) = sample_rows(make_dataset(str(tmp_path)), TRAIN, "sample-00000005")
    expected = make_row(5)
    assert row["seed"] == expected.seed
    assert row["aus"] == list(expected.aus)
    assert row["image"] == {"bytes": expected.image, "path": "sample-00000005.png"}


def test_a_sample_that_is_not_in_the_file_has_no_rows(tmp_path):
    assert sample_rows(make_dataset(str(tmp_path)), TRAIN, "sample-99999999") == []


def test_a_file_that_is_not_there_is_named(tmp_path):
    storage = make_dataset(str(tmp_path))
    with pytest.raises(MissingFileError) as caught:
        sample_rows(storage, "data/train-00099.parquet", "sample-00000005")
    assert str(caught.value) == f"data/train-00099.parquet is missing in {tmp_path}"
