import os
import subprocess
import sys
from zipfile import ZipFile

import pytest
import yaml

from cluster.jobs import pack, send
from cluster.jobs import packing as packing_module
from cluster.jobs.packing import archive
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


@pytest.mark.parametrize("name", [".gitignore", ".rayignore"])
def test_what_the_configuration_names_goes_along_whatever_git_thinks(make_config, folder, name):
    here = folder.parent / "here" / "labels"
    (here / name).write_text("*\n")
    (here / "deep" / "venv").mkdir(parents=True)
    (here / "deep" / "venv" / "b.csv").write_text("AU1\n2\n")
    (here / "linked.csv").symlink_to(here / "a.csv")
    package = pack(with_labels(make_config, "labels"), folder)
    archive(package, folder / "job.zip")
    with ZipFile(folder / "job.zip") as packed:
        there = {entry for entry in packed.namelist() if entry.startswith("labels/")}
        assert packed.read("labels/linked.csv") == b"AU1\n1\n"
        assert "config.yaml" in packed.namelist()
    own = f"labels/{name}"
    assert there == {"labels/a.csv", "labels/deep/venv/b.csv", "labels/linked.csv", own}


def test_a_job_is_sent_as_an_archive_that_holds_what_the_configuration_names(make_config, folder):
    (folder.parent / "here" / "labels" / ".gitignore").write_text("*\n")
    sent = {}

    class Client:
        def submit_job(self, entrypoint, submission_id, runtime_env):
            with ZipFile(runtime_env["working_dir"]) as packed:
                sent.update({name: packed.read(name) for name in packed.namelist()})
            return submission_id

    send(Client(), with_labels(make_config, "labels"))
    assert sent["labels/a.csv"] == b"AU1\n1\n"
    assert yaml.safe_load(sent["config.yaml"])["expressions"]["labels"] == "labels"


def test_secrets_stay_behind_and_are_told(make_config, folder):
    here = folder.parent / "here" / "labels"
    for name in [".git/config", ".ssh/id_rsa", ".env", "deploy.pem", "id_ed25519"]:
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).write_text("canary")
    package = pack(with_labels(make_config, "labels"), folder)
    assert {name for name in package.files if name.startswith("labels")} == {"labels/a.csv"}
    assert package.notes == (
        "labels/.env and 2 more does not go along: by its name it holds a secret, and no run "
        "reads it",
    )
    assert not any("canary" in text for text in texts_in(folder))


def texts_in(folder):
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".safetensors")
    return [path.read_bytes().decode(errors="replace") for path in files]


def test_what_cannot_be_packed_is_named_before_anything_is_sent(make_config, folder):
    here = folder.parent / "here" / "labels"
    (here / "gone.csv").symlink_to("nowhere")
    assert sentence(make_config, folder) == "the job's file labels/gone.csv does not exist"
    (here / "gone.csv").unlink()
    os.mkfifo(here / "pipe")
    assert sentence(make_config, folder) == (
        "the job's file labels/pipe is a named pipe; it must be a regular file"
    )
    (here / "pipe").unlink()
    (here / "round").symlink_to(here)
    assert sentence(make_config, folder) == (
        "labels/round is a link to a folder above it; take it away"
    )
    assert list(folder.iterdir()) == []


def sentence(make_config, folder):
    with pytest.raises(ConfigError) as caught:
        pack(with_labels(make_config, "labels"), folder)
    return str(caught.value)


def test_a_file_that_changes_meanwhile_is_not_sent(make_config, folder):
    package = pack(with_labels(make_config, "labels"), folder)
    (folder / "labels" / "a.csv").write_text("AU1\n1\n2\n")
    with pytest.raises(ConfigError) as caught:
        archive(package, folder / "job.zip")
    assert str(caught.value) == (
        "labels/a.csv changed while the job was packed (1 files did); submit again when nobody "
        "writes there"
    )


def test_the_home_folder_is_the_nodes_own(make_config, folder):
    package = pack(with_labels(make_config, "~/labels"), folder)
    assert package.notes == ("~/labels does not go along: each node must have it there",)


def test_a_requirement_with_a_password_is_not_sent(make_config, folder):
    with pytest.raises(ConfigError) as caught:
        send(None, make_config(), requirements=["git+https://me:canary@host/x"])
    assert str(caught.value) == (
        "--pip holds a user, a password or a token (git+https://***), which Ray's dashboard would "
        "show; leave it out, and give it in pip's own configuration on each node"
    )


def test_what_is_too_large_is_named(make_config, folder, monkeypatch):
    monkeypatch.setattr(packing_module, "_LIMIT", 10_000_000)
    with pytest.raises(ConfigError) as caught:
        pack(make_config(), folder)
    assert str(caught.value).endswith(
        "most of it in pipelines, and Ray takes 10.0 MB; put it where all nodes see it and give "
        "its absolute path, or a Hub id"
    )


RINGS = """
from synthgen.config.pipeline import PipelineSection


class Rings(PipelineSection):
    def load(self, device): ...
"""


@pytest.fixture
def rings(make_config, folder, monkeypatch):
    """Return a function that names the pipeline of a module of the user's."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def named(module):
        data = make_config().model_dump(mode="json")
        data["pipeline"] = {"name": f"{module}:Rings"}
        file = folder.parent / "rings.yaml"
        file.write_text(yaml.safe_dump(data))
        return load_config(file)

    return named


def test_modules_of_the_working_folder_go_along(rings, folder):
    here = folder.parent / "here"
    (here / "packed_rings").mkdir()
    (here / "packed_rings" / "__init__.py").write_text("")
    (here / "packed_rings" / "drawn.py").write_text(RINGS)
    (here / "packed_alone.py").write_text(RINGS)
    config = rings("packed_rings.drawn")
    package = pack(config, folder)
    assert {"packed_rings/__init__.py", "packed_rings/drawn.py"} <= package.files.keys()
    assert "packed_alone.py" not in package.files
    (folder.parent / "second").mkdir()
    assert "packed_alone.py" in pack(rings("packed_alone"), folder.parent / "second").files
    assert package.notes == ()


def test_modules_of_another_folder_are_the_nodes_own(rings, folder, monkeypatch):
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "packed_afar.py").write_text(RINGS)
    monkeypatch.syspath_prepend(elsewhere)
    assert pack(rings("packed_afar"), folder).notes == (
        f"{elsewhere}/packed_afar.py does not go along: each node must have it there",
    )


def test_folders_of_weights_go_along_and_hub_ids_do_not(make_config, folder):
    here = folder.parent / "here"
    (here / "own").mkdir()
    (here / "own" / "au_encoder.ckpt").write_text("numbers")
    data = make_config().model_dump(mode="json")
    weights = {"base": "somebody/a-base", "fineface": "own", "vae": "/models/vae"}
    data["pipeline"] = {"name": "fineface", "weights": weights}
    package = pack(parse_config(data), folder)
    assert "own/au_encoder.ckpt" in package.files
    assert package.notes == ("/models/vae does not go along: each node must have it there",)
