"""Attempts that were rejected, made again; and samples of a dataset that is there in part."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from commands import run
from PIL import Image

from cluster.driver import generate
from synthgen.errors import DatasetError
from synthgen.report.reproduction import ReproducedReject, reproduce


def table(config, folder):
    files = sorted((Path(config.output.path) / folder).glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


@pytest.fixture
def made(make_config):
    config = make_config()
    generate(config, "inline")
    return config


def test_rejected_attempts_are_made_again_to_the_last_value(made):
    rejects = table(made, "rejects")
    for row in rejects[:6]:
        again = reproduce(
            made.output.path, row["sample_id"], None, row["attempt"], row["replacement"]
        )
        assert isinstance(again, ReproducedReject)
        assert (again.same, again.now, again.largest) == (True, row["reason"], 0.0)


def test_the_command_says_the_reason_and_writes_the_picture(made, tmp_path):
    out, sheet = made.output.path, tmp_path / "reject.png"
    kept = {row["sample_id"]: row for row in table(made, "data")}
    reject = next(r for r in table(made, "rejects") if kept[r["sample_id"]]["replacement"] == 0)
    sample = reject["sample_id"]
    assert run("reproduce", out, sample, "--attempt", 0, "-o", sheet) == (
        0,
        f"{sample}, attempt 0: rejected again for {reject['reason']} ({reject['detail']}), "
        "all values the same\n",
        "",
    )
    with Image.open(sheet) as picture:
        assert picture.width < picture.height  # words below the image
    same = f"{sample}: the same image, byte by byte\n"
    assert run("reproduce", out, sample) == (0, same, "")
    assert run("reproduce", out, sample, "--attempt", 1) == (0, same, "")
    assert run("reproduce", out, sample, "--attempt", 7) == (
        2,
        "",
        f"error: {sample} has no attempt 7; it has attempt 0 ({reject['reason']}), attempt 1 "
        "(kept)\n",
    )
    assert run("reproduce", out, sample, "--replacement", 3)[::2] == (
        2,
        f"error: {sample} has no attempt of replacement 3; it has attempt 0 "
        f"({reject['reason']}), attempt 1 (kept)\n",
    )


def test_an_attempt_that_several_specs_have_needs_the_replacement(make_config):
    made = make_config(verify={"max_attempts": 1})
    generate(made, "inline")
    kept = {row["sample_id"]: row for row in table(made, "data")}
    sample = next(name for name, row in kept.items() if row["replacement"] == 1)
    with pytest.raises(DatasetError) as caught:
        reproduce(made.output.path, sample, attempt=0)
    assert str(caught.value) == (
        f"{sample} has an attempt 0 of each of the replacements 0, 1; say which with --replacement"
    )
    found = reproduce(made.output.path, sample, attempt=0, replacement=0)
    assert isinstance(found, ReproducedReject)
    assert found.same


def test_a_sample_that_is_only_in_rejects_is_made_again(make_config):
    strict = {"policy": {"max_active_error": 0, "max_inactive": 0}, "on_exhausted": "drop"}
    config = make_config(samples=8, verify=strict)
    generate(config, "inline")
    last = table(config, "rejects")[1]
    found = reproduce(config.output.path, last["sample_id"])
    assert isinstance(found, ReproducedReject)
    assert (found.attempt, found.same) == (1, True)


def test_only_the_samples_own_shard_is_wanted(made):
    folder = Path(made.output.path)
    train = pq.read_table(folder / "data" / "train-00000.parquet")["sample_id"][0].as_py()
    test = pq.read_table(folder / "data" / "test-00000.parquet")["sample_id"][0].as_py()
    for file in {*folder.glob("*/test-*.parquet"), *folder.glob("rejects/*")}:
        file.unlink()
    assert reproduce(made.output.path, train).same
    with pytest.raises(DatasetError) as caught:
        reproduce(made.output.path, test)
    assert str(caught.value) == (
        f"{folder} lacks data/test-00000.parquet, which is wanted for {test}; copy it from where "
        "the dataset is whole"
    )
    (folder / ".synthgen" / "shards" / "test-00000.json").unlink()
    with pytest.raises(DatasetError) as caught:
        reproduce(made.output.path, test)
    assert str(caught.value) == (f"{folder} has no finished shard test-00000, which holds {test}")


def test_what_differs_is_said():
    found = ReproducedReject("sample-1", 0, 2, "inactive", "AU4 is 1.9", "inactive", 0.0125)
    assert (found.same, found.text()) == (
        False,
        "sample-1, attempt 0 of replacement 2: rejected again for inactive (AU4 is 1.9), but "
        "measured values differ by 0.013 at most",
    )
    found = ReproducedReject("sample-1", 0, 0, "inactive", "AU4 is 1.9", "", 0.0125)
    assert found.text() == (
        "sample-1, attempt 0: was rejected for inactive (AU4 is 1.9), now accepted"
    )
    found = ReproducedReject("sample-1", 0, 0, "no_face", "no face", "no_face", float("inf"))
    assert found.text() == (
        "sample-1, attempt 0: rejected again for no_face (no face), but measured values are others"
    )
