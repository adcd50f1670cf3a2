"""The command line and the library beside modules of the user's that bear our packages' names."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
THEIRS = 'raise RuntimeError(f"{__name__} of the user")\n'


@pytest.fixture
def folder(tmp_path):
    """A folder of a user's, in which names of ours and of Python's own mean other modules."""
    (tmp_path / "pipelines").mkdir()
    for name in ("cluster.py", "samplers.py", "queue.py", "pipelines/__init__.py"):
        (tmp_path / name).write_text(THEIRS)
    return tmp_path


def python(*words, cwd, **environment):
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def plan(*words, **options):
    drawn = REPOSITORY / "examples" / "drawn-faces.yaml"
    return python(*words, "plan", drawn, "-n", "0", **options)


def test_the_module_runs_beside_modules_of_the_same_names(folder):
    code, output, errors = plan("-m", "synthgen", cwd=folder)
    assert (code, errors) == (0, "")
    assert "happy" in output


def test_the_command_runs_where_the_import_path_names_such_a_folder(folder):
    (folder / "queue.py").unlink()
    command = folder / "bin" / "synthgen"
    command.parent.mkdir()
    command.write_text("from synthgen.cli import main\nmain()\n")
    path = f"{folder}{os.pathsep}{REPOSITORY}"
    code, output, errors = plan(command, cwd=folder, PYTHONPATH=path)
    assert (code, errors) == (0, "")
    assert "happy" in output


def test_a_checkout_stays_on_the_path_of_its_own_module():
    code, _, errors = plan("-m", "synthgen", cwd=REPOSITORY, PYTHONPATH="")
    assert (code, errors) == (0, "")


def test_a_program_beside_such_a_module_is_told_what_stands_in_the_way(folder):
    (folder / "queue.py").unlink()
    program = folder / "program.py"
    program.write_text("from synthgen import generate\n")
    code, _, errors = python(program, cwd=folder.parent)
    assert (code, errors.splitlines()[-1]) == (
        1,
        f"ImportError: {folder / 'samplers.py'} stands in the way of synthgen's own package "
        f"samplers ({REPOSITORY / 'samplers'}): rename it, or move your program to another "
        "folder",
    )
