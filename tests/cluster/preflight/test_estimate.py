from dataclasses import replace

import pytest
from found_nodes import GB, GOOD, MACHINE

from cluster.preflight.checks import Report, describe
from cluster.preflight.estimate import Earlier, add_up, estimate, read_earlier
from cluster.preflight.findings import in_bytes, in_digits, in_time, problem, warning
from cluster.preflight.measure import Measured
from cluster.preflight.nodes import Node
from pipelines.fineface.section import FineFaceConfig
from synthgen.dataset import FileStamp, ShardMarker

NODES = [Node("a", 4, GOOD), Node("b", 4, GOOD), Node("head", 0, GOOD)]
CPU = [Node("this machine", 2, replace(GOOD, machine=replace(MACHINE, gpus=(), cuda=None)))]


@pytest.fixture
def config(make_config):
    pipeline = FineFaceConfig(
        name="fineface",
        weights={"base": "b", "fineface": "f"},
        batch_size=8,
        dtype="float16",
        num_inference_steps=25,
    )
    config = make_config(samples=7200, cluster={"cost_per_hour": 2.0})
    return config.model_copy(update={"pipeline": pipeline})


def marker(number, worker, started, finished, attempts=30):
    return ShardMarker(
        split="train", number=number, start=0, stop=20, rows=19, attempts=attempts, accepted=19,
        rejected={}, errors=0, missing=("x",), seconds={}, worker=worker,
        started=f"2026-11-21T10:{started}+00:00", finished=f"2026-11-21T10:{finished}+00:00",
        files={"data": FileStamp("", 900), "rejects": FileStamp("", 50)},
    )  # fmt: skip


def test_a_published_figure_is_scaled_by_the_steps(config):
    took = estimate(config, NODES)
    assert (took.samples, took.images, took.workers, took.gpus) == (7200, 7200, 8, 1.0)
    assert took.rate.value == pytest.approx(1.152 * 2)
    assert took.rate.bound
    assert took.seconds == pytest.approx(7200 / 2.304 / 8)
    assert took.cost == pytest.approx(7200 / 2.304 / 3600 * 2.0)
    assert took.row.bound
    assert took.bytes == 7200 * (512 * 512 * 3 + 1700)


def test_where_nothing_is_known_nothing_is_said(config):
    bfloat16 = config.model_copy(
        update={"pipeline": config.pipeline.model_copy(update={"dtype": "bfloat16"})}
    )
    took = estimate(bfloat16, NODES)
    assert (took.rate, took.seconds, took.cost) == (None, None, None)


def test_a_measurement_comes_before_published_figures(config):
    took = estimate(config, NODES, measured=Measured(5.0, 16, 8, 9000.0, "NVIDIA A100", 3 * GB))
    assert (took.images, took.rate.value, took.row.value) == (14400, 5.0, 10_000)
    assert took.rate.source == "measured on NVIDIA A100"


def test_earlier_shards_come_first(config):
    earlier = Earlier(done=3600, rows=3000, attempts=4000, bytes=30_000_000, rate=10.0)
    took = estimate(config, NODES, earlier, Measured(5.0, 16, 8, 9000.0, "x", None))
    assert (took.samples, took.images) == (3600, 4800)
    assert (took.rate.value, took.row.value) == (10.0, 10_000)


def test_a_worker_s_rate_counts_overlapping_shards_once_and_pauses_not_at_all():
    markers = [
        marker(0, "a:1", "00:00", "00:20"),
        marker(1, "a:1", "00:10", "00:30"),
        marker(2, "a:1", "30:00", "30:30"),
        marker(3, "b:1", "00:00", "01:00"),
    ]
    assert add_up(markers) == Earlier(done=80, rows=76, attempts=120, bytes=3800, rate=1.0)
    assert add_up([replace(one, started="") for one in markers]).rate is None


def test_no_dataset_tells_nothing(tmp_path):
    assert read_earlier(str(tmp_path)) is None


def test_the_report_says_what_it_knows_and_from_where(config):
    took = estimate(config, NODES, Earlier(3600, 3000, 4000, 30_000_000, 10.0))
    lost = Node("lost", 1, None, "no answer in 60 s")
    found = [problem("this is missing"), warning("this is odd")]
    report = Report(config, [*NODES, lost], took, found)
    assert describe(report).splitlines() == [
        f"small: 7200 samples, to {config.output.path}",
        "",
        "node  workers  GPU              memory of a worker       weights  output",
        "a     4        1 × NVIDIA A100  about 8.2 GB of 16.0 GB  there    writable, 1.0 GB free",
        "b     4        1 × NVIDIA A100  about 8.2 GB of 16.0 GB  there    writable, 1.0 GB free",
        "head  0        1 × NVIDIA A100  about 8.2 GB of 16.0 GB  there    writable, 1.0 GB free",
        "lost  1        ?                ?                        ?        no answer in 60 s",
        "",
        "licences  SD: OpenRAIL",
        "images    about 4800 for 3600 samples (75% of 4000 images of earlier shards kept)",
        "          at most 79,200, 22 a sample, were none of them kept; verify.fuse: "
        "300 of a stratum end it sooner",
        "time      about 0.13 GPU hours: 1 min 0 s with 8 workers, 10.00 images/s a worker "
        "(earlier shards of this output)",
        "data      about 36.0 MB, 10 kB a sample (mean of earlier shards)",
        "cost      about 0.27, at 2 an hour of a worker",
        "",
        "warning: this is odd",
        "problem: this is missing",
    ]


def test_the_report_says_what_nobody_knows(config):
    bare = [replace(CPU[0], probe=replace(CPU[0].probe, weights=replace(GOOD.weights, facts={})))]
    lines = describe(Report(config, bare, estimate(config, bare), [])).splitlines()
    assert lines[-7:] == [
        "images    at least 7200 for 7200 samples (every image kept, which nobody knows yet)",
        "          at most 158,400, 22 a sample, were none of them kept; verify.fuse: "
        "300 of a stratum end it sooner",
        "time      unknown: no figure for this pipeline on this hardware; --measure finds one",
        "data      unknown: no figure for images of this size; --measure finds one",
        "cost      unknown, at 2 an hour of a worker",
        "",
        "nothing is missing",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (999, "999 B"), (17_200, "17 kB"), (3.25e9, "3.2 GB"), (5e13, "50.0 TB")],
)
def test_sizes(value, text):
    assert in_bytes(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(59, "59 s"), (150, "2 min 30 s"), (7260, "2 h 1 min"), (200_000, "2 days 7 h")],
)
def test_times(value, text):
    assert in_time(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.00391, "0.0039"), (1.26, "1.3"), (1234.5, "1234")])
def test_digits(value, text):
    assert in_digits(value) == text
