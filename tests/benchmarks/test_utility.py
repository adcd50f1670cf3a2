"""The benchmark of what choices are worth: its datasets, and the rows that it learns."""

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest

from pipelines.evaluation import outside_statistics
from pipelines.recognition import FerEvaluation
from synthgen.config import load_config
from tests.support.tiny_recognition import make_faces

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def utility(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(outside_statistics, "RESAMPLES", 20)
    return importlib.import_module("utility")


def test_each_dataset_is_a_configuration_and_each_row_has_one(utility):
    for example, changes in utility.WORLDS.values():
        load_config(utility.EXAMPLES / example, changes)
    assert {world for one in utility.CHOICES for world in utility.worlds_of(one)} == {
        *utility.WORLDS
    } - {"test"}


def test_rows_are_learned_and_written(utility, tmp_path):
    for world in ("test", "drawn", "verified"):
        make_faces(utility.place(tmp_path, world), train=12, test=0)
    settings = FerEvaluation(
        "", str(utility.place(tmp_path, "test")), split="all", test_split="all", size=16, epochs=1
    )
    chosen = [one for one in utility.CHOICES if one.name in ("verified, half", "100 drawn alone")]
    found = {one.name: utility.learn(one, settings, tmp_path, 12) for one in chosen}
    utility.write(found, tmp_path, settings)
    page = (tmp_path / "utility.md").read_text()
    assert "Tested on 12 drawn faces of people whom no training saw; 1 training a row" in page
    assert "| verified, half | 6 | " in page
    assert "| 100 drawn alone | 12 | " in page
    assert list(json.loads((tmp_path / "utility.json").read_text())) == list(found)
