"""The benchmark of bounds on each AU's error: what they keep, and what counts as wrong."""

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from pipelines.libreface.section import ActionUnitPolicy
from synthgen.action_units import AU_COUNT, au_vector
from synthgen.dataset import Storage, commit_shard, open_run
from tests.support.tiny_dataset import CONFIG, SCHEMA, Range, make_record, make_result
from tests.support.tiny_evaluation import make_judge_file

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMILE = {"AU6": 3.0, "AU12": 4.0, "AU20": 2.0}


@pytest.fixture
def each_error(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("each_error")


@pytest.fixture(autouse=True)
def _threads_as_before():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def vectors(*aus):
    return np.array([au_vector(each) for each in aus], np.float64).reshape(-1, AU_COUNT)


def make_run(folder, **configuration):
    """Write three rows, in which half of each AU is found, and a reject without a face."""
    storage, shard = Storage(str(folder)), Range("train", 0, 0, 3)
    record = make_record(3, expressions={"prior": "emotions"}, **configuration)
    open_run(storage, record, CONFIG, (shard,))
    commit_shard(storage, SCHEMA, make_result(shard))
    return folder


def test_images_are_judged_again_with_each_bound_and_the_second_judge_counts_wrong_ones(each_error):
    # Two rows, the second of which is a second attempt; and the first attempt that it replaced.
    found = vectors({**SMILE, "AU6": 1.25}, {**SMILE, "AU20": 4.0})
    rows = each_error.Images(vectors(SMILE, SMILE), found, np.array([True, False]))
    blind = np.full((1, AU_COUNT), np.nan)
    rejects = each_error.Images(vectors(SMILE), blind, np.array([True]))
    policy = ActionUnitPolicy(per_au_tolerance={"AU20": 2.0})
    wrong, floor = np.array([True, False]), np.array([False, True])
    assert each_error.table(rows, rejects, policy, wrong, floor)[2:] == [
        "| null | 1 of 2 (50.0 %) | 2 | 1 of 2 (50.0 %) | 1 of 2 (50.0 %) |",
        "| 2 | 1 of 2 (50.0 %) | 2 | 1 of 2 (50.0 %) | 1 of 2 (50.0 %) |",
        "| 1.5 | 0 of 2 (0.0 %) | 1 | 0 of 1 (0.0 %) | 1 of 1 (100.0 %) |",
        "| 1 | 0 of 2 (0.0 %) | 1 | 0 of 1 (0.0 %) | 1 of 1 (100.0 %) |",
    ]


def test_errors_are_those_of_aus_asked_for_alone(each_error):
    seen = vectors({"AU6": 1.0, "AU4": 5.0})
    assert each_error.errors(vectors({"AU6": 3.0}), seen).tolist() == [
        list(au_vector({"AU6": 2.0}))
    ]


def test_a_dataset_is_read_and_its_table_printed(each_error, capsys, tmp_path):
    policy = {"max_active_error": 2.0}
    run = make_run(tmp_path / "faces", verify={"verifier": "libreface", "policy": policy})
    judge = make_judge_file(tmp_path / "judge.safetensors")

    each_error.main([str(run), "--judge", str(judge)])

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "| `max_each_error` | first attempts kept | rows left | wrong | wrong if drawn |"
    )
    assert [line.split("|")[1:4] for line in lines[2:6]] == [
        [" null ", " 3 of 4 (75.0 %) ", " 3 "],
        [" 2 ", " 3 of 4 (75.0 %) ", " 3 "],
        [" 1.5 ", " 0 of 4 (0.0 %) ", " 0 "],
        [" 1 ", " 0 of 4 (0.0 %) ", " 0 "],
    ]


def test_a_dataset_without_the_check_is_refused(each_error, tmp_path):
    run = make_run(tmp_path / "faces", verify={"verifier": "none"})
    with pytest.raises(SystemExit) as refusal:
        each_error.run_policy(run)
    assert refusal.value.code == (
        f"{run}: the check libreface and the AUs AU1, AU2, AU4, AU5, AU6, AU9, AU12, AU15, AU17, "
        "AU20, AU25, AU26 are needed"
    )
