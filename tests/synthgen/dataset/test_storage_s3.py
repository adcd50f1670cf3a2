import pytest
from s3_server import s3_server
from tiny_dataset import PLAN, SCHEMA, make_dataset, make_result

from synthgen.dataset import Storage, commit_shard, inspect_dataset, read_markers
from synthgen.errors import DatasetError, OutputError


@pytest.fixture(scope="module")
def bucket():
    with s3_server() as url:
        yield url


def test_a_dataset_on_s3_is_that_of_a_folder(bucket, tmp_path):
    here, there = make_dataset(str(tmp_path)), make_dataset(f"{bucket}/deep/out")
    for folder in ("data", "rejects"):
        assert there.sizes(folder) == here.sizes(folder)
        assert [there.sha256(name) for name in there.names(folder)] == [
            here.sha256(name) for name in here.names(folder)
        ]
    assert there.entries() == [
        ".synthgen",
        "README.md",
        "assets",
        "croissant.json",
        "data",
        "rejects",
    ]
    assert list(read_markers(there)) == list(read_markers(here))
    assert inspect_dataset(there.url).problems == ()
    commit_shard(there, SCHEMA, make_result(PLAN[0]))
    there.delete("README.md")
    there.delete("README.md")
    assert not there.exists("README.md")


def test_a_missing_bucket_is_named_and_not_made(bucket):
    storage = Storage("s3://no-such-bucket/out")
    assert not storage.exists("a")
    with pytest.raises(OutputError) as caught:
        storage.write("a", b"x")
    assert str(caught.value) == (
        "cannot write a in s3://no-such-bucket/out: the specified bucket does not exist"
    )
    with pytest.raises(DatasetError, match=r"^a is missing in s3://no-such-bucket/out$"):
        storage.read("a")


@pytest.mark.slow
def test_a_large_file_goes_up_in_parts(bucket):
    storage = Storage(f"{bucket}/large")
    data = bytes(range(256)) * (430 << 10)
    storage.write("a", data)
    assert storage.sizes() == {"a": len(data)}
    assert storage.read("a") == data


def test_google_storage_is_opened_with_its_own_package(monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    storage = Storage("gs://bucket/out")
    assert type(storage._filesystem).__name__ in ("GCSFileSystem", "ExtendedGcsFileSystem")
    assert not storage.is_local
