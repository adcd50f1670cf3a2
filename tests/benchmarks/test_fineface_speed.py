import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TINY = ["--part", "8", "--side", "32", "--batch", "2", "--steps", "2", "1", "--cold"]
ONCE = ["--rounds", "1", "--threads", "1", "--device", "cpu"]


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("fineface_speed")


@pytest.fixture(autouse=True)
def _gradients_and_threads_as_before():
    threads = torch.get_num_threads()
    yield
    torch.set_grad_enabled(True)
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("what", "works"), [("images", 3), ("step", 2)])
def test_benchmark_prints_each_way_with_its_ratio_to_the_published_one(
    what: str, works: int, speed: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    speed.main(["--only", what, *TINY, *ONCE])

    title, first, *others = capsys.readouterr().out.splitlines()
    assert title.startswith(f"{what}, 1 CPU thread(s), cpu")
    assert first.startswith("published way")
    assert first.endswith("1.0×     1.0×")
    assert len(others) >= works - 1
    assert all(re.fullmatch(r"ours, .*\d s +\d.*\d×.*\d×", line) for line in others)


def test_images_that_differ_end_the_benchmark(speed: ModuleType, tmp_path: Path) -> None:
    base, fineface = speed.save_mini(tmp_path, part=8)
    published = speed.PublishedLoop(base, fineface, steps=2, guidance_scale=5.0, device="cpu")
    ours = speed.fineface_source((base, fineface), "ddim", 2, "float32", "cpu")
    batch = speed.attempts(2)
    speed.check_images(published, ours, batch)

    with pytest.raises(SystemExit, match=r"^the two ways differ by .* of the range of a pixel$"):
        speed.check_images(_Turned(published), ours, batch)


def test_steps_that_differ_end_the_benchmark(speed: ModuleType) -> None:
    expected = torch.tensor([1.0, -4.0])
    speed.check_step(expected + 0.003, expected)

    with pytest.raises(SystemExit, match=r"^the two ways differ by 2\.5e-03 of the largest value$"):
        speed.check_step(expected + 0.01, expected)


def test_steps_that_are_nan_end_the_benchmark(speed: ModuleType) -> None:
    with pytest.raises(SystemExit, match="the two ways differ by nan"):
        speed.check_step(torch.tensor([torch.nan]), torch.tensor([1.0]))


class _Turned:
    """Paints each attempt with the AUs in another order."""

    def __init__(self, published) -> None:
        self._published = published

    def generate(self, batch):
        spec = batch[0].spec
        turned = type(spec)(
            **{
                **{name: getattr(spec, name) for name in spec.__dataclass_fields__},
                "conditions": {"aus": spec.aus[::-1]},
            }
        )
        first = type(batch[0])(spec=turned, number=0, seed=batch[0].seed)
        return self._published.generate([first, *batch[1:]])
