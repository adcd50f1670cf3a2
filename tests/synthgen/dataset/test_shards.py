import uuid

import pytest
from tiny_dataset import PLAN, SCHEMA, make_reject, make_result, make_row

from synthgen.dataset import Storage, commit_shard, read_markers, verify_shard
from synthgen.dataset.markers import now
from synthgen.errors import OutputError

SHARD = PLAN[0]
DATA, REJECTS = "data/train-00000.parquet", "rejects/train-00000.parquet"
MARKER = ".synthgen/shards/train-00000.json"


class FailingStorage(Storage):
    """A disk that fills up at the n-th change."""

    def __init__(self, url, changes):
        super().__init__(url)
        self.left = changes

    def write(self, name, data):
        self._use()
        super().write(name, data)

    def delete(self, name):
        self._use()
        super().delete(name)

    def _use(self):
        self.left -= 1
        if self.left < 0:
            raise OutputError("the disk is full")


def test_a_marker_tells_what_was_committed(tmp_path):
    storage = Storage(str(tmp_path))
    rejects = [make_reject(0), make_reject(1), make_reject(1, reason="inactive")]
    rejects.append(make_reject(3, reason="error", detail="RuntimeError: out of memory"))
    marker = commit_shard(storage, SCHEMA, make_result(SHARD, rejects=rejects, missing=1))
    assert (marker.split, marker.number, marker.start, marker.stop) == ("train", 0, 0, 4)
    assert (marker.rows, marker.accepted, marker.attempts, marker.errors) == (3, 3, 7, 1)
    assert marker.rejected == {"inactive": 1, "no_face": 2}
    assert marker.missing == ("sample-00000003",)
    assert set(marker.seconds) == {"paint", "write"}
    assert marker.seconds["paint"] == 0.25
    assert {name: stamp.bytes for name, stamp in marker.files.items()} == {
        **storage.sizes("data"),
        **storage.sizes("rejects"),
    }
    assert read_markers(storage) == {("train", 0): marker}
    assert verify_shard(storage, marker) == []


def test_a_marker_tells_when_and_by_whom_the_shard_was_made(tmp_path):
    before = now()
    result = make_result(SHARD, started=before, worker="node-1:42", hardware="CPU")
    marker = commit_shard(Storage(str(tmp_path)), SCHEMA, result)
    assert (marker.started, marker.worker, marker.hardware) == (before, "node-1:42", "CPU")
    assert before < marker.finished < now()


def test_rows_that_miss_the_policy_are_not_counted_as_accepted(tmp_path):
    rows = [make_row(index, accepted=index != 2) for index in range(4)]
    marker = commit_shard(Storage(str(tmp_path)), SCHEMA, make_result(SHARD, rows=rows))
    assert (marker.rows, marker.accepted) == (4, 3)


def test_equal_results_give_equal_files_everywhere(tmp_path):
    urls = [str(tmp_path / "a"), str(tmp_path / "b"), f"memory://{uuid.uuid4()}"]
    stores = [Storage(url) for url in urls]
    first, *others = [commit_shard(store, SCHEMA, make_result(SHARD)) for store in stores]
    for store, other in zip(stores[1:], others, strict=True):
        assert other.files == first.files
        assert store.read(DATA) == stores[0].read(DATA)


def test_a_second_commit_replaces_the_first(tmp_path):
    storage = Storage(str(tmp_path))
    commit_shard(storage, SCHEMA, make_result(SHARD, missing=1))
    marker = commit_shard(storage, SCHEMA, make_result(SHARD))
    assert read_markers(storage) == {("train", 0): marker}
    assert verify_shard(storage, marker) == []


def test_an_equal_commit_writes_nothing_and_keeps_the_first_marker(tmp_path):
    storage = Storage(str(tmp_path))
    first = commit_shard(storage, SCHEMA, make_result(SHARD, seconds={"paint": 1.0}))
    slower = make_result(SHARD, seconds={"paint": 9.0})
    assert commit_shard(FailingStorage(str(tmp_path), 0), SCHEMA, slower) == first
    assert read_markers(storage) == {("train", 0): first}


def test_an_equal_commit_brings_a_lost_file_back_and_deletes_no_marker(tmp_path):
    storage = Storage(str(tmp_path))
    commit_shard(storage, SCHEMA, make_result(SHARD))
    storage.delete(DATA)
    with pytest.raises(OutputError, match=r"^the disk is full$"):
        commit_shard(FailingStorage(str(tmp_path), 2), SCHEMA, make_result(SHARD))
    assert verify_shard(storage, read_markers(storage)["train", 0]) == []


@pytest.mark.parametrize("changes", range(4))
def test_a_failed_commit_leaves_no_marker_and_can_be_repeated(tmp_path, changes):
    old = commit_shard(Storage(str(tmp_path)), SCHEMA, make_result(SHARD, missing=1))
    with pytest.raises(OutputError, match=r"^the disk is full$"):
        commit_shard(FailingStorage(str(tmp_path), changes), SCHEMA, make_result(SHARD))
    storage = Storage(str(tmp_path))
    assert read_markers(storage) == ({("train", 0): old} if changes == 0 else {})
    marker = commit_shard(storage, SCHEMA, make_result(SHARD))
    assert verify_shard(storage, marker) == []


def test_files_that_differ_from_their_marker_are_named(tmp_path):
    storage = Storage(str(tmp_path))
    marker = commit_shard(storage, SCHEMA, make_result(SHARD))
    storage.delete(REJECTS)
    storage.write(DATA, b"other")
    said = marker.files[DATA].sha256[:12]
    assert verify_shard(storage, marker) == [
        f"{DATA} has sha256 d9298a10d1b0…; its marker says {said}…",
        f"{REJECTS} is missing in {tmp_path}",
    ]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"rows": [make_row(index) for index in range(5)]},
            "shard train-00000 of 4 samples has 5 rows and 0 missing, 5 ids in all",
        ),
        (
            {"rows": [make_row(0), make_row(0), make_row(1)], "missing": 1},
            "shard train-00000 of 4 samples has 3 rows and 1 missing, 3 ids in all",
        ),
    ],
)
def test_a_result_that_loses_or_doubles_a_sample_is_a_defect(changes, text):
    with pytest.raises(ValueError, match=f"^{text}$"):
        make_result(SHARD, **changes)
