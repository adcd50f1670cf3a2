"""What a machine alone has no room for; no test here starts Ray."""

import os
from pathlib import Path

import pytest

from cluster.driver import generate
from cluster.preflight import check_room, describe, preflight
from synthgen.errors import ConfigError


def test_threads_above_the_cores_are_refused_before_a_cluster_is_started(make_config, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    config = make_config(pipeline={"threads": 1024})
    cores = len(os.sched_getaffinity(0))
    sentence = (
        f"pipeline.threads is 1024 and this machine has {cores} cores; it must be at most {cores}"
    )
    for executor in ("inline", "ray"):
        with pytest.raises(ConfigError) as caught:
            generate(config, executor)
        assert str(caught.value) == sentence
    assert not Path(config.output.path).exists()
    assert "\nproblem: " + sentence in describe(preflight(config, cluster=False))
    # A cluster may get a node that has them.
    elsewhere = config.cluster.model_copy(update={"address": "10.0.0.1:6379"})
    check_room(config.model_copy(update={"cluster": elsewhere}), "ray")


def test_gpus_that_are_not_there_are_refused_where_a_run_would_wait_for_them(make_config):
    config = make_config(cluster={"gpus_per_actor": 16})
    check_room(config, "inline")
    with pytest.raises(ConfigError, match=r"^cluster.gpus_per_actor is 16 and this machine has "):
        check_room(config, "ray")
