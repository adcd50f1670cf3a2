import re
import subprocess
import sys
from pathlib import Path

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


def test_the_training_loop_learns_expressions_from_the_quickstart_dataset(tmp_path):
    command = [sys.executable, "-m", "synthgen.cli", "generate", "--executor", "inline"]
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


def test_the_drawing_example_runs(tmp_path):
    code = block("python", "render(")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert (tmp_path / "smile.png").is_file()
