import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
import ray

from cluster.driver import generate
from cluster.worker import Worker
from pipelines.libreface import LibreFaceVerifier
from pipelines.libreface.check import ActionUnitCheck
from pipelines.procedural.source import ProceduralSource
from samplers.plan import build_plan
from synthgen.dataset import Storage
from synthgen.errors import RunError, WeightsError

pytestmark = pytest.mark.ray

MARK = (1, 2, 3)


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


@pytest.mark.slow  # so is each moment of the fault matrix, which CI runs
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


class Marking(ProceduralSource):
    """The real source, which marks a corner of one sample's images."""

    def generate(self, attempts):
        images = super().generate(attempts)
        for attempt, image in zip(attempts, images, strict=True):
            if attempt.spec.index == 21:
                image.putpixel((0, 0), MARK)
        return images


class HangingAtMark:
    """The real verifier, but that it hangs for ever at a marked image."""

    def __init__(self):
        self._verifier = LibreFaceVerifier.from_pretrained("mini")
        self.name = self._verifier.name
        self.fingerprint = self._verifier.fingerprint

    def measure(self, images):
        if any(image.getpixel((0, 0)) == MARK for image in images):
            threading.Event().wait()
        return self._verifier.measure(images)


def load_hanging(config, plan):
    source, storage = Marking(config.pipeline), Storage(config.output.path)
    checks = [ActionUnitCheck(HangingAtMark(), config.verify.checks[0].policy)]
    return Worker(config, plan, source, checks, storage)


def test_the_shard_that_hangs_is_named_not_the_one_beside_it(make_config, local_ray):
    cluster = {"actors": 1, "verify_timeout": 6, "max_failures": 1, "speculate": False}
    config = make_config(samples=60, cluster=cluster)
    guilty = build_plan(config).sample(21)
    shard = build_plan(config).shard_of(guilty.split, guilty.position)
    with pytest.raises(RunError) as caught:
        generate(config, "ray", load=load_hanging)
    assert str(caught.value) == (
        f"shard {shard.split}-{shard.number:05d} failed 2 times, even sample by sample; the last "
        "failure: StageTimeout: measuring 5 images took longer than 6 s (cluster.verify_timeout)"
    )


def test_actors_name_samples_by_the_paths_that_the_user_wrote(
    make_config, tmp_path, monkeypatch, local_ray
):
    monkeypatch.chdir(tmp_path)
    Path("labels.csv").write_text("AU6,AU12\n0,0\n3,4\n0,2\n")
    expressions = {"prior": "empirical", "labels": "labels.csv", "format": "csv", "smoothing": 0.2}
    config = make_config(samples=4, expressions=expressions, verify={"max_attempts": 1})
    generate(config, "ray")
    files = Path(config.output.path).glob("data/*.parquet")
    names = [name for file in files for name in pq.read_table(file)["sample_id"].to_pylist()]
    assert sorted(names) == [f"sample-{config.run_id()}-{n:08d}" for n in range(4)]
