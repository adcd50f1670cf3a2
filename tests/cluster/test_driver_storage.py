"""Runs on stores that are far away, fail for a while, fill up, or are written by somebody else."""

import errno
import os
import threading
from dataclasses import replace
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from s3_server import s3_server

from cluster.driver import generate
from cluster.worker import load_worker
from synthgen.dataset import Storage, inspect_dataset, layout, read_markers, retry
from synthgen.dataset.lease import Holder, start_time
from synthgen.errors import OutputError, RunError


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return the digests of the small run, made once in a folder."""
    made = {}

    def digests(make_config):
        if not made:
            config = at(make_config, str(tmp_path_factory.mktemp("undisturbed")))
            generate(config, "inline")
            made.update(digests_of(config.output.path))
        return made

    return digests


def at(make_config, url, **changes):
    config = make_config(samples=12, **changes)
    return config.model_copy(update={"output": config.output.model_copy(update={"path": url})})


def digests_of(url):
    storage = Storage(url)
    names = storage.names("data") + storage.names("rejects")
    return {name: storage.sha256(name) for name in names}


def test_a_run_on_s3_gives_the_bytes_of_a_run_in_a_folder(make_config, undisturbed):
    with s3_server() as bucket:
        config = at(make_config, f"{bucket}/out")
        summary = generate(config, "inline")
        assert digests_of(config.output.path) == undisturbed(make_config)
        assert inspect_dataset(config.output.path).problems == ()
        assert not Storage(config.output.path).exists(layout.LEASE)
        again = generate(config, "inline", load=lambda config, plan: load_worker(config, plan))
        assert again == summary
        filesystem, root = fsspec.url_to_fs(f"{config.output.path}/data")
        assert pq.read_table(root, filesystem=filesystem).num_rows == summary.rows == 12


class FlakyFileSystem(MemoryFileSystem):
    """A store of which every third answer is that it is busy."""

    protocol = "flaky"
    calls = 0

    def _busy(self):
        FlakyFileSystem.calls += 1
        if FlakyFileSystem.calls % 3 == 0:
            raise OSError(errno.EBUSY, "Please reduce your request rate.")

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        self._busy()
        return super().pipe_file(path, value, mode=mode, **kwargs)

    def cat_file(self, path, start=None, end=None, **kwargs):
        self._busy()
        return super().cat_file(path, start, end, **kwargs)

    def info(self, path, **kwargs):
        self._busy()
        return super().info(path, **kwargs)


def test_a_store_that_fails_for_a_while_changes_nothing(make_config, undisturbed, monkeypatch):
    fsspec.register_implementation("flaky", FlakyFileSystem, clobber=True)
    monkeypatch.setattr(retry, "_FIRST_PAUSE", 0.001)
    config = at(make_config, "flaky://out")
    # A loader of one's own: the check before a run has no patience, and is none of this.
    generate(config, "inline", load=lambda config, plan: load_worker(config, plan))
    busy = FlakyFileSystem.calls // 3
    monkeypatch.setattr(FlakyFileSystem, "_busy", lambda _: None)
    assert busy > 10
    assert digests_of(config.output.path) == undisturbed(make_config)
    assert inspect_dataset(config.output.path).problems == ()


def test_a_full_disk_ends_a_run_that_goes_on_once_there_is_room(
    make_config, undisturbed, tmp_path, monkeypatch
):
    config = at(make_config, str(tmp_path / "full"))
    fsync, lock, written = os.fsync, threading.Lock(), []

    def fill_up(handle):
        name = os.readlink(f"/proc/self/fd/{handle}")
        with lock:
            if written and name.endswith((".parquet", ".json")):
                raise OSError(errno.ENOSPC, "No space left on device")
            if name.endswith(".json") and layout.MARKERS in name:
                written.append(name)
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fill_up)
        with pytest.raises(RunError) as caught:
            generate(config, "inline")
    text = str(caught.value)
    assert text.startswith("cannot write ")
    assert text.endswith(
        f" in {config.output.path}: no space left on device; 1 of 2 shards are committed: mend "
        "this, and run again to continue"
    )
    inside = [path.name for path in Path(config.output.path).rglob("*") if path.is_file()]
    assert not [name for name in inside if name.startswith(".tmp-")]
    assert layout.LEASE not in Storage(config.output.path).names(".synthgen")
    assert len(read_markers(Storage(config.output.path))) == 1
    generate(config, "inline")
    assert digests_of(config.output.path) == undisturbed(make_config)


def test_a_second_run_is_refused_before_anything_is_loaded(make_config, tmp_path):
    config = at(make_config, str(tmp_path / "held"), verify={"weights": "/nowhere/weights"})
    parent = os.getppid()
    holder = replace(Holder.here(), pid=parent, started=start_time(parent))
    Storage(config.output.path).write(layout.LEASE, holder.to_json())
    for overwrite in (False, True):
        with pytest.raises(OutputError) as caught:
            generate(config, "inline", overwrite=overwrite)
        assert str(caught.value) == (
            f"{config.output.path} is being written by another run ({holder}); wait for its end, "
            "or choose another output.path"
        )
    assert Storage(config.output.path).names(".synthgen") == [layout.LEASE]


def test_a_run_that_was_replaced_stops(make_config, tmp_path, monkeypatch):
    config = at(make_config, str(tmp_path / "frozen"))
    other = replace(Holder.here(), token="e" * 32, host="node-8", pid=77)
    markers = Path(config.output.path) / layout.MARKERS
    monkeypatch.setattr("synthgen.dataset.lease.BEAT", 0.01)
    commit = Storage.write

    def write(storage, name, data):
        commit(storage, name, data)
        if layout.shard_of(name) and len(list(markers.glob("*.json"))) == 1:
            commit(storage, layout.LEASE, other.to_json())

    monkeypatch.setattr(Storage, "write", write)
    with pytest.raises(RunError, match=r"frozen was taken over by another run \(process 77 on"):
        generate(config, "inline")
    assert Storage(config.output.path).read(layout.LEASE) == other.to_json()
