import os
import signal

import pytest
import ray

from cluster.pool import Pool
from cluster.resolve import actors_on, gpus_per_actor
from pipelines.fineface.section import FineFaceConfig
from synthgen.errors import ConfigError, RunError, WeightsError

H200 = {"weights": "a", "hardware": "H200"}


@pytest.fixture(scope="module")
def local_ray():
    ray.init(address="local", num_cpus=4, log_to_driver=False, include_dashboard=False)
    yield
    ray.shutdown()


class Loads:
    """What the pool asks of an actor, with a load that gives what it is told to."""

    def __init__(self, given):
        self._given = given

    def where(self):
        return ray.get_runtime_context().get_node_id()

    def load(self):
        if self._given == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if isinstance(self._given, Exception):
            raise self._given
        return self._given


@pytest.fixture
def make_pool(local_ray):
    """Return a function that makes a pool whose actors load, one after another, what is given."""
    pools = []

    def make(*given, mixed_hardware=False, size=None):
        left = iter(given)

        def start(avoids):
            options = {"num_cpus": 1, "label_selector": dict(avoids) or None}
            return ray.remote(Loads).options(**options).remote(next(left, given[-1]))

        pool = Pool(
            len(given) if size is None else size,
            (1, 0.0),
            start,
            ray.kill,
            max_failures=1,
            mixed_hardware=mixed_hardware,
        )
        pools.append(pool)
        pool.follow()
        return pool

    yield make
    for pool in pools:
        pool.close()


def settle(pool):
    """Take in, in the order of hiring, all that arrives."""
    while refs := pool.arriving():
        ray.wait(refs[:1], timeout=60)
        pool.arrived(refs[0])


def ready(pool):
    return [member.ready for member in pool.members]


@pytest.mark.ray
def test_another_kind_of_hardware_gets_no_work_and_its_node_no_more_actors(make_pool, caplog):
    pool = make_pool(H200, {**H200, "hardware": "A100"})
    settle(pool)
    assert ready(pool) == [True]
    (node,) = ray.nodes()
    (line,) = caplog.messages
    assert line == (
        f"node {node['NodeID'][:8]} ({node['NodeManagerAddress']}) gets no more actors: it has "
        "A100, the first actor H200, and bits differ between them; cluster.mixed_hardware: true "
        "lets it work too"
    )
    pool.follow()
    _, waiting = pool.members
    assert waiting.avoids == {"ray.io/node-id": f"!in({node['NodeID']})"}


@pytest.mark.ray
def test_mixed_hardware_may_work_together_but_not_other_weights(make_pool):
    pool = make_pool(
        H200, {**H200, "hardware": "A100"}, {**H200, "weights": "b"}, mixed_hardware=True
    )
    with pytest.raises(RunError, match="the nodes would make different data"):
        settle(pool)
    assert ready(pool) == [True, True, False]


@pytest.mark.ray
def test_what_the_first_actor_raises_ends_the_run_and_a_later_one_only_its_node(make_pool, caplog):
    broken = WeightsError("no weights here")
    with pytest.raises(WeightsError, match="no weights here"):
        settle(make_pool(broken))
    pool = make_pool(H200, broken)
    settle(pool)
    assert ready(pool) == [True]
    assert caplog.messages[-1].endswith("loading failed there: WeightsError: no weights here")


@pytest.mark.ray
def test_actors_that_die_while_they_load_end_the_run_after_a_bounded_number_of_tries(make_pool):
    pool = make_pool("die")
    settle(pool)
    assert not pool.members
    pool.resize(1)
    pool.follow()
    with pytest.raises(RunError, match="actors die while they load their models"):
        settle(pool)


def test_a_node_has_room_for_whole_actors():
    assert actors_on({"CPU": 7}, 2, 0) == 3
    assert actors_on({"CPU": 16, "GPU": 2}, 1, 0.3) == 6
    assert actors_on({"CPU": 16, "GPU": 1}, 1, 1 / 3) == 3
    assert actors_on({"CPU": 2, "GPU": 8}, 1, 1) == 2
    assert actors_on({"CPU": 8}, 1, 1) == 0


def test_an_actor_takes_a_gpu_where_there_are_any_and_its_pipeline_is_a_model(make_config):
    drawn = make_config()
    pipeline = FineFaceConfig(name="fineface", weights="mini")
    painted = drawn.model_copy(update={"pipeline": pipeline})
    assert gpus_per_actor(drawn, {"GPU": 8}) == 0
    assert gpus_per_actor(painted, {"GPU": 8}) == 1
    assert gpus_per_actor(painted, {"CPU": 8}) == 0
    assert gpus_per_actor(make_config(cluster={"gpus_per_actor": 0.5}), {}) == 0.5


def test_an_actor_of_more_than_one_gpu_takes_whole_ones(make_config):
    with pytest.raises(ConfigError) as error:
        gpus_per_actor(make_config(cluster={"gpus_per_actor": 1.5}), {})
    assert str(error.value) == (
        "cluster.gpus_per_actor is 1.5: several actors can share a GPU (0.5), but an actor of more "
        "than one takes whole GPUs (1, 2, …)"
    )
