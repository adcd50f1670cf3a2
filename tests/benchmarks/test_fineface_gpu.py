import importlib
import re
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TINY = ["--part", "8", "--side", "8", "--batches", "1", "2", "--steps", "2", "1", "--cold"]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture(autouse=True)
def _arithmetic_as_before():
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32
    yield
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = before


@pytest.mark.slow
def test_each_way_is_timed_at_each_batch_and_says_that_there_is_no_gpu(
    load, capsys: pytest.CaptureFixture[str]
) -> None:
    load("fineface_gpu").main([*TINY, "--rounds", "1", "--device", "cpu"])

    machine, heads, *lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"torch .*, no GPU: the CPU with \d+ thread\(s\); widths of SD 2\.1 / 8, 64×64 pixels",
        machine,
    )
    assert heads.split() == ["batch", "images/s", "ratio", "memory", "of", "bf16"]
    names = [re.split(r"  +", line)[0] for line in lines]
    assert names == [
        name
        for name in (
            "published way, float32, DDIM 2",
            "ours, float32, DDIM 2",
            "ours, bfloat16, DDIM 2",
            "ours, bfloat16, DPM-Solver++ 1",
        )
        for _ in range(2)
    ]
    assert all(re.search(r" +[12] +\d+\.\d{3} +\d+\.\d× +– +–$", line) for line in lines)
    assert all(line.split()[-3] == "1.0×" for line in lines[:2])


def test_a_batch_that_the_memory_does_not_hold_is_said_so(load) -> None:
    gpu = load("fineface_gpu")

    def paint(batch):
        if len(batch) > 1:
            raise torch.OutOfMemoryError("no room")

    options = gpu._options().parse_args(["--batches", "1", "2", "--cold", "--device", "cpu"])
    way = gpu.Way("a way", lambda: paint, 0.0)
    (one, fits), (two, does_not) = gpu.measure(way, options)
    assert (one, two, does_not) == (1, 2, None)
    assert fits.images > 0
    assert gpu._line(way, 2, None, 1.0, None).split() == ["a", "way", "2", "out", "of", "memory"]


def test_share_of_the_limit_is_arithmetic_a_second_by_what_the_gpu_can(load) -> None:
    gpu = load("fineface_gpu")
    way = gpu.Way("a way", lambda: None, flops=50e12)
    line = gpu._line(way, 16, gpu.Speed(images=5.0, memory=3 * 2**30), 2.5, peak=1000.0)
    assert line.split()[2:] == ["16", "5.000", "2.0×", "3.0", "GiB", "25.0%"]


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("NVIDIA H200", 989),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A10", 125),
        ("NVIDIA L40S", 362),
        ("NVIDIA GeForce RTX 4090", 165),
        ("Tesla T4", None),
    ],
)
def test_limits_go_by_the_name_of_the_gpu(load, name: str, limit: float | None) -> None:
    assert load("arithmetic").bf16_peak(name) == limit


def test_arithmetic_of_products_convolutions_and_attention_is_counted(load) -> None:
    count_flops = load("arithmetic").count_flops

    def count(work):
        return count_flops(work)["Global"]

    a, b = torch.zeros(3, 5), torch.zeros(5, 7)
    assert count(lambda: a @ b) == 2 * 3 * 5 * 7
    image, kernel = torch.zeros(1, 2, 4, 4), torch.zeros(6, 2, 3, 3)
    convolve = torch.nn.functional.conv2d
    assert count(lambda: convolve(image, kernel, padding=1)) == 2 * 16 * 6 * 2 * 9
    query = torch.zeros(1, 2, 8, 4)
    attend = torch.nn.functional.scaled_dot_product_attention
    assert count(lambda: attend(query, query, query)) == 2 * (2 * 2 * 8 * 8 * 4)
