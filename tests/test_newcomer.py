"""Every task of docs/newcomer.md, then docs/tutorial.md, as typed in a fresh clone, in order."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from forking_python import ForkingPython

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "newcomer.md").read_text()
TUTORIAL = (REPOSITORY / "docs" / "tutorial.md").read_text()
NUMBERED = re.compile(r"^## (\d+)\. [^\n]+\n(.*?)(?=^## |\Z)", re.M | re.S)
TASKS = dict(NUMBERED.findall(PAGE))
TYPED = TASKS | {f"tutorial {number}": part for number, part in NUMBERED.findall(TUTORIAL)}
SAID = "# → "


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """Copy the repository's files, and put a `synthgen` on a path that runs the copy."""
    root = tmp_path_factory.mktemp("newcomer")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (source := REPOSITORY / name).is_file():
            (root / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, root / "clone" / name)
    python = ForkingPython(root / "bin", environment(root / "clone"))
    yield root / "clone"
    python.close()


def environment(clone):
    return {
        **os.environ,
        "PYTHONPATH": str(clone),
        "PATH": f"{clone.parent / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(clone.parent / "cache"),
        "COLUMNS": "200",
    }


def run(arguments, clone, typed=None):
    return subprocess.run(
        arguments, input=typed, cwd=clone, env=environment(clone), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip


def commands(block):
    """Split a block into commands, each with its exit code and the lines that it says."""
    found = []
    typed, end = "", None
    for line in block.splitlines():
        if not typed and line.startswith("# exit "):
            found[-1][1] = int(line.removeprefix("# exit "))
        elif not typed and line.startswith(SAID):
            found[-1][2].append(line.removeprefix(SAID))
        else:
            typed += line + "\n"
            if opened := re.search(r"<<'(\w+)'", line):
                end = opened[1]
            end = None if line == end else end
            if end is None and not line.endswith("\\") and typed.count('"') % 2 == 0:
                found.append([typed, 0, []])
                typed = ""
    assert not typed, typed
    return found


def assert_said(lines, output, typed):
    for line in lines:
        pattern = ".*".join(re.escape(part) for part in re.split(r" *… *", line))
        blanks = re.sub(r"(\\ )+", " +", pattern)
        assert re.search(f"^ *{blanks}", output, re.M), f"{typed}{line}\nis not in\n{output}"


@pytest.mark.parametrize("number", TYPED)
def test_the_task_works_as_typed(clone, number):
    for language, block in re.findall(r"```(sh|python)\n(.*?)```", TYPED[number], re.S):
        if language == "python":
            done = run([clone.parent / "bin" / "python", "-c", block], clone)
            assert done.returncode == 0, done.stdout
            said = re.findall(rf"^{SAID}(.*)$", block, re.M)
            assert_said(said, done.stdout, block)
            continue
        setting = ""
        for typed, code, said in commands(block):
            done = run(["bash"], clone, setting + typed)
            assert done.returncode == code, typed + done.stdout
            assert_said(said, done.stdout, typed)
            if re.match(r"[A-Z]+=", typed):
                setting += typed


def test_there_are_29_tasks_and_the_readme_leads_to_each():
    assert list(TASKS) == [str(number) for number in range(1, 30)]
    readme = (REPOSITORY / "README.md").read_text()
    heads = re.findall(r"^## (\d+\. .*)$", PAGE, re.M)
    for head in heads:
        anchor = re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-")
        assert f"(docs/newcomer.md#{anchor})" in readme, anchor
