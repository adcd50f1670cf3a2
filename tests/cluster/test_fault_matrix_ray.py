"""Faults of actors, nodes and drivers at three moments of a run on Ray: each changes no byte."""

import contextlib
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import ray
from faults import (
    MOMENTS,
    NAMES,
    Clock,
    Disturbed,
    assert_nothing_half,
    assert_whole,
    die_unless_isolated,
    disturb,
    small_run,
    undisturbed_run,
)
from held_workers import Gates, InThread, wait_until
from ray.cluster_utils import Cluster
from ray_nodes import node_of

from cluster.driver import generate
from synthgen.config import dump_config
from synthgen.dataset import Lease, Storage, layout, lease
from synthgen.dataset.lease import parse_holder
from synthgen.errors import OutputError

pytestmark = [pytest.mark.ray, pytest.mark.slow]

at_each_moment = pytest.mark.parametrize("moment", MOMENTS, ids=NAMES)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Return what the run gives when nothing happens."""
    return undisturbed_run(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="module")
def cluster(expected):
    """Return a cluster of a head without CPUs and two nodes of one CPU each."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@at_each_moment
def test_an_actor_that_is_killed(expected, cluster, tmp_path, moment):
    config = small_run(tmp_path / "out")
    run = disturb(tmp_path, moment, config, "ray")
    os.kill(run.pid, signal.SIGKILL)
    wait_until(lambda: not running(run.pid), "the actor to be gone")
    assert_nothing_half(config, expected)
    assert run.result() == expected.summary
    assert_whole(config, expected)


def running(process):
    return Path(f"/proc/{process}").exists()


@at_each_moment
def test_a_shard_that_takes_more_memory_than_there_is(expected, cluster, tmp_path, moment):
    config = small_run(tmp_path / "out", max_failures=1)
    deadly = partial(die_unless_isolated, name=moment.shard)
    run = disturb(tmp_path, moment.at("begin"), config, "ray", wrap=deadly)
    run.go_on()
    wait_until(lambda: not running(run.pid), "the actor to be killed")
    assert_nothing_half(config, expected)
    assert run.result() == expected.summary
    assert_whole(config, expected)


@at_each_moment
def test_a_verifier_that_hangs(expected, cluster, tmp_path, moment):
    config = small_run(tmp_path / "out", verify_timeout=6)
    moment = moment.at("measure")
    stops = [f"{moment.shard}:begin", *moment.stops]
    run = disturb(tmp_path, moment, config, "ray", stops=stops)
    assert_nothing_half(config, expected)
    run.go_on(but=moment.place)
    wait_until(lambda: not running(run.pid), "the actor to be replaced")
    assert run.result() == expected.summary
    assert_whole(config, expected)


@at_each_moment
def test_a_node_that_is_removed(expected, cluster, tmp_path, moment):
    config = small_run(tmp_path / "out")
    run = disturb(tmp_path, moment, config, "ray")
    cluster.remove_node(node_of(run.pid, cluster.worker_nodes), allow_graceful=False)
    wait_until(lambda: not running(run.pid), "the actor to go with its node")
    assert_nothing_half(config, expected)
    assert run.result() == expected.summary
    assert_whole(config, expected)
    cluster.add_node(num_cpus=1)


@at_each_moment
def test_a_driver_that_is_killed_and_continued_on_another_machine(
    expected, cluster, tmp_path, monkeypatch, moment
):
    config = small_run(tmp_path / "out", address=cluster.address)
    gates = Gates(tmp_path / "gates", moment.stops)
    with driver(config, gates) as first:
        run = Disturbed(moment, gates, config, InThread(first.wait))
        with pytest.raises(OutputError, match=rf"another run \(process {first.pid} on "):
            generate(config, "inline")
    wait_until(lambda: not running(run.pid), "the actors to follow their driver")
    assert_nothing_half(config, expected)
    assert parse_holder(Storage(config.output.path).read(layout.LEASE)).pid == first.pid
    clock = Clock()
    monkeypatch.setattr("synthgen.dataset.lease.place", lambda: "another boot/1")
    monkeypatch.setattr("cluster.driver.Lease", partial(Lease, sleep=clock.sleep, clock=clock))
    summary = generate(config, "ray", load=Gates(tmp_path / "no gates", []).loader())
    assert summary == expected.summary
    assert clock.now == lease.STALE + lease.SETTLE
    assert_whole(config, expected)


DRIVER = """
import sys
from pathlib import Path
from held_workers import Gates
from cluster.driver import generate
from synthgen.config import load_config
config, folder, *moments = sys.argv[1:]
generate(load_config(Path(config)), "ray", load=Gates(Path(folder), moments).loader())
"""


@contextlib.contextmanager
def driver(config, gates):
    """Start a process that drives a run whose workers stop at gates; kill it in the end."""
    gates.folder.mkdir(parents=True)
    written = gates.folder / "config.yaml"
    written.write_text(dump_config(config))
    path = os.pathsep.join([str(Path(__file__).parents[1] / "support"), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(written), str(gates.folder), *gates.moments],
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
