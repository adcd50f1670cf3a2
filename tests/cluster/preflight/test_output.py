from pathlib import Path

from s3_server import s3_server

from cluster.preflight.probe import lit_beacon, probe_output
from synthgen.dataset import Storage


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_probe_leaves_nothing_where_the_output_is_not_yet(tmp_path):
    found = probe_output(str(tmp_path / "a" / "b"))
    assert (found.problem, found.shared) == (None, None)
    assert found.free > 0
    assert everything(tmp_path) == []


def test_a_probe_leaves_nothing_in_an_output(tmp_path):
    (tmp_path / ".synthgen").mkdir()
    assert probe_output(str(tmp_path)).problem is None
    assert everything(tmp_path) == [".synthgen"]


def test_a_probe_leaves_nothing_in_an_empty_folder(tmp_path):
    assert probe_output(str(tmp_path)).problem is None
    assert everything(tmp_path) == []


def test_the_home_folder_is_looked_at_where_it_lies(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "out").touch()
    assert (
        probe_output("~/out").problem == f"{tmp_path}/out is a file; output.path must be a folder"
    )


def test_a_file_is_no_output(tmp_path):
    (tmp_path / "out").touch()
    expected = f"{tmp_path}/out is a file; output.path must be a folder"
    assert probe_output(str(tmp_path / "out")).problem == expected


def test_what_cannot_be_written_is_named():
    assert probe_output("/proc/nothing").problem == (
        "cannot write to /proc: No such file or directory"
    )


def test_an_object_store_takes_the_probe_and_forgets_it():
    import fsspec

    found = probe_output("memory://bucket/probed")
    assert (found.free, found.problem) == (None, None)
    assert fsspec.filesystem("memory").find("/bucket/probed") == []


def test_a_protocol_that_is_not_known_is_a_problem():
    assert probe_output("s4://bucket/x").problem == (
        "s4://bucket/x is on no store of datasets; give a folder, or a URL that begins with "
        "file://, s3://, gs://, abfs://, hf:// or https://"
    )


def test_the_beacon_is_seen_where_folders_are_shared(tmp_path):
    out = str(tmp_path / "out")
    with lit_beacon(out) as beacon:
        assert Path(beacon).is_file()
        assert probe_output(out, beacon).shared is True
    assert probe_output(out, beacon).shared is False
    assert everything(tmp_path) == []


def test_s3_takes_the_probe_and_forgets_it():
    with s3_server() as bucket:
        found = probe_output(f"{bucket}/out")
        assert (found.free, found.problem) == (None, None)
        assert Storage(f"{bucket}/out").entries() == []
        elsewhere = bucket + "-of-others"
        assert f" has no bucket {elsewhere[5:]}; " in probe_output(f"{elsewhere}/out").problem
