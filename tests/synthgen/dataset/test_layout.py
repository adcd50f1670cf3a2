import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthgen.dataset import layout

SPLITS = st.from_regex(r"[a-z_][a-z_0-9]{0,8}", fullmatch=True)
NUMBERS = st.integers(0, 10**7)


@given(SPLITS, NUMBERS)
def test_names_of_shards_are_read_back(split, number):
    for name in (layout.data_file, layout.reject_file, layout.marker_file):
        assert layout.shard_of(name(split, number)) == (split, number)
        assert layout.is_ours(name(split, number))


@given(SPLITS, NUMBERS)
def test_temporary_files_are_ours_and_not_shards(split, number):
    name = layout.temporary_file(layout.data_file(split, number), "0123456789abcdef")
    assert name.startswith("data/.tmp-")
    assert layout.is_temporary(name)
    assert layout.is_ours(name)
    assert layout.shard_of(name) is None


def test_names_are_those_of_the_design():
    assert layout.data_file("train", 7) == "data/train-00007.parquet"
    assert layout.reject_file("train", 7) == "rejects/train-00007.parquet"
    assert layout.marker_file("train", 7) == ".synthgen/shards/train-00007.json"
    assert layout.CARD == "README.md"
    assert layout.RUN == ".synthgen/run.json"
    assert layout.CONFIG == ".synthgen/config.yaml"


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "data/train.parquet",
        "data/train-7.parquet",
        "data/train-000007.parquet",
        "data/train-00007.json",
        "train-00007.parquet",
        "other/train-00007.parquet",
        "data/sub/train-00007.parquet",
        "data/.tmp-train-00007.parquet",
        "data/.tmp-0123456789abcdef-notes.txt",
        ".tmp-0123456789abcdef-train-00007.parquet",
        "assets/mine.png",
    ],
)
def test_other_names_are_not_ours(name):
    assert not layout.is_ours(name)
