import os
import shutil
from collections import namedtuple

import pytest
from tiny_dataset import CONFIG, PLAN, SCHEMA, make_dataset, make_record, make_result

from synthgen.dataset import Lease, Storage, check_output, commit_shard, open_run
from synthgen.errors import OutputError


def _refused(folder, overwrite=False):
    with pytest.raises(OutputError) as caught:
        check_output(Storage(str(folder)), {}, 8, overwrite=overwrite)
    return str(caught.value)


def test_a_link_that_leads_nowhere_is_refused_and_nothing_spins(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    told = (
        f"{tmp_path}/link is a link to {tmp_path}/gone, which does not exist; make that folder, or "
        "choose another output.path"
    )
    assert _refused(tmp_path / "link") == told
    assert _refused(tmp_path / "link" / "deep" / "out") == told
    with pytest.raises(OutputError) as caught, Lease(Storage(str(tmp_path / "link"))):
        pass
    assert str(caught.value) == (
        f"cannot write .synthgen/lease.json in {tmp_path}/link: not a directory"
    )
    assert not (tmp_path / "gone").exists()


def test_a_link_to_a_folder_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    check_output(Storage(str(tmp_path / "link" / "out")), {}, 8)


def test_links_that_lead_in_a_circle_are_refused(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for folder in (tmp_path / "a", tmp_path / "a" / "out"):
        assert _refused(folder) == (
            f"{tmp_path}/a is a link that leads in a circle; choose another output.path"
        )


def test_a_file_or_a_pipe_as_output_or_above_it_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    os.mkfifo(tmp_path / "pipe")
    for folder in (tmp_path / "file", tmp_path / "file" / "out"):
        assert _refused(folder) == f"{tmp_path}/file is a file; choose a folder for output.path"
    assert _refused(tmp_path / "pipe") == (
        f"{tmp_path}/pipe is no folder; choose a folder for output.path"
    )


def test_names_and_paths_that_are_too_long_are_refused(tmp_path):
    assert _refused(tmp_path / "deep" / ("x" * 256)) == (
        f"a folder of output.path has a name of 256 bytes ({'x' * 59}…); at most 255 are allowed "
        "there"
    )
    long = tmp_path.joinpath(*["y" * 200] * 20)
    assert _refused(long) == (
        f"output.path and the dataset's own names make paths of {len(str(long)) + 120} bytes; at "
        "most 4096 are allowed: choose a shorter one"
    )
    check_output(Storage(str(tmp_path / ("x" * 255))), {}, 8)


def test_nul_is_refused():
    with pytest.raises(OutputError) as caught:
        Storage("out\0")
    assert str(caught.value) == "out\\x00 holds the character U+0000, which no path here may hold"


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda place, mode: place != tmp_path)  # root may do all
    assert _refused(tmp_path / "out") == (
        f"nothing can be written in {tmp_path}: no permission, or a disk that is read only; choose "
        "another output.path"
    )


def test_a_full_disk_is_refused(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 4096, 4096))
    assert _refused(tmp_path / "out") == (
        f"the disk of {tmp_path} is full (4,096 bytes are left); make room, or choose another "
        "output.path"
    )


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_lies_in_the_place_of_our_files_is_named_all_at_once(tmp_path, overwrite):
    out = tmp_path / "out"
    make_dataset(str(out))
    (out / "data/train-00000.parquet").unlink()
    (out / "data/train-00000.parquet").mkdir()
    (out / "rejects/test-00000.parquet").unlink()
    (out / "rejects/test-00000.parquet").symlink_to(tmp_path / "gone")
    shutil.rmtree(out / "assets")
    (out / "assets").write_text("mine")
    assert _refused(out, overwrite) == (
        f"{out} has no room for files of the dataset: assets is a file, data/train-00000.parquet "
        "is a folder, rejects/test-00000.parquet is no regular file, or a link that leads nowhere; "
        f"move it away, or let `synthgen repair {out}` set it aside"
    )
    assert (out / "data/train-00000.parquet").is_dir()


def test_a_shard_that_is_a_link_is_replaced_not_followed(tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"mine")
    out = tmp_path / "out"
    storage = Storage(str(out))
    open_run(storage, make_record(), CONFIG, PLAN)
    (out / "data").mkdir()
    (out / "data/train-00000.parquet").symlink_to(tmp_path / "elsewhere")
    check_output(storage, make_record().configuration, 8)
    commit_shard(storage, SCHEMA, make_result(PLAN[0]))
    assert (tmp_path / "elsewhere").read_bytes() == b"mine"
