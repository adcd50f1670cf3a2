import hashlib
import os
import pickle
import sys
import uuid

import pytest
from fsspec.registry import _registry

from synthgen.dataset import Storage
from synthgen.errors import DatasetError, MissingDependencyError, OutputError


@pytest.fixture(params=["folder", "file URL", "memory URL"])
def storage(request, tmp_path):
    urls = {
        "folder": str(tmp_path / "out"),
        "file URL": f"file://{tmp_path}/out/",
        "memory URL": f"memory://{uuid.uuid4()}/out",
    }
    return Storage(urls[request.param])


def test_files_are_written_replaced_listed_and_deleted(storage):
    assert storage.names() == []
    assert storage.entries() == []
    assert not storage.exists("data/a")
    storage.write("data/b", b"two")
    storage.write("data/a", b"first")
    storage.write("data/a", b"one!")
    storage.write("README.md", b"card")
    assert storage.exists("data/a")
    assert not storage.exists("data")
    assert storage.read("data/a") == b"one!"
    assert storage.sizes("data") == {"data/a": 4, "data/b": 3}
    assert storage.names() == ["README.md"]
    assert storage.entries() == ["README.md", "data"]
    assert storage.sha256("data/a") == hashlib.sha256(b"one!").hexdigest()
    with storage.open("data/b") as file:
        file.seek(1)
        assert file.read() == b"wo"
    storage.delete("data/a")
    storage.delete("data/a")
    assert storage.names("data") == ["data/b"]


def test_storage_travels_between_processes(storage):
    storage.write("a", b"x")
    assert pickle.loads(pickle.dumps(storage)).read("a") == b"x"


def test_a_missing_file_is_named(storage):
    for read in (storage.read, storage.open, storage.sha256):
        with pytest.raises(DatasetError) as caught:
            read("data/none")
        assert str(caught.value) == f"data/none is missing in {storage.url}"


def test_a_file_is_seen_only_when_whole(tmp_path, monkeypatch):
    storage = Storage(str(tmp_path))
    storage.write("a", b"old")
    seen = []

    def look_and_fail(_):
        seen.extend(os.listdir(tmp_path))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", look_and_fail)
    with pytest.raises(OutputError) as caught:
        storage.write("a", b"new")
    assert str(caught.value) == f"cannot write a in {tmp_path}: no space left on device"
    assert len([name for name in seen if name.startswith(".tmp-")]) == 1
    assert storage.read("a") == b"old"
    assert storage.names() == ["a"]


def test_what_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    storage = Storage(str(tmp_path / "file" / "out"))
    with pytest.raises(OutputError) as caught:
        storage.write("a", b"x")
    assert str(caught.value) == f"cannot write a in {tmp_path}/file/out: not a directory"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError) as caught:
        Storage(str(tmp_path / "file")).entries()
    assert str(caught.value) == f"{tmp_path}/file is a file; choose a folder for output.path"


def test_an_unknown_protocol_is_refused():
    with pytest.raises(OutputError) as caught:
        Storage("nonsense://bucket/out")
    assert str(caught.value) == (
        "nonsense://bucket/out is on no store of datasets; give a folder, or a URL that begins "
        "with file://, s3://, gs://, abfs://, hf:// or https://"
    )


def test_a_protocol_without_its_package_says_what_to_install(monkeypatch):
    for name in ("s3fs", "adlfs"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(_registry, "s3", raising=False)
    command = "; pip install '.[s3]' in a checkout of synthgen"
    for url, install in [("s3://bucket/out", command), ("abfs://a/out", "")]:
        with pytest.raises(MissingDependencyError) as caught:
            Storage(url)
        assert str(caught.value).startswith(f"cannot open {url!r}: Install ")
        assert str(caught.value).endswith(install)


def test_files_are_moved_and_anything_that_bears_a_name_is_seen(storage):
    storage.write("data/a", b"one")
    storage.move("data/a", "set-aside/data/a")
    assert (storage.names("data"), storage.read("set-aside/data/a")) == ([], b"one")
    assert storage.holds("set-aside/data")
    assert not storage.holds("data/a")
