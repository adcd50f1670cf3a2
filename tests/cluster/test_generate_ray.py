import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import ray

from cluster.driver import generate
from synthgen.errors import WeightsError

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def local_ray():
    ray.init(address="local", num_cpus=2, log_to_driver=False, include_dashboard=False)
    yield
    ray.shutdown()


@pytest.mark.parametrize("actors", [1, 2])
def test_actors_give_the_bytes_of_the_inline_run(make_config, digests, local_ray, actors):
    inline, spread = make_config("inline"), make_config("ray", cluster={"actors": actors})
    made = [generate(inline, "inline"), generate(spread, "ray")]
    assert replace(made[0], pace=None) == replace(made[1], pace=None)
    assert digests(inline) == digests(spread)


def test_more_actors_than_the_cluster_has_room_for_hold_nothing_back(make_config, local_ray):
    config = make_config(samples=12, cluster={"actors": 5})
    assert generate(config, "ray").rows == 12


def test_a_killed_actor_is_replaced_and_nothing_is_lost_or_doubled(make_config, digests, local_ray):
    inline = make_config("inline", samples=120)
    generate(inline, "inline")
    config = make_config("ray", samples=120, cluster={"actors": 1})
    killed = threading.Thread(target=kill_actor_after_first_marker, args=(config,))
    killed.start()
    generate(config, "ray")
    killed.join()
    assert digests(config) == digests(inline)


def kill_actor_after_first_marker(config):
    markers = Path(config.output.path) / ".synthgen/shards"
    deadline = time.monotonic() + 60
    while not list(markers.glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    for process in psutil.Process().children(recursive=True):
        if process.name().startswith("ray::WorkerActor"):
            os.kill(process.pid, signal.SIGKILL)


def test_what_the_user_can_mend_keeps_its_error_through_an_actor(make_config, local_ray, tmp_path):
    config = make_config(verify={"weights": str(tmp_path / "none.safetensors")})
    with pytest.raises(WeightsError, match=r"none\.safetensors"):
        generate(config, "ray")
    assert not Path(config.output.path).exists()
