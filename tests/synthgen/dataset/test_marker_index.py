import json
import os
import shutil

import pytest
from s3_server import s3_server
from tiny_markers import marker_of, write_marker

from synthgen.dataset import MarkerIndex, Storage, layout, read_markers
from synthgen.dataset import markers as marker_index
from synthgen.dataset.markers import MarkerReader

PRUDENT = 6
"""Markers that are worth an index in these tests."""


@pytest.fixture
def storage(tmp_path, monkeypatch):
    monkeypatch.setattr(marker_index, "_FEW", PRUDENT)
    return Storage(str(tmp_path / "out"))


def write_markers(storage, count):
    for number in range(count):
        write_marker(storage, number)
    return read_markers(storage)


def entries(storage):
    return json.loads(storage.read(layout.INDEX))["markers"]


def claim(storage, worker):
    """Make the index say another worker than the markers themselves."""
    changed = entries(storage)
    for entry in changed:
        entry["marker"]["worker"] = worker
    storage.write(layout.INDEX, json.dumps({"markers": changed}).encode())


def workers(storage):
    return [marker.worker for marker in read_markers(storage).values()]


def test_what_the_index_holds_is_not_read_again(storage):
    markers = write_markers(storage, 8)
    MarkerIndex(storage).keep(markers)
    assert read_markers(storage) == markers
    claim(storage, "index:1")
    write_marker(storage, 8, worker="own:1")
    assert workers(storage) == ["index:1"] * 8 + ["own:1"]


def test_a_marker_that_was_replaced_counts_as_it_is_now(storage):
    MarkerIndex(storage).keep(write_markers(storage, 8))
    claim(storage, "index:1")
    old = storage.sizes(layout.MARKERS)
    time = os.stat(storage.url).st_mtime_ns
    write_marker(storage, 3, rejected={"inactivE": 1})
    os.utime(f"{storage.url}/{layout.marker_file('train', 3)}", ns=(time + 10**9, time + 10**9))
    assert storage.sizes(layout.MARKERS) == old
    assert read_markers(storage)["train", 3].rejected == {"inactivE": 1}
    assert workers(storage).count("index:1") == 7


def test_a_marker_that_is_gone_is_not_finished(storage):
    MarkerIndex(storage).keep(write_markers(storage, 8))
    storage.delete(layout.marker_file("train", 2))
    assert [number for _, number in read_markers(storage)] == [0, 1, 3, 4, 5, 6, 7]


def test_the_index_of_a_copied_dataset_is_passed_over(storage, tmp_path):
    markers = write_markers(storage, 8)
    MarkerIndex(storage).keep(markers)
    claim(storage, "index:1")
    shutil.copytree(storage.url, tmp_path / "copy", copy_function=shutil.copyfile)
    assert read_markers(Storage(str(tmp_path / "copy"))) == markers


def test_few_markers_are_worth_no_index(storage):
    index = MarkerIndex(storage)
    index.keep(write_markers(storage, PRUDENT - 1))
    index.keep(read_markers(storage), last=True)
    assert not storage.exists(layout.INDEX)


def test_the_index_is_written_anew_when_it_lacks_a_part(storage):
    index = MarkerIndex(storage)
    markers = write_markers(storage, 40)
    known = []
    for count in range(1, 41):
        index.keep(dict(list(markers.items())[:count]))
        known.append(len(entries(storage)) if storage.exists(layout.INDEX) else 0)
    assert known == [6 * (count // 6) for count in range(1, 41)]
    index.keep(markers, last=True)
    assert len(entries(storage)) == 40


def test_a_long_run_writes_its_index_less_often(storage, monkeypatch):
    monkeypatch.setattr(marker_index, "_SHARE", 2)
    index = MarkerIndex(storage)
    markers = write_markers(storage, 40)
    known = set()
    for count in range(1, 41):
        index.keep(dict(list(markers.items())[:count]))
        known.add(len(entries(storage)) if storage.exists(layout.INDEX) else 0)
    assert known == {0, 6, 12, 23}


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"[]", "it holds a list"),
        (b"{}", "no 'markers'"),
        (b'{"markers": [{"name": "a", "version": "1"}]}', "no 'marker'"),
    ],
)
def test_a_broken_index_is_told_and_passed_over(storage, caplog, data, cause):
    markers = write_markers(storage, 8)
    storage.write(layout.INDEX, data)
    assert read_markers(storage) == markers
    (line,) = caplog.messages
    assert line == (f".synthgen/markers.json is corrupt ({cause}); each marker is read instead")


def test_a_reader_that_stays_reads_the_index_once(storage):
    reader = MarkerReader(storage)
    assert reader.read() == {}
    markers = write_markers(storage, 8)
    MarkerIndex(storage).keep(markers)
    claim(storage, "index:1")
    assert reader.read() == markers


def test_an_index_on_s3(monkeypatch):
    monkeypatch.setattr(marker_index, "_FEW", PRUDENT)
    with s3_server() as bucket:
        storage = Storage(f"{bucket}/out")
        MarkerIndex(storage).keep(write_markers(storage, 8))
        claim(storage, "index:1")
        write_marker(storage, 3, rejected={"inactivE": 1})
        found = read_markers(storage)
        assert found["train", 3].rejected == {"inactivE": 1}
        assert workers(storage) == ["index:1" if n != 3 else "" for n in range(8)]


def test_a_marker_is_compared_with_its_name_in_the_index_too(storage, caplog):
    markers = write_markers(storage, 8)
    MarkerIndex(storage).keep(markers)
    changed = entries(storage)
    changed[0]["marker"] = {**changed[0]["marker"], "number": 9, "start": 36, "stop": 40}
    storage.write(layout.INDEX, json.dumps({"markers": changed}).encode())
    assert read_markers(storage) == markers
    assert "it says that it is .synthgen/shards/train-00009.json" in caplog.text


def test_a_marker_as_the_index_holds_it_is_that_of_its_file(storage):
    markers = write_markers(storage, 8)
    MarkerIndex(storage).keep(markers)
    for entry, number in zip(entries(storage), range(8), strict=True):
        assert entry["marker"] == json.loads(marker_of(number).to_json())
