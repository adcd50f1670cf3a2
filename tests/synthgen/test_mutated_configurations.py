"""Mutated copies of the examples end in the ways that the documentation names, and in no other."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from mutations import files_below, mutated_texts, run_command

from synthgen.config import load_config
from synthgen.dataset import inspect_dataset
from synthgen.errors import ConfigError

# Many more, each time others: MUTATIONS=5000 pytest -m slow tests/synthgen/test_mutated_…
NUMBER = int(os.environ.get("MUTATIONS", "300"))
SOME = settings(
    derandomize="MUTATIONS" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
SMALL = ("samples=1", "pipeline={name: procedural, batch_size: 1}", "verify.max_attempts=1",
         "verify.max_replacements=0")  # fmt: skip
LONGEST_SENTENCE = 1500


def check(folder: Path, name: str, text: str) -> int:
    """Run a mutated configuration; return how it ended.

    What is allowed runs on drawn faces and at a tiny size; what names published weights runs as it
    stands, since it must end before any work.
    """
    config = folder / "run.yaml"
    config.write_bytes(text.encode("utf-8", "surrogatepass"))
    sets = [f"output.path={folder / 'out'}"]
    try:
        allowed = load_config(config, sets)
    except ConfigError:
        pass
    else:
        published = getattr(allowed.pipeline, "weights", "mini") != "mini"
        sets += (
            []
            if published
            and any(getattr(check, "weights", "") == "libreface" for check in allowed.verify.checks)
            else SMALL
        )
    before = files_below(folder)
    arguments = [part for each in sets for part in ("--set", each)]
    found = run_command("generate", str(config), "--executor", "inline", *arguments)
    assert "Traceback" not in found.err
    if found.code in (None, 0):
        inspection = inspect_dataset(str(folder / "out"))
        assert not inspection.problems, inspection.problems
        assert sum(inspection.statistics.rows.values()) == inspection.samples
        return 0
    errors = [line for line in found.err.splitlines() if line.startswith("error: ")]
    if found.code == 3 and not errors:
        assert found.out.startswith(("less than asked: ", "not all accepted: ")), found
        return 3
    assert len(errors) == 1, found
    assert 10 < len(errors[0]) < LONGEST_SENTENCE, found
    assert found.code in (2, 3), found
    if found.code == 2:
        assert files_below(folder) == before, found
    return found.code


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


def run_all(folder, tmp_path_factory, number):
    ends = []

    @settings(SOME, max_examples=number)
    @given(mutated_texts())
    def ends_as_documented(case):
        ends.append(check(tmp_path_factory.mktemp("case"), *case))

    ends_as_documented()
    return ends


def test_mutated_examples_end_as_documented(folder, tmp_path_factory):
    ends = run_all(folder, tmp_path_factory, 25)
    assert {0, 2} <= set(ends)


@pytest.mark.slow
def test_many_mutated_examples_end_as_documented(folder, tmp_path_factory):
    ends = run_all(folder, tmp_path_factory, NUMBER)
    assert {0, 2} <= set(ends)
