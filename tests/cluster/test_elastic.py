"""Clusters of several nodes: what comes, goes, hangs and straggles changes no byte."""

import logging
import os
import signal
from pathlib import Path

import pytest
import ray
from held_workers import Gates, InThread, wait_until
from ray.cluster_utils import Cluster
from ray_nodes import node_of

from cluster.driver import generate
from synthgen.dataset import Storage, inspect_dataset, read_markers
from synthgen.errors import RunError

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def make_cluster():
    """Return a function that starts a head without CPUs and nodes of one CPU each."""
    clusters = []

    def make(nodes):
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        clusters.append(cluster)
        made = [cluster.add_node(num_cpus=1) for _ in range(nodes)]
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        return cluster, made

    yield make
    ray.shutdown()
    for cluster in clusters:
        cluster.shutdown()


@pytest.fixture
def inline_digests(make_config, digests):
    """Return a function that makes a run inline and tells its digests."""

    def make(**changes):
        config = make_config("inline", **changes)
        generate(config, "inline")
        return digests(config)

    return make


def markers(config):
    return read_markers(Storage(config.output.path)).values()


@pytest.mark.parametrize(("nodes", "graceful"), [(2, True), (2, False), (4, True)])
def test_a_node_leaves_and_another_joins_in_mid_run(
    make_config, make_cluster, inline_digests, digests, tmp_path, nodes, graceful
):
    expected = inline_digests(samples=120)
    config = make_config("ray", samples=120)
    cluster, there = make_cluster(nodes)
    gates = Gates(tmp_path / "gates", ["train-00001:marker", "test-00004:paint"])
    run = InThread(lambda: generate(config, "ray", load=gates.loader()))
    leaving = node_of(gates.wait_for("train-00001:marker", run), there)
    cluster.remove_node(leaving, allow_graceful=graceful)
    gates.wait_for("test-00004:paint", run)
    cluster.add_node(num_cpus=1)
    gates.open("test-00004:paint")
    assert run.result().rows == 120
    assert digests(config) == expected
    assert inspect_dataset(config.output.path).problems == ()


def test_a_node_that_joins_gets_work(make_config, make_cluster, inline_digests, digests, tmp_path):
    expected = inline_digests()
    config = make_config("ray", cluster={"speculate": False})
    cluster, _ = make_cluster(1)
    gates = Gates(tmp_path / "gates", ["train-00000:marker", "train-00001:marker"])
    run = InThread(lambda: generate(config, "ray", load=gates.loader()))
    first = gates.wait_for("train-00000:marker", run)
    gates.wait_for("train-00001:marker", run)
    cluster.add_node(num_cpus=1)
    wait_until(lambda: len(markers(config)) == 2, "the new node to make the two other shards")
    gates.open("train-00000:marker")
    gates.open("train-00001:marker")
    assert run.result().rows == 40
    assert digests(config) == expected
    makers = [marker.worker.rpartition(":")[2] for marker in markers(config)]
    assert sorted(maker == str(first) for maker in makers) == [False, False, True, True]


def test_a_straggler_is_worked_a_second_time_and_the_first_to_finish_counts(
    make_config, make_cluster, inline_digests, digests, tmp_path
):
    expected = inline_digests()
    config = make_config("ray")
    make_cluster(2)
    gates = Gates(tmp_path / "gates", ["test-00001:marker"])
    run = InThread(lambda: generate(config, "ray", load=gates.loader()))
    straggler = gates.wait_for("test-00001:marker", run)
    assert run.result().rows == 40
    assert digests(config) == expected
    wait_until(lambda: not running(straggler), "the straggler to be gone")
    assert inspect_dataset(config.output.path).problems == ()


def running(process):
    return Path(f"/proc/{process}").exists()


def test_a_verifier_that_hangs_is_replaced_with_its_actor(
    make_config, make_cluster, inline_digests, digests, tmp_path
):
    expected = inline_digests()
    config = make_config("ray", cluster={"actors": 1, "verify_timeout": 5})
    make_cluster(1)
    gates = Gates(tmp_path / "gates", ["train-00000:measure"])
    assert generate(config, "ray", load=gates.loader()).rows == 40
    assert digests(config) == expected
    assert not running(gates.wait_for("train-00000:measure"))


def deadly(load):
    """Return what loads workers that die whenever they are to work a certain shard."""

    def load_deadly(config, plan):
        worker = load(config, plan)
        work = worker.work

        def die_or_work(shard, isolate=False):
            if (shard.split, shard.number) == ("test", 1):
                os.kill(os.getpid(), signal.SIGKILL)
            return work(shard, isolate)

        worker.work = die_or_work
        return worker

    return load_deadly


def test_a_shard_that_kills_its_actors_ends_the_run_and_spoils_no_other(
    make_config, make_cluster, tmp_path, caplog
):
    config = make_config("ray", cluster={"max_failures": 1})
    make_cluster(2)
    with pytest.raises(RunError) as error, caplog.at_level(logging.WARNING, "cluster"):
        generate(config, "ray", load=deadly(Gates(tmp_path / "gates", []).loader()))
    assert str(error.value).startswith(
        "shard test-00001 failed 2 times, even sample by sample; the last failure: ActorDiedError:"
    )
    assert [text for text in caplog.messages if "failed (1)" in text]
    assert not [text for text in caplog.messages if "shard train-" in text]
