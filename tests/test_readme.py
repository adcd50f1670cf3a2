import re
import subprocess
import sys
from pathlib import Path

import pytest
from embedded import EDITION
from PIL import Image

from pipelines.procedural.vocabulary import names_trait

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text()
QUICKSTART = (REPOSITORY / "examples" / "quickstart.yaml").read_text()


def block(language, word):
    """Return the only code block of a language that holds a word."""
    (found,) = [
        code for code in re.findall(rf"```{language}\n(.*?)```", README, re.S) if word in code
    ]
    return found


def test_the_quickstart_configuration_stands_in_the_readme_as_it_is():
    assert block("yaml", "mini-faces") == QUICKSTART


DRAWN = [
    "--set",
    f"pipeline={{name: procedural, edition: {EDITION}, size: 128, au_noise: 0.9}}",
]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param([], id="quickstart", marks=pytest.mark.slow),
        pytest.param(DRAWN, id="drawn"),
    ],
)
def test_the_training_loop_learns_expressions_from_the_dataset(tmp_path, options):
    command = [sys.executable, "-m", "synthgen.cli", "generate", "--executor", "inline", *options]
    configuration = REPOSITORY / "examples" / "quickstart.yaml"
    subprocess.run([*command, configuration], cwd=tmp_path, check=True, capture_output=True)
    loop = block("python", "DataLoader")
    assert len(loop.splitlines()) < 40
    done = subprocess.run(
        [sys.executable, "-c", loop], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    accuracy = re.fullmatch(
        r"(\d+)% of the test split, people never seen in training\n", done.stdout
    )
    assert accuracy
    assert int(accuracy[1]) > 40  # chance is 14 %


@pytest.mark.parametrize(
    ("word", "file"), [('from_pretrained("mini")', "smile.png"), ("render(", "drawn.png")]
)
def test_the_examples_that_need_no_download_run(tmp_path, word, file):
    done = subprocess.run(
        [sys.executable, "-c", block("python", word)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / file).size == (128, 128)


def test_the_words_of_the_embedded_models_are_words_of_drawn_faces():
    rows = README.split("## What the embedded models know")[1].split("###")[0]
    words = re.findall(r"^\| [a-z, ]+ \| (.*) \|$", rows, re.M)
    assert len(words) == 5 + 1  # the head of the table too
    for word in re.split(r", | · ", ", ".join(words[1:])):
        assert any(names_trait(slot, word) for slot in ("age", "hair", "skin", "eyes")), word
