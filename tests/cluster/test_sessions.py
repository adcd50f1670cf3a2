import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import ray

from cluster.connection import take_over
from synthgen.dataset.lease import Holder, start_time

RAY = str(Path(ray.__file__).parent / "dashboard" / "agent.py")


@pytest.fixture
def ended_process():
    """Return the number of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def begun(root, number, pid, started="1", **changed):
    """Make the folder of a session that a process of this machine began."""
    folder = root / f"session_2026-11-26_14-00-0{number}_000000_{pid}"
    (folder / "logs").mkdir(parents=True)
    driver = replace(Holder.here(), pid=pid, started=started).to_json().decode()
    signature = {"session": folder.name, "driver": driver, **changed}
    (folder / "synthgen.json").write_text(json.dumps(signature))
    return folder


def running(*arguments):
    """Start a process, and wait until it says so: its arguments stand in /proc a little later."""
    print_and_wait = "import time; print(flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", print_and_wait, *arguments], stdout=subprocess.PIPE
    )
    process.stdout.readline()
    return process


def own(root):
    folder = root / f"session_2026-11-26_15-00-00_000000_{Holder.here().pid}"
    folder.mkdir()
    return folder


def test_what_a_killed_driver_left_is_ended_and_old_folders_go(tmp_path, ended_process):
    old, last = (begun(tmp_path, number, ended_process) for number in (1, 2))
    agent = running(RAY, f"--session-dir={old}")
    take_over(own(tmp_path))
    assert agent.wait(10) == -9
    assert not old.exists()
    assert last.exists()


def test_nothing_is_touched_that_is_not_proved_to_be_ours_and_dead(tmp_path, ended_process):
    alive = psutil.Process().parent().pid
    kept = [
        begun(tmp_path, 1, alive, start_time(alive)),
        begun(tmp_path, 2, ended_process, session="session_of_another"),
        begun(tmp_path, 3, ended_process),
        begun(tmp_path, 4, ended_process),
    ]
    (kept[2] / "synthgen.json").write_text("{half")
    unsigned = begun(tmp_path, 5, ended_process)
    (unsigned / "synthgen.json").unlink()
    left = [running(RAY, f"--session-dir={folder}") for folder in [*kept[:3], unsigned]]
    reader = running(str(kept[3] / "logs"))
    take_over(own(tmp_path))
    assert all(folder.exists() for folder in [*kept, unsigned])
    for process in [*left, reader]:
        assert process.poll() is None
        process.kill()
        process.wait()


def test_a_session_is_signed_so_that_the_next_driver_knows_it(tmp_path):
    folder = own(tmp_path)
    take_over(folder)
    signature = json.loads((folder / "synthgen.json").read_text())
    assert signature["session"] == folder.name
    assert json.loads(signature["driver"])["pid"] == Holder.here().pid
