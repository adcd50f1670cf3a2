"""`synthgen improve` as a user types it: plan, run, stop, go on, refuse."""

import csv
import json

import pytest
import yaml
from commands import run

from pipelines.evaluation import outside_statistics

RUN = {
    "name": "faces",
    "seed": 5,
    "samples": 40,
    "output": {"path": "first", "shard_size": 40, "splits": {"train": 0.8, "test": 0.2}},
    "expressions": {"prior": "emotions", "categories": ["neutral", "happy", "surprised"]},
    "identities": {
        "source": "prompts",
        "template": "a {age} {person}",
        "slots": {"age": ["young", "old"], "person": ["man", "woman"]},
        "expressions_per_identity": 2,
        "people_per_tuple": 1000,
    },
    "pipeline": {"name": "procedural", "size": 64, "batch_size": 20, "au_noise": 0.0},
    "verify": {"verifier": "none"},
}
TEST = ("--set", "samples=200", "--set", "seed=99", "--set", "output.path=unseen")
LOOP = (
    "config.yaml", "--test", "unseen", "--test-split", "all", "--holdout", 0.3, "--samples", 30,
    "--seeds", 2, "--epochs", 1, "--size", 16, "--executor", "inline", "--to", "loop",
)  # fmt: skip


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Draw people fifty times for an interval."""
    monkeypatch.setattr(outside_statistics, "RESAMPLES", 50)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("improve")
    (folder / "config.yaml").write_text(yaml.safe_dump(RUN))
    made = run("generate", "config.yaml", *TEST, "--executor", "inline", cwd=folder)
    assert made[0] == 0, made[2]
    return folder


def improve(place, *options):
    return run("improve", *LOOP, *options, cwd=place)


def test_the_plan_makes_nothing(place):
    before = sorted(place.rglob("*"))
    code, said, complaints = improve(place, "--plan", "--control", "--rounds", 2)
    assert (code, complaints) == (0, "")
    assert said.startswith(
        "first     first: 40 samples, to be made\n"
        "rounds    2 at most, 30 samples each, to loop/round-n\n"
        "control   as many of the unchanged prior, to loop/control-n\n"
        "in all    120 samples at most beside the first; 10 trainings at most\n"
        "test      faces, split all: "
    )
    assert sorted(place.rglob("*")) == before


def test_rounds_are_made_for_what_is_confused_and_found_again(place, monkeypatch):
    # Ctrl-C when the round's images are made: the aim stays, nothing is halved.
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("cluster.improvement.loop.write_purposes", stop)
        code, _, complaints = improve(place, "--control", "--rounds", 1)
    assert (code, complaints.splitlines()[-1]) == (
        130, "stopped; the same command continues from loop"
    )  # fmt: skip
    aim = json.loads((place / "loop" / "ledger.json").read_text())["rounds"][1]["aim"]
    code, said, complaints = improve(place, "--control", "--rounds", 1)
    assert code == 0, complaints
    assert "first dataset" not in complaints  # it is not made again
    assert said.endswith("\nloop/ledger.md\nloop/ledger.json\n")

    ledger = json.loads((place / "loop" / "ledger.json").read_text())
    first, second = ledger["rounds"]
    assert second["aim"] == aim
    assert first["arms"]["round"]["learned"] == 32
    assert second["arms"]["round"]["learned"] == second["arms"]["control"]["learned"] == 32 + 24
    assert ledger["test"]["pictures"] + ledger["holdout"]["pictures"] == 200
    assert ledger["ended"].startswith("after round 1: ")
    assert {"gain", "over_control", "holdout_over_control"} <= set(second)

    # Each image is listed with what it was made for, in the shares that the ledger has.
    rows = list(csv.DictReader((place / "loop" / "round-1" / "images.csv").open()))
    kept = second["arms"]["round"]["purposes"]
    assert len(rows) == 30
    for cell in aim["cells"]:
        name = cell["category"] + (f", {cell['au']} {cell['levels']}" if cell["au"] else "")
        assert kept[name] == sum(row["made_for"] == name for row in rows)
        assert abs(kept[name] - 30 * cell["share"]) < 2
    page = (place / "loop" / "ledger.md").read_text()
    assert "| 1 | 56 |" in page
    assert "those of a validation set" in page

    # The configuration is one that `generate` runs: the dataset is its own.
    again = run("generate", "loop/round-1/config.yaml", "--executor", "inline", cwd=place)
    assert again[0] == 0, again[2]

    # Nothing is made or trained again, and the ledger is the same to the byte.
    files = {path: path.stat().st_mtime_ns for path in (place / "loop").rglob("*.safetensors")}
    before = (place / "loop" / "ledger.json").read_text()
    assert improve(place, "--control", "--rounds", 1)[0] == 0
    assert (place / "loop" / "ledger.json").read_text() == before
    assert files == {p: p.stat().st_mtime_ns for p in (place / "loop").rglob("*.safetensors")}

    # What is in the folder is not taken for another loop, nor a changed file for the ledger's.
    code, _, complaints = improve(place, "--control", "--focus", 0.9)
    assert (code, complaints) == (
        2,
        "error: loop holds a loop whose focus is 0.5; now it is 0.9: take another --to\n",
    )
    config = place / "loop" / "round-1" / "config.yaml"
    config.write_text(config.read_text() + "# mine\n")
    code, _, complaints = improve(place, "--control", "--rounds", 1)
    assert (code, complaints.splitlines()[-1]) == (
        2,
        "error: loop/round-1/config.yaml is not what the ledger says; put it back or delete it, "
        "or take another --to",
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--holdout", "1.5"),
            "--holdout 1.5 must be a share of the people of --test between 0 and 1, or a dataset "
            "or folder",
        ),
        (
            ("--holdout", "unseen"),
            "--holdout unseen holds pictures of --test (split all); choose another one, another "
            "split, or a share of the people such as 0.3",
        ),
        (
            ("--holdout-split", "test"),
            "--holdout-split test needs a --holdout that is a dataset or a folder",
        ),
        (("--test", "nowhere"), "there is no dataset or folder nowhere"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(place, options, said):
    before = sorted(place.rglob("*"))
    code, output, complaints = improve(place, "--to", "another", *options)
    assert (code, output, complaints) == (2, "", f"error: {said}\n")
    assert sorted(place.rglob("*")) == before
