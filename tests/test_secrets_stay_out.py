"""A canary where users put credentials is in no file and in no text of a terminal."""

import os
import sys
from pathlib import Path

import fsspec
import pytest
import yaml
from s3_server import s3_server

from cluster.jobs import pack
from cluster.jobs.packing import archive
from synthgen.cli import commands
from synthgen.config import load_config

CANARY = "c4n4ryS3cret"
URL = f"ftp://me:{CANARY}@host/x"

RUN = {
    "name": "small",
    "seed": 5,
    "samples": 2,
    "output": {"path": "out", "shard_size": 2, "splits": {"train": 1.0}},
    "expressions": {"prior": "emotions", "categories": ["happy", "sad"]},
    "identities": {"source": "prompts", "template": "a {a} face", "slots": {"a": ["young", "old"]}},
    "pipeline": {"name": "procedural", "size": 64, "batch_size": 2},
    "verify": {
        "weights": "mini",
        "aligner": "centered",
        "max_attempts": 1,
        "on_exhausted": "keep_best",
        "fuse": None,
    },
}


@pytest.fixture
def command(monkeypatch, capfd, tmp_path):
    """Run commands in an empty folder, and return exit code and all that they print."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["synthgen", *map(str, words)])
        try:
            commands.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        said = capfd.readouterr()
        return code, said.out + said.err

    return run


def write(**changes: object) -> str:
    data = {key: dict(value) if isinstance(value, dict) else value for key, value in RUN.items()}
    for key, value in changes.items():
        place, *parts = key.split("__")
        if parts:
            data[place][parts[0]] = value
        else:
            data[place] = value
    Path("run.yaml").write_text(yaml.safe_dump(data))
    return "run.yaml"


PLACES = {
    "output ftp": {"output__path": URL},
    "output s3": {"output__path": f"s3://KEY:{CANARY}@bucket/x"},
    "output signed": {"output__path": f"https://h/x?X-Amz-Signature={CANARY}"},
    "output smb with odd characters": {"output__path": f"smb://me:a/b#{CANARY} '\"@host/x"},
    "a value of another kind": {"output__path": [URL]},
    "address": {"cluster": {"address": f"ray://me:{CANARY}@head:10001"}},
    "labels": {"expressions": {"prior": "empirical", "labels": URL, "format": "csv"}},
    "store": {"identities": {"source": "faceid", "store": URL}},
    "weights": {"verify__weights": URL},
    "base": {"pipeline": {"name": "fineface", "weights": {"base": URL, "fineface": "mini"}}},
    "an unknown key": {URL: 1},
    "text": {"identities__template": f"a {{a}} face of {URL}"},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["generate", "plan"])
def test_a_secret_in_a_configuration_is_refused_and_not_shown(command, place, name):
    file = write(**PLACES[place])
    code, said = command(name, file)
    assert code == 2
    assert said.startswith("error: run.yaml: ")
    assert " holds a user, a password or a token (" in said
    assert CANARY not in said
    assert os.listdir() == [file]


TEXTS = [
    ("generate", "run.yaml", "--set", f"output.path={URL}"),
    ("generate", "run.yaml", f"--set=output.path={URL}"),
    ("inspect", URL),
    ("report", URL),
    ("export", URL, "--format", "csv", "--to", "table"),
    ("export", "out", "--format", "csv", "--to", URL),
    ("status", URL),
    ("reproduce", f"s3://KEY:{CANARY}@bucket/x", "sample-1"),
    ("submit", "run.yaml", "--address", f"http://me:{CANARY}@127.0.0.1:9"),
    ("submit", "run.yaml", "--pip", f"git+https://{CANARY}@host/x"),
    ("check", "run.yaml", "--address", f"http://me:{CANARY}@127.0.0.1:9"),
    ("prior", "fit", URL, "--format", "csv", "--to", "fit.yaml"),
    ("faces", "embed", URL, "--to", "people.parquet"),
    ("train", "vae", URL, "--to", "trained"),
    ("generate", URL),
    ("no-such-command", URL),
]


@pytest.mark.parametrize("words", TEXTS, ids=lambda words: f"{words[0]} {len(words)}")
def test_a_secret_on_the_command_line_is_refused_and_not_shown(command, words):
    write()
    code, said = command(*words)
    assert code == 2
    assert "the command line holds a user, a password or a token (" in said
    assert CANARY not in said
    assert os.listdir() == ["run.yaml"]


def test_a_dashboard_s_secret_in_the_environment_is_not_shown(command, monkeypatch):
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", f"http://me:{CANARY}@127.0.0.1:9")
    code, said = command("submit", write(output__path="/nowhere/out"))
    assert (code, CANARY in said) == (2, False)
    assert said.startswith("error: --address holds a user, a password or a token (http://***)")


def test_credentials_of_the_environment_are_in_no_file_and_no_text(command, monkeypatch, tmp_path):
    with s3_server() as bucket:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:{CANARY}@127.0.0.1:9")
        monkeypatch.setenv("HF_TOKEN", CANARY)
        url = f"{bucket}/out"
        file = write(output__path=url, cluster={"log_format": "json"})
        heard = [
            command("generate", file, "--executor", "inline"),
            *[command(name, url) for name in ("status", "inspect", "report")],
            command("generate", file, "--executor", "inline", "--set", "seed=6"),
            command("inspect", f"{bucket}-of-nobody/out"),
            command("reproduce", url, "no-such-sample"),
        ]
        assert [code for code, _ in heard] == [0, 0, 0, 0, 2, 2, 2]
        package = pack(load_config(file), tmp_path / "job")
        archive(package, tmp_path / "job.zip")
        filesystem, root = fsspec.url_to_fs(bucket)
        stored = {name: filesystem.cat_file(name) for name in filesystem.find(root)}
    texts = "".join(said for _, said in heard)
    assert CANARY not in texts
    assert any(name.endswith("config.yaml") for name in stored)
    assert any(name.endswith(".parquet") for name in stored)
    files = {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert not [name for name, data in (stored | files).items() if CANARY.encode() in data]


def test_what_an_earlier_version_stored_is_read_and_not_shown(command, tmp_path):
    assert command("generate", write(), "--executor", "inline")[0] == 0
    stored = tmp_path / "out" / ".synthgen" / "config.yaml"
    stored.write_text(stored.read_text().replace("path: out", f"path: {URL}"))
    assert CANARY in stored.read_text()
    for name in ("status", "inspect", "report"):
        code, said = command(name, "out")
        assert (code, CANARY in said) == (0, False), said
    code, said = command("generate", "run.yaml", "--executor", "inline")
    assert (code, CANARY in said) == (0, False)
    assert CANARY not in stored.read_text()
