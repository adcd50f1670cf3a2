"""A preparation that is killed, continued, repeated, or asked for otherwise."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_sources import write_disfa

from pipelines.preparation.disfa import Disfa
from pipelines.preparation.looking import Looks
from pipelines.preparation.preparing import Preparing, prepare
from synthgen.errors import OutputError

LOOKS = Looks(side=512, min_side=0, picture_format="png", caption="a photo of a person")


class StoppedError(Exception):
    """What stands for a kill."""


def asked(root, to, looks=LOOKS, part=4, seed=0):
    source = Disfa(root, splits={"train": 0.6, "test": 0.4}, seed=seed)
    return Preparing(source=source, to=str(to), looks=looks, part=part)


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_disfa(tmp_path_factory.mktemp("made") / "disfa")


@pytest.fixture(scope="module")
def whole(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "out"
    prepare(asked(root, folder))
    return files_of(folder)


@pytest.mark.parametrize("stop", [1, 4, 9, 10, 14, 18])
def test_after_a_kill_the_same_files_come_out(root, whole, tmp_path, stop):
    told = []

    def tell(what, done, of):
        told.append((what, done))
        if len(told) == stop:
            raise StoppedError

    with pytest.raises(StoppedError):
        prepare(asked(root, tmp_path / "out"), tell)
    assert not (tmp_path / "out").exists()
    (tmp_path / ".out.preparing" / ".synthgen" / ".tmp-0123456789abcdef-x.json").touch()
    found = prepare(asked(root, tmp_path / "out"))
    assert found.written
    assert files_of(tmp_path / "out") == whole
    assert not (tmp_path / ".out.preparing").exists()


def test_a_part_that_was_looked_at_is_not_looked_at_again(root, tmp_path):
    def tell(what, done, of):
        if what == "written":
            raise StoppedError

    with pytest.raises(StoppedError):
        prepare(asked(root, tmp_path / "out"), tell)
    again = asked(root, tmp_path / "out")
    read = []
    reading = again.source.read
    again.source.read = lambda items: read.append(items) or reading(items)
    prepare(again)
    assert read == []


def test_a_whole_dataset_is_left_as_it_is(root, whole, tmp_path):
    prepare(asked(root, tmp_path / "out"))
    again = prepare(asked(root, tmp_path / "out"))
    assert not again.written
    assert again.rows == {"train": 22, "test": 11}
    assert files_of(tmp_path / "out") == whole


def test_other_options_are_refused_with_the_difference(root, tmp_path):
    prepare(asked(root, tmp_path / "out"))
    text = (
        f"{tmp_path}/out holds a dataset that was prepared otherwise (options.seed: 0 → 1); choose "
        "another --to, or delete that folder"
    )
    with pytest.raises(OutputError, match=f"^{re.escape(text)}$"):
        prepare(asked(root, tmp_path / "out", seed=1))


def test_an_unfinished_one_of_other_options_is_refused(root, tmp_path):
    def tell(what, done, of):
        raise StoppedError

    with pytest.raises(StoppedError):
        prepare(asked(root, tmp_path / "out"), tell)
    text = (
        f"{tmp_path}/.out.preparing holds an unfinished one that was prepared otherwise "
        "(options.part: 4 → 5); choose another --to, or delete that folder"
    )
    with pytest.raises(OutputError, match=f"^{re.escape(text)}$"):
        prepare(asked(root, tmp_path / "out", part=5))


def test_a_part_that_changed_on_the_disk_is_refused(root, tmp_path):
    def tell(what, done, of):
        if what == "written":
            raise StoppedError

    with pytest.raises(StoppedError):
        prepare(asked(root, tmp_path / "out"), tell)
    seen = tmp_path / ".out.preparing" / ".synthgen" / "seen" / "train-00001.parquet"
    seen.write_bytes(seen.read_bytes()[:-1])
    with pytest.raises(OutputError, match=r"train-00001\.parquet of .* is not what was written"):
        prepare(asked(root, tmp_path / "out"))


def test_a_killed_process_is_continued_by_the_same_command(root, tmp_path):
    command = [
        sys.executable, "-m", "synthgen.cli", "data", "disfa", str(root), "--to", "out",
        "--splits", "train=0.6,test=0.4", "--picture-format", "png",
    ]  # fmt: skip
    started = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    ledger = tmp_path / ".out.preparing" / ".synthgen" / "preparation.json"
    until = time.monotonic() + 120
    while not ledger.exists() and started.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    os.kill(started.pid, signal.SIGKILL)
    started.communicate()
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("out: 33 rows of DISFA (train 22, test 11)")
    assert sorted(path.name for path in Path(tmp_path).iterdir()) == ["out"]
