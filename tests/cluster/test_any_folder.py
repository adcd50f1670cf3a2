"""Runs on Ray from a folder in which names of ours mean somebody else's modules."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cluster.driver import generate

pytestmark = pytest.mark.ray

REPOSITORY = Path(__file__).parents[2]
THEIRS = 'raise RuntimeError(f"{__name__} of the user")\n'


def run(*words, cwd):
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_run_beside_modules_of_the_same_names_gives_the_same_bytes(
    make_config, digests, tmp_path
):
    inline = make_config("inline", samples=12)
    generate(inline, "inline")
    work = tmp_path / "work"
    (work / "pipelines").mkdir(parents=True)
    for name in ("cluster.py", "samplers.py", "synthgen.py", "queue.py", "pipelines/__init__.py"):
        (work / name).write_text(THEIRS)
    config = make_config("ray", samples=12, cluster={"actors": 1})
    (work / "run.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    command = tmp_path / "bin" / "synthgen"  # as an installation's, in a folder of its own
    command.parent.mkdir()
    command.write_text("from synthgen.cli import main\nmain()\n")
    code, _, errors = run(command, "generate", "run.yaml", cwd=work)
    assert code == 0, errors
    assert digests(config) == digests(inline)


PROGRAM = """
import socket

import ray
from ray.exceptions import RayTaskError

from cluster.remote import call_remotely
from synthgen.config.components import ComponentKind
from synthgen.errors import ConfigError

KIND = ComponentKind("thing", "name", "test.things", "builtins:object", {})

if __name__ == "__main__":
    ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level="ERROR")
    import theirs

    try:
        ray.get(call_remotely(theirs.double, 2))
    except RayTaskError as error:
        assert isinstance(error.cause, ConfigError)
        print(str(error.cause).replace(socket.gethostname(), "HOST"))
    KIND.section("theirs:Thing")
    print(ray.get(call_remotely(theirs.double, 2)))
    print(ray.get(call_remotely(eval, "__import__('sys').path"))[-1])
"""


def test_a_worker_sees_the_programs_folder_only_where_a_component_lies_there(tmp_path):
    (tmp_path / "theirs.py").write_text(
        "class Thing:\n    pass\n\n\ndef double(number):\n    return 2 * number\n"
    )
    (tmp_path / "program.py").write_text(PROGRAM)
    code, output, errors = run("program.py", cwd=tmp_path)
    assert code == 0, errors
    assert output.splitlines() == [
        "a worker on HOST cannot import what the run needs (ModuleNotFoundError: No module named "
        "'theirs'); install it on every node",
        "4",
        str(tmp_path),
    ]
