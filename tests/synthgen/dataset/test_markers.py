import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_dataset import PLAN, SCHEMA, make_result

from synthgen.dataset import FileStamp, ShardMarker, Storage, commit_shard, read_markers
from synthgen.dataset.markers import ShortStratum, parse_marker
from synthgen.errors import DatasetError

NAME = ".synthgen/shards/train-00003.json"
COUNTS = st.integers(0, 10**9)


def _marker(**changes):
    values = {
        "split": "train",
        "number": 3,
        "start": 12,
        "stop": 16,
        "rows": 3,
        "attempts": 9,
        "accepted": 3,
        "rejected": {"inactive": 4, "no_face": 1},
        "errors": 1,
        "missing": ("sample-00000015",),
        "seconds": {"paint": 0.5},
        "files": {
            "data/train-00003.parquet": FileStamp("0" * 64, 10),
            "rejects/train-00003.parquet": FileStamp("1" * 64, 20),
        },
        "started": "2026-11-21T09:00:00.000001+00:00",
        "finished": "2026-11-21T09:00:07.500000+00:00",
        "worker": "node-1:42",
        "hardware": "NVIDIA H200",
        "painted": 16,
        "short": {"sad": ShortStratum(asked=2, accepted=1, images=5, rejected={"inactive": 4})},
    }
    return ShardMarker(**{**values, **changes})


@given(COUNTS, COUNTS, st.dictionaries(st.text(max_size=9), COUNTS, max_size=3))
def test_a_marker_is_read_back(attempts, accepted, rejected):
    marker = _marker(attempts=attempts, accepted=accepted, rejected=rejected)
    assert parse_marker(NAME, marker.to_json()) == marker


def test_a_marker_counts_the_rows_of_its_rejects_file():
    assert _marker().rejects == 6
    assert _marker().key == ("train", 3)
    assert _marker().name == NAME


def test_a_marker_from_before_times_were_kept_is_read():
    old = json.loads(_marker().to_json())
    for key in ("started", "finished", "worker", "hardware", "painted", "short"):
        del old[key]
    found = parse_marker(NAME, json.dumps(old).encode())
    later = {"started": "", "finished": "", "worker": "", "hardware": "", "painted": 0, "short": {}}
    assert found == _marker(**later)


def _change(**changes):
    return json.dumps({**json.loads(_marker().to_json()), **changes}).encode()


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "Expecting value: line 1 column 1 (char 0)"),
        (b'{"split": "train"', "Expecting ',' delimiter: line 1 column 18 (char 17)"),
        (b"[]", "it holds a list"),
        (b"{}", "no 'split'"),
        (_change(rows="three"), "rows is 'three'; it must be a whole number from 0"),
        (_change(rows=-1), "rows is -1; it must be a whole number from 0"),
        (_change(rows=2), "2 rows and 1 missing samples do not fill 12 to 16"),
        (_change(number=4), "it says that it is .synthgen/shards/train-00004.json"),
        (_change(files={}), "its files are none"),
        (_change(rejected=[True]), "list index out of range"),
        (_change(started="soon"), "Invalid isoformat string: 'soon'"),
        (
            _change(finished="2026-11-21T09:00:00"),
            "finished is '2026-11-21T09:00:00'; it must be a time with its offset from UTC",
        ),
    ],
)
def test_a_corrupt_marker_is_named(data, cause):
    with pytest.raises(DatasetError) as caught:
        parse_marker(NAME, data)
    assert str(caught.value) == (
        f"marker {NAME} is corrupt ({cause}); `synthgen generate` with the dataset's "
        "configuration makes its shard again"
    )


def test_markers_are_read_in_order_and_other_files_are_passed_over(tmp_path):
    storage = Storage(str(tmp_path))
    markers = [commit_shard(storage, SCHEMA, make_result(shard)) for shard in PLAN]
    storage.write(".synthgen/shards/notes.txt", b"mine")
    storage.write(".synthgen/shards/.tmp-0123456789abcdef-train-00009.json", b"{")
    found = read_markers(storage)
    assert list(found) == [("test", 0), ("train", 0), ("train", 1)]
    assert list(found.values()) == sorted(markers, key=lambda marker: marker.key)
