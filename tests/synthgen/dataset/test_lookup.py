import pytest
from tiny_dataset import make_dataset, make_row

from synthgen.dataset import find_sample
from synthgen.errors import DatasetError


def test_a_sample_is_found_by_its_id(tmp_path):
    row = find_sample(make_dataset(str(tmp_path)), "sample-00000005")
    expected = make_row(5)
    assert row["seed"] == expected.seed
    assert row["aus"] == list(expected.aus)
    assert row["image"] == {"bytes": expected.image, "path": "sample-00000005.png"}


def test_a_sample_that_does_not_exist_is_named(tmp_path):
    storage = make_dataset(str(tmp_path))
    with pytest.raises(DatasetError) as caught:
        find_sample(storage, "sample-99999999")
    assert str(caught.value) == f"{tmp_path} has no sample 'sample-99999999'"
