"""A worker's batches that hang, do not fit, or are of a size that nobody set."""

import threading
import time

import pytest
import torch
from PIL import Image

from cluster.batches import StageTimeout
from cluster.driver import generate
from cluster.resolve import as_begun, with_batch_size
from cluster.worker import Worker, load_worker
from pipelines.libreface import LibreFaceVerifier
from pipelines.libreface.check import ActionUnitCheck
from pipelines.procedural.source import ProceduralSource
from samplers.plan import build_plan
from synthgen.dataset import Storage, read_markers, read_record
from synthgen.errors import ConfigError, RunError
from synthgen.report.comparison import stored_config

ONE_SHARD = {"samples": 4, "verify": {"max_attempts": 1, "on_exhausted": "keep_best"}}


class HangingVerifier:
    """A verifier that measures nothing until it is let go."""

    name = "hanging"

    def __init__(self):
        self.go_on = threading.Event()

    def measure(self, images):
        self.go_on.wait()

    def fingerprint(self):
        return {"weights": {}, "licences": {}, "versions": {}}


class HungrySource(ProceduralSource):
    """A source that has memory for a few images only."""

    def __init__(self, config, room):
        super().__init__(config)
        self._room = room

    def generate(self, attempts):
        if len(attempts) > self._room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super().generate(attempts)


class GrayVerifier(HangingVerifier):
    """A verifier that measures until the device is full."""

    def measure(self, images):
        raise RuntimeError("CUDA error: out of memory")


def worker_of(config, source=None, verifier=None) -> Worker:
    reader = verifier or LibreFaceVerifier.from_pretrained("mini")
    return Worker(
        config,
        build_plan(config),
        source or ProceduralSource(config.pipeline),
        [ActionUnitCheck(reader, config.verify.checks[0].policy)],
        Storage(config.output.path),
    )


def first_shard(config):
    return next(iter(build_plan(config).shards()))


@pytest.mark.parametrize("isolate", [False, True])
def test_a_verifier_that_hangs_ends_the_work_on_a_shard(make_config, isolate):
    config = make_config(**ONE_SHARD, cluster={"verify_timeout": 0.2})
    verifier = HangingVerifier()
    worker = worker_of(config, verifier=verifier)
    with pytest.raises(StageTimeout) as caught:
        worker.work(first_shard(config), isolate)
    assert str(caught.value) == (
        "measuring 5 images took longer than 0.2 s (cluster.verify_timeout)"
    )
    verifier.go_on.set()
    assert read_markers(Storage(config.output.path)) == {}


@pytest.mark.parametrize("isolate", [False, True])
def test_a_batch_that_does_not_fit_ends_the_run_and_names_the_size(make_config, isolate):
    config = make_config(**ONE_SHARD, pipeline={"batch_size": 4})
    worker = worker_of(config, HungrySource(config.pipeline, room=3))
    with pytest.raises(RunError) as caught:
        worker.work(first_shard(config), isolate)
    assert str(caught.value) == (
        "the device has not enough memory to paint a batch at pipeline.batch_size 4; "
        "set pipeline.batch_size: 2"
    )


def test_measuring_that_does_not_fit_is_no_reject(make_config):
    config = make_config(**ONE_SHARD, pipeline={"batch_size": 1})
    with pytest.raises(RunError) as caught:
        worker_of(config, verifier=GrayVerifier()).work(first_shard(config), isolate=True)
    assert str(caught.value) == (
        "the device has not enough memory to measure a batch at pipeline.batch_size 1; "
        "take a device with more memory, a smaller pipeline.dtype, or smaller images"
    )


def test_out_of_memory_ends_a_run_at_once(make_config):
    def load(config, plan):
        return worker_of(config, HungrySource(config.pipeline, room=3))

    with pytest.raises(RunError, match=r"set pipeline\.batch_size: 2$"):
        generate(make_config(**ONE_SHARD), "inline", load=load)


def test_a_batch_size_that_nobody_set_is_refused(make_config):
    config = make_config(**ONE_SHARD, pipeline={"batch_size": "auto"})
    with pytest.raises(ConfigError) as caught:
        worker_of(config).work(first_shard(config))
    assert str(caught.value) == (
        "pipeline.batch_size is 'auto' and no worker has tried sizes; set it to a number"
    )


def test_a_worker_goes_on_with_the_size_that_it_found(make_config):
    config = make_config(**ONE_SHARD, pipeline={"batch_size": "auto"})
    sizes = []

    class Watched(HungrySource):
        def generate(self, attempts):
            sizes.append(len(attempts))
            time.sleep(0.05)  # dear whatever the size: the larger batch is worth it
            return (
                [Image.new("RGB", (128, 128))] * len(super().generate(attempts[:1])) * len(attempts)
            )

    worker = worker_of(config, Watched(config.pipeline, room=4))
    size = worker.probe()
    assert size & (size - 1) == 0
    assert size == worker.batch_size
    sizes.clear()
    worker.generate([build_plan(config).attempt(build_plan(config).sample(0), 0)])
    assert sizes == [size]


def test_a_probe_that_finds_no_room_for_one_image_says_so(make_config):
    config = make_config(**ONE_SHARD, pipeline={"batch_size": "auto"})
    with pytest.raises(
        RunError, match=r"not enough memory to make a batch at pipeline\.batch_size 1"
    ):
        worker_of(config, HungrySource(config.pipeline, room=0)).probe()


def test_a_begun_run_keeps_its_batch_size(make_config):
    fixed = make_config(**ONE_SHARD)
    auto = make_config(**ONE_SHARD, pipeline={"batch_size": "auto"})
    storage = Storage(auto.output.path)
    assert as_begun(auto, storage).pipeline == auto.pipeline
    generate(fixed, "inline", load=load_worker)
    assert fixed == with_batch_size(auto, 5)
    assert as_begun(auto, storage).pipeline == fixed.pipeline
    assert as_begun(with_batch_size(auto, 6), storage).pipeline.batch_size == 6


def test_markers_hold_busy_and_waiting_seconds_and_the_hardware(make_config):
    config = make_config(**ONE_SHARD)
    generate(config, "inline")
    storage = Storage(config.output.path)
    marker = next(iter(read_markers(storage).values()))
    assert set(marker.seconds) == {"paint", "measure", "encode", "wait", "write"}
    assert marker.hardware == "CPU"
    assert read_record(storage).hardware == ("CPU",)


def test_a_run_takes_one_batch_size_and_keeps_it(make_config):
    config = make_config(**ONE_SHARD, pipeline={"batch_size": "auto"})
    probed = []

    class Probed(Worker):
        def probe(self):
            probed.append(super().probe())
            return probed[-1]

    def load(config, plan):
        source = ProceduralSource(config.pipeline)
        checks = [
            ActionUnitCheck(LibreFaceVerifier.from_pretrained(), config.verify.checks[0].policy)
        ]
        return Probed(config, plan, source, checks, Storage(config.output.path))

    generate(config, "inline", load=load)
    storage = Storage(config.output.path)
    stored = stored_config(storage)
    assert [stored.pipeline.batch_size] == probed
    assert generate(config.model_copy(update={"samples": 6}), "inline", load=load).rows == 6
    assert len(probed) == 1
    assert stored_config(storage).pipeline.batch_size == probed[0]
