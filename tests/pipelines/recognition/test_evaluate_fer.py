"""`synthgen evaluate fer`: from datasets and folders to page, figures and picture."""

import json
import runpy
from pathlib import Path

import pytest
from commands import run
from PIL import Image
from tiny_recognition import make_faces, make_folder
from transformers import AutoModelForImageClassification

from pipelines.evaluation import outside_statistics

QUICK = ("--size", 16, "--epochs", 4, "--batch-size", 6, "--learning-rate", 0.01)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fer")
    make_faces(folder / "learned")
    make_faces(folder / "others", train=0, test=9)
    make_folder(folder / "photographs", 3, ("train", "test"))
    return folder


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """Draw people fifty times for an interval."""
    monkeypatch.setattr(outside_statistics, "RESAMPLES", 50)


def evaluate(place, *options):
    return run("evaluate", "fer", *options, cwd=place)


def test_the_page_the_figures_and_the_picture_are_written_and_found_again(place):
    options = ("learned", "--test", "learned", *QUICK, "--seeds", 2, "--to", "one/fer.md")
    code, said, complaints = evaluate(place, *options)
    assert code == 0, complaints
    assert "| learned | tiny (synthgen dataset) | train | requested | 24 | 8 | – |" in said
    assert "| tested | tiny (synthgen dataset) | test | requested | 9 | 3 | – |" in said
    assert said.endswith("\none/fer.md\none/fer.json\n")
    page = (place / "one" / "fer.md").read_text()
    assert page.startswith(
        "# Expressions recognised: learned on tiny, tested on tiny\n\nMade by `synthgen evaluate "
        "fer learned --test learned --size 16 --epochs 4 --learning-rate 0.01 --seeds 2 "
        "--batch-size 6`.\n"
    )
    figures = json.loads((place / "one" / "fer.json").read_text())
    accuracy = figures["expressions"]["accuracy"]
    assert len(accuracy["seeds"]) == 2
    assert accuracy["estimate"]["value"] > 0.6  # of three colours
    assert figures["aus"]["AU12"]["pictures"] == 9
    assert Image.open(place / "one" / "fer.png").size == (1320, 990)
    models = list((place / "out" / "evaluate" / "fer").iterdir())
    assert [sorted(path.name for path in one.iterdir()) for one in models] == [
        ["made_of.json", "seed-0", "seed-1"]
    ]
    network = AutoModelForImageClassification.from_pretrained(models[0] / "seed-1" / "model")
    assert network.config.id2label[1] == "happy"

    # Nothing is trained again for the same.
    kept = models[0] / "seed-0" / "predictions.npy"
    before = kept.stat().st_mtime_ns
    code, _, complaints = evaluate(place, *options[:-1], "two/fer.md")
    assert (code, complaints, kept.stat().st_mtime_ns) == (0, "", before)
    assert (place / "two" / "fer.json").read_text() == (place / "one" / "fer.json").read_text()


def test_photographs_are_mixed_in_and_tested_on(place):
    code, said, complaints = evaluate(
        place, "learned", "--mix", "photographs", "--mix-limit", 6, "--limit", 12, "--labels",
        "soft", "--test", "photographs", *QUICK[:2], "--epochs", 1, "--to", "mixed.md",
    )  # fmt: skip
    assert code == 0, complaints
    assert "| learned | tiny (synthgen dataset) | train | soft | 12 |" in said
    assert "| learned | photographs (image folder) | train | its own | 6 | – | – |" in said
    assert "| tested | photographs (image folder) | test | its own | 9 | – | – |" in said
    assert "## Action Units" not in said


def test_photographs_alone_are_learned_and_a_dataset_tests_them(place):
    code, said, complaints = evaluate(
        place, "photographs", "--test", "others", *QUICK[:2], "--epochs", 1, "--to", "alone.md"
    )
    assert code == 0, complaints
    assert "| tested | tiny (synthgen dataset) | test | requested | 9 | 3 | – |" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("none", "--test", "learned"), "there is no dataset or folder none"),
        (
            ("learned", "--test", "learned", "--test-split", "all"),
            "tiny would be tested on pictures that are learned (split all); choose another --test "
            "or --test-split",
        ),
        (
            ("learned", "--test", "learned", "--split", "validation"),
            "tiny has no split validation; --split takes one of 'train', 'test', 'all'",
        ),
        (
            ("learned", "--test", "learned", "--to", "x.json"),
            "--to x.json ends in .json, as files do that are written beside the page; name a "
            "Markdown file",
        ),
        (
            ("learned", "--test", "learned", "--model", "./nothing"),
            "weights folder ./nothing does not exist; it must hold config.json",
        ),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence_and_nothing_is_written(place, options, said):
    before = sorted(place.rglob("*"))
    code, output, complaints = evaluate(place, *options)
    assert (code, output) == (2, "")
    assert complaints == f"error: {said}\n"
    assert sorted(place.rglob("*")) == before


def test_the_example_compares_the_labels(place, monkeypatch, capsys):
    script = Path(__file__).parents[3] / "examples" / "train_fer.py"
    given = ("learned", "learned", "--size", "16", "--epochs", "1", "--models", "example")
    monkeypatch.setattr("sys.argv", [str(script), *given])
    monkeypatch.chdir(place)
    runpy.run_path(str(script), run_name="__main__")
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].strip() for line in said] == ["requested", "measured", "soft"]
