"""The names that `import synthgen` offers."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from commands import run
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

import synthgen

REPOSITORY = Path(__file__).parents[2]
NAMES = sorted(synthgen._HOMES)


def test_importing_it_loads_none_of_what_it_offers():
    heavy = {"torch", "ray", "diffusers", "numpy", "pydantic", "samplers", "pipelines", "cluster"}
    code = f"import sys, synthgen; print(*{heavy!r} & sys.modules.keys())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout == "\n"


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_there_and_says_what_it_is(name):
    assert name in dir(synthgen)
    found = getattr(synthgen, name)
    assert not callable(found) or found.__doc__


def test_a_star_brings_the_names():
    names: dict[str, object] = {}
    exec("from synthgen import *", names)
    assert names.keys() - {"__builtins__"} == set(NAMES)


def test_type_checkers_are_told_the_same_names():
    stub = ast.parse((REPOSITORY / "synthgen" / "__init__.pyi").read_text())
    homes = {
        alias.asname: (found.module, alias.name)
        for found in stub.body
        if isinstance(found, ast.ImportFrom)
        for alias in found.names
    }
    written = {
        name: (home.partition(":")[0], home.partition(":")[2] or name)
        for name, home in synthgen._HOMES.items()
    }
    assert homes == written
    (listed,) = [n.value for n in stub.body if isinstance(n, ast.Assign)]
    assert ast.literal_eval(listed) == NAMES


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match=r"^module 'synthgen' has no attribute 'paint'$"):
        _ = synthgen.paint


def test_the_version_is_that_of_the_distribution_with_the_revision(monkeypatch):
    monkeypatch.setattr("synthgen.revision.git_revision", lambda: "0123abc")
    assert run("--version") == (0, f"synthgen {synthgen.__version__} (0123abc)\n", "")
    monkeypatch.setattr("synthgen.revision.git_revision", lambda: None)
    assert run("--version") == (0, f"synthgen {synthgen.__version__}\n", "")
    metadata = ProjectMetadata(str(REPOSITORY), PluginManager())
    assert metadata.name == "synthgen-faces"
    assert metadata.hatch.version.cached == metadata.version == synthgen.__version__


def test_the_citation_names_this_version():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation.keys() >= {"message", "title", "authors", "type", "license"}
    assert citation["version"] == synthgen.__version__
    for work in (citation, *citation["references"]):
        assert all("name" in author or "family-names" in author for author in work["authors"])
