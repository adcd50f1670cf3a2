import time
import urllib.request
from collections import Counter

import pytest
import ray
from prometheus_client.parser import text_string_to_metric_families

from cluster.actors import WorkerActor
from cluster.metrics import Metrics
from cluster.worker import load_worker
from samplers.plan import build_plan

PREFIX = "ray_synthgen_"


def test_metrics_without_ray_do_nothing():
    assert not ray.is_initialized()
    metrics = Metrics("small")
    metrics.judged(3, {"inactive": 1})
    metrics.failed()
    metrics.committed()
    metrics.stage("paint", 0.5)
    metrics.refresh()


@pytest.fixture
def port():
    """Start a local Ray that exports its metrics often, and return the port."""
    ray.init(
        address="local",
        num_cpus=1,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        _system_config={"metrics_report_interval_ms": 200},
    )
    yield ray.nodes()[0]["MetricsExportPort"]
    ray.shutdown()


def _scraped(port: int) -> dict[tuple[str, ...], float]:
    """Return (name, value of the label beside `run`) → value of what we export."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = [sample for family in families for sample in family.samples]
    return {
        (
            sample.name.removeprefix(PREFIX),
            *(sample.labels[key] for key in ("reason", "stage") if key in sample.labels),
        ): sample.value
        for sample in samples
        if sample.name.startswith(PREFIX) and sample.labels["run"] == "small"
    }


def _close(found, expected):
    shown = {key: found.get(key) for key in expected}
    return None not in shown.values() and shown == pytest.approx(expected, abs=0.01)


@pytest.mark.ray
@pytest.mark.slow
def test_ray_exports_what_the_markers_count(make_config, port):
    config = make_config("metrics", samples=16, pipeline={"au_noise": 1.5})
    actor = ray.remote(WorkerActor).options(num_cpus=1).remote(config, load_worker)
    ray.get(actor.load.remote(), timeout=120)
    shards = list(build_plan(config).shards())
    markers = [ray.get(actor.work.remote(shard, False), timeout=120) for shard in shards]
    stages, reasons = Counter(), Counter()
    for marker in markers:
        reasons.update(marker.rejected)
        stages.update({stage: s for stage, s in marker.seconds.items() if stage != "wait"})
    expected = {
        ("images_accepted_total",): sum(marker.accepted for marker in markers),
        **{("images_rejected_total", why): count for why, count in reasons.items()},
        ("shards_committed_total",): len(shards),
        **{("stage_seconds_total", stage): seconds for stage, seconds in stages.items()},
    }
    deadline = time.monotonic() + 60
    found = {}
    while not _close(found, expected) and time.monotonic() < deadline:
        time.sleep(0.2)
        found = _scraped(port)
    assert reasons
    assert found.pop(("images_per_second",)) > 0
    assert found == pytest.approx(expected, abs=0.01)
