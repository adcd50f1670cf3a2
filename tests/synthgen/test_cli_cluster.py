"""`synthgen check` and `synthgen submit`, without a cluster."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from synthgen.cli.commands import app
from synthgen.errors import ConfigError, DatasetError, OutputError

REPOSITORY = Path(__file__).parents[2]
DRAWN = str(REPOSITORY / "examples" / "drawn-faces.yaml")
NOWHERE = "http://127.0.0.1:9"
SHARED = ["--set", "output.path=/shared/faces"]

runner = CliRunner()


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch):
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


def invoke(*words):
    return runner.invoke(app, list(words), catch_exceptions=False)


def test_check_says_what_there_is_and_leaves_nothing(tmp_path):
    done = invoke("check", DRAWN, "--set", f"output.path={tmp_path}/out")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == f"drawn-faces: 240 samples, to {tmp_path}/out"
    assert lines[2].split() == [
        "node", "workers", "GPU", "memory", "of", "a", "worker", "weights", "output",
    ]  # fmt: skip
    assert lines[3].startswith("this machine  ")
    assert lines[-1] == "nothing is missing"
    assert list(tmp_path.iterdir()) == []


def test_check_names_every_problem_and_ends_with_2(tmp_path):
    (tmp_path / "mine.txt").touch()
    words = [f"output.path={tmp_path}", "verify.weights=none.pt", "identities.slots.hair=[neon]"]
    done = invoke("check", DRAWN, *(part for word in words for part in ("--set", word)))
    assert done.exit_code == 2
    problems = [line for line in done.stdout.splitlines() if line.startswith("problem: ")]
    hair = "problem: identities.slots.hair: 'neon' names nothing that procedural faces can show; "
    assert problems[0].startswith(hair)
    assert problems[1:] == [
        f"problem: {tmp_path} holds files that are not a synthgen dataset (such as mine.txt); "
        "choose another output.path",
        "problem: AU network none.pt does not exist; it must be a file or a folder",
    ]


NO_CLUSTER = (
    r"^no Ray cluster answers at '127\.0\.0\.1:9' \(--address or cluster\.address\): "
    r"\[Errno 111\] Connection refused; "
    r"for a Ray of this machine's own add --set cluster\.address=local$"
)


def test_check_of_a_cluster_that_is_not_there():
    with pytest.raises(ConfigError, match=NO_CLUSTER):
        invoke("check", DRAWN, "--address", "127.0.0.1:9")


def test_submit_where_no_dashboard_is():
    with pytest.raises(ConfigError) as caught:
        invoke("submit", DRAWN, *SHARED, "--address", NOWHERE)
    assert str(caught.value) == (
        f"--address: no Ray dashboard answers at {NOWHERE}; the head node prints its address, and "
        "needs --dashboard-host=0.0.0.0 to be reached from elsewhere"
    )


def test_submit_wants_a_dashboard():
    with pytest.raises(ConfigError) as caught:
        invoke("submit", DRAWN, *SHARED, "--address", "head:6379")
    assert str(caught.value) == (
        "--address 'head:6379' is no dashboard; jobs go to one such as http://head:8265"
    )


def test_submit_wants_either_a_configuration_or_a_job():
    assert invoke("submit").exit_code == 2
    assert invoke("submit", DRAWN, "--follow", "job").exit_code == 2


def test_submit_refuses_here_what_no_cluster_could_run():
    with pytest.raises(OutputError, match=r"^output\.path out/drawn-faces is relative, and a job "):
        invoke("submit", DRAWN, "--address", NOWHERE)


def test_status_of_no_dataset(tmp_path):
    with pytest.raises(DatasetError) as caught:
        invoke("status", str(tmp_path))
    assert str(caught.value) == (
        f"there is no synthgen dataset in {tmp_path}: no .synthgen/run.json"
    )
