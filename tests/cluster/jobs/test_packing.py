import subprocess
import sys

import pytest
import yaml

from cluster.jobs import pack
from cluster.jobs import packing as packing_module
from synthgen.config import load_config, parse_config
from synthgen.errors import ConfigError, OutputError
from synthgen.revision import git_revision


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Stand in a folder of a user's: what is to go along lies in `here`."""
    here = tmp_path / "here"
    (here / "labels").mkdir(parents=True)
    (here / "labels" / "a.csv").write_text("AU1\n1\n")
    (here / "secret.txt").write_text("stays")
    monkeypatch.chdir(here)
    (tmp_path / "package").mkdir()
    return tmp_path / "package"


def with_labels(make_config, labels, **changes):
    config = make_config(**changes)
    data = config.model_dump(mode="json")
    data["expressions"] = {"prior": "empirical", "labels": labels, "format": "csv"}
    return parse_config(data)


def test_code_configuration_and_named_files_go_along(make_config, folder):
    config = with_labels(make_config, "labels", cluster={"address": "10.0.0.1:6379"})
    package = pack(config, folder)
    assert (folder / "labels" / "a.csv").read_text() == "AU1\n1\n"
    there = {path.name for path in folder.iterdir()}
    assert there == {"synthgen", "samplers", "pipelines", "cluster", "config.yaml", "labels"}
    assert not list(folder.rglob("__pycache__"))
    assert package.notes == ()
    packed = load_config(folder / "config.yaml")
    assert packed.identity() == config.identity()
    assert packed.cluster.address is None
    assert package.bytes > (folder / "labels" / "a.csv").stat().st_size


def test_the_packed_code_runs_and_knows_its_revision(make_config, folder):
    pack(make_config(), folder)
    script = "import synthgen, synthgen.revision as r; print(synthgen.__file__, r.git_revision())"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{folder}/synthgen/__init__.py {git_revision()}\n"


def test_absolute_paths_are_the_nodes_own(make_config, folder):
    labels = str(folder.parent / "here" / "labels")
    package = pack(with_labels(make_config, labels), folder)
    assert package.notes == (f"{labels} does not go along: each node must have it there",)
    assert yaml.safe_load((folder / "config.yaml").read_text())["expressions"]["labels"] == labels


def test_a_relative_output_would_vanish(make_config, folder):
    config = make_config()
    lost = config.model_copy(update={"output": config.output.model_copy(update={"path": "out/x"})})
    with pytest.raises(OutputError) as caught:
        pack(lost, folder)
    assert str(caught.value) == (
        "output.path out/x is relative, and a job works in a copy of the code that is deleted "
        "after it; give a URL such as s3://bucket/name, or the absolute path of a folder that all "
        "nodes share"
    )


def test_a_path_that_leads_out_is_refused(make_config, folder):
    (folder.parent / "other.csv").write_text("AU1\n1\n")
    with pytest.raises(ConfigError) as caught:
        pack(with_labels(make_config, "../other.csv"), folder)
    assert str(caught.value) == (
        "../other.csv leads out of the working folder, and only what lies below it goes along with "
        "a job; give the absolute path of a place that all nodes share"
    )


def test_what_is_too_large_is_named(make_config, folder, monkeypatch):
    monkeypatch.setattr(packing_module, "_LIMIT", 1000)
    with pytest.raises(ConfigError) as caught:
        pack(make_config(), folder)
    assert str(caught.value).endswith(
        "most of it in pipelines, and Ray takes 1 kB; put it where all nodes see it and give its "
        "absolute path, or a Hub id"
    )
