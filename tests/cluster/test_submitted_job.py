"""Runs as jobs of real clusters on this machine, submitted as users submit them."""

import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from label_files import write_csv
from ray_nodes import RayNodes

from cluster.driver import generate
from synthgen.config import parse_config

pytestmark = [pytest.mark.slow, pytest.mark.ray]

REPOSITORY = Path(__file__).parents[2]
SECONDS = 400
SAMPLES, SHARD = 192, 8


def synthgen(nodes, *words, cwd=REPOSITORY, **environment):
    """Run a command as a user of the cluster would."""
    return subprocess.run(
        [sys.executable, "-m", "synthgen.cli", *map(str, words)],
        env={**nodes.environment, **environment},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.fixture(scope="module")
def two_nodes():
    with RayNodes(2) as nodes:
        yield nodes


def write_config(config, file):
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return file


def a_run(make_config, folder="job", **changes):
    changes = {"samples": SAMPLES, "pipeline": {"batch_size": 4}, **changes}
    config = make_config(folder, **changes)
    output = config.output.model_copy(update={"shard_size": SHARD})
    return config.model_copy(update={"output": output})


def markers(config):
    return len(list(Path(config.output.path).glob(".synthgen/shards/*.json")))


def wait_for_markers(config, number, running):
    deadline = time.monotonic() + SECONDS
    while markers(config) < number and running.is_alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert markers(config) >= number


def test_a_job_on_four_nodes_loses_one_and_gains_one(make_config, digests, tmp_path):
    inline, config = a_run(make_config, "inline"), a_run(make_config, "job")
    generate(inline, "inline")
    with RayNodes(4) as nodes:
        done = submit_and_disturb(nodes, config, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert digests(config) == digests(inline)


def test_a_job_on_two_nodes_loses_one_and_gains_one(make_config, digests, two_nodes, tmp_path):
    inline, config = a_run(make_config, "inline"), a_run(make_config, "job")
    generate(inline, "inline")
    done = submit_and_disturb(two_nodes, config, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{config.output.path}: {SAMPLES} samples from " in done.stdout
    assert "accepted" in done.stdout  # progress is in the log
    assert digests(config) == digests(inline)


def submit_and_disturb(nodes, config, folder):
    """Submit a run; when shards are committed, pull a node's plug and add another."""
    found = []
    file = write_config(config, folder / "config.yaml")

    def submit():
        found.append(synthgen(nodes, "submit", file, "--address", nodes.address))

    running = threading.Thread(target=submit)
    running.start()
    wait_for_markers(config, 2, running)
    nodes.remove(-1)
    nodes.add()
    running.join()
    return found[0]


def test_a_job_s_exit_code_is_the_command_s(make_config, two_nodes, tmp_path):
    config = a_run(make_config, verify={"weights": str(tmp_path / "none.pt")}, samples=12)
    file = write_config(config, tmp_path / "config.yaml")
    done = synthgen(two_nodes, "submit", file, "--address", two_nodes.address)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"AU network {tmp_path}/none.pt does not exist" in done.stdout


def test_a_detached_job_takes_files_along_and_is_followed_later(make_config, two_nodes, tmp_path):
    write_csv(tmp_path / "labels.csv", np.random.default_rng(0).integers(1, 5, (40, 12)))
    # Enough samples that the job still goes on when its follower has started and leaves.
    data = a_run(make_config, samples=144).model_dump(mode="json")
    data["expressions"] = {"prior": "empirical", "labels": "labels.csv", "format": "csv"}
    config = parse_config(data)
    file = write_config(config, tmp_path / "config.yaml")
    address = ["--address", two_nodes.address]
    done = synthgen(two_nodes, "submit", file, "--no-wait", *address, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    job = done.stderr.split()[1]
    assert done.stderr.splitlines() == [
        f"job {job} at {two_nodes.address}",
        f"follow it: synthgen submit --follow {job} --address {two_nodes.address}; "
        f"stop it: ray job stop {job} --address {two_nodes.address}",
    ]
    assert stopped_following(two_nodes, job) == (
        130,
        f"\njob {job} goes on; follow it: synthgen submit --follow {job} --address "
        f"{two_nodes.address}; stop it: ray job stop {job} --address {two_nodes.address}\n",
    )
    done = synthgen(two_nodes, "submit", "--follow", job, *address)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{config.output.path}: 144 samples from " in done.stdout
    told = synthgen(two_nodes, "status", config.output.path)
    assert (told.returncode, told.stdout.splitlines()[0]) == (0, f"{config.output.path}: finished")


def stopped_following(nodes, job):
    """Follow a job until its log begins, press Ctrl-C, and return exit code and standard error."""
    words = ["submit", "--follow", job, "--address", nodes.address]
    following = subprocess.Popen(
        [sys.executable, "-m", "synthgen.cli", *words],
        env={**nodes.environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert following.stdout.readline()
    following.send_signal(signal.SIGINT)
    _, errors = following.communicate(timeout=SECONDS)
    return following.returncode, errors


def test_a_cluster_is_checked_from_inside_by_a_job(make_config, two_nodes, tmp_path):
    file = write_config(a_run(make_config), tmp_path / "config.yaml")
    done = synthgen(two_nodes, "check", file, "--address", two_nodes.address)
    assert done.returncode == 0, done.stdout + done.stderr
    # Both nodes have this machine's address, so their names end in their ids.
    rows = re.findall(r"^[\d.]+/[0-9a-f]{6} +(\d+) +(\w+) ", done.stdout, re.M)
    assert rows == [("1", "none")] * 2, done.stdout
    assert "nothing is missing" in done.stdout


@pytest.mark.parametrize("token", ["", "0" * 64])
def test_without_the_token_nothing_is_submitted(make_config, two_nodes, tmp_path, token):
    file = write_config(a_run(make_config), tmp_path / "config.yaml")
    wrong = {"RAY_AUTH_TOKEN": token, "HOME": str(tmp_path)}
    done = synthgen(two_nodes, "submit", file, "--address", two_nodes.address, **wrong)
    assert (done.returncode, done.stderr) == (
        2,
        f"error: {two_nodes.address} asks for a token, and what it got is missing or wrong; set "
        "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH\n",
    )
