"""docs/cluster.md and the examples for KubeRay and Slurm: what can be run is run."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from samplers.plan import build_plan
from synthgen.cli.commands import app
from synthgen.config import RunConfig, parse_config

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs" / "cluster.md"
TEXT = PAGE.read_text(encoding="utf-8")
KUBERAY = REPOSITORY / "examples" / "kuberay" / "rayjob.yaml"
SLURM = sorted((REPOSITORY / "examples" / "slurm").glob("*.sbatch"))
RAY_COMMANDS = {"get-auth-token", "start", "job", "symmetric-run"}


def commands_in(text):
    """Return the words of each `synthgen …` and `ray …` in a text, up to a comment."""
    lines = text.replace("\\\n", " ").splitlines()
    found = [
        re.search(r"(?:^|[ &\"'])((?:synthgen|ray) [a-z].*)", line.split("  #")[0])
        for line in lines
    ]
    return [match[1].split() for match in found if match]


SHELL = commands_in("\n".join(re.findall(r"```(?:sh|console)\n(.*?)```", TEXT, re.S)))


def test_every_command_of_the_page_exists():
    ours = typer.main.get_command(app).commands
    assert len(SHELL) > 10
    for program, command, *words in SHELL:
        if program == "ray":
            assert command in RAY_COMMANDS, command
            continue
        options = {
            name for option in ours[command].params for name in option.opts + option.secondary_opts
        }
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= options


def test_every_option_of_ray_exists():
    from ray.scripts.scripts import cli

    for _, command, *words in (found for found in SHELL if found[0] == "ray"):
        node = cli.commands[command]
        node = node.commands[words[0]] if hasattr(node, "commands") else node
        options = {name for option in node.params for name in option.opts}
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= options


@pytest.mark.parametrize(
    "block", re.findall(r"```console\n\$ (synthgen check .*?)\n(.*?)```", TEXT, re.S)
)
def test_the_shown_check_looks_like_one(block, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    words = shlex.split(block[0])[1:]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    shown, printed = block[1].splitlines(), done.stdout.splitlines()
    # The second line of the table is this machine's own.
    assert [line.split() for line in shown[:3] + shown[4:]] == [
        line.split() for line in printed[:3] + printed[4:]
    ]
    assert not (REPOSITORY / "out" / "checked").exists()


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", TEXT, re.S))
def test_the_sections_are_allowed(block):
    base = yaml.safe_load((REPOSITORY / "examples" / "fineface-sd21.yaml").read_text())
    for section, keys in yaml.safe_load(block).items():
        base[section] = {**base[section], **keys}
    assert isinstance(parse_config(base), RunConfig)


def test_links_lead_somewhere():
    headings = {
        re.sub(r"[^\w\- ]", "", line[3:].lower()).replace(" ", "-")
        for line in TEXT.splitlines()
        if line.startswith("## ")
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) == headings
    for target in re.findall(r"\]\((\.\./[^)]+)\)", TEXT):
        assert (PAGE.parent / target).is_file(), target


def test_keys_that_the_page_names_exist():
    known = set(RunConfig.model_fields["cluster"].annotation.model_fields)
    assert set(re.findall(r"`cluster\.(\w+)", TEXT)) <= known


def test_the_rayjob_runs_a_configuration_that_can_be_planned():
    config_map, job = yaml.safe_load_all(KUBERAY.read_text(encoding="utf-8"))
    config = parse_config(yaml.safe_load(config_map["data"]["config.yaml"]))
    assert sum(build_plan(config).sizes.values()) == config.samples
    cluster = job["spec"]["rayClusterSpec"]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert cluster["authOptions"] == {"mode": "token"}
    pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    images = {pod["template"]["spec"]["containers"][0]["image"] for pod in pods}
    assert len(images) == 1
    for pod in pods:
        spec = pod["template"]["spec"]
        mounted = {mount["name"] for mount in spec["containers"][0]["volumeMounts"]}
        assert mounted == {volume["name"] for volume in spec["volumes"]}
    commands = commands_in(job["spec"]["entrypoint"].replace("&& ", "\n"))
    assert [words[:2] for words in commands] == [["synthgen", "weights"], ["synthgen", "generate"]]


def test_the_cluster_s_ray_is_the_one_that_is_pinned():
    pinned = re.search(
        r"^ray(?:\[default\])?==(\S+)", (REPOSITORY / "constraints.txt").read_text(), re.M
    )
    assert f'rayVersion: "{pinned[1]}"' in KUBERAY.read_text()
    assert f"rayproject/ray:{pinned[1]}-" in KUBERAY.with_name("Dockerfile").read_text()


@pytest.mark.parametrize("script", SLURM, ids=lambda path: path.name)
def test_a_slurm_script_is_bash_and_starts_ray_as_ray_wants_it(script):
    subprocess.run(["bash", "-n", script], check=True)
    text = script.read_text(encoding="utf-8")
    assert text.startswith("#!/bin/bash\n")
    (words,) = [found for found in commands_in(text) if found[:2] == ["ray", "symmetric-run"]]
    from ray.scripts.scripts import cli

    before = words[: words.index("--")]
    parameters = [*cli.commands["start"].params, *cli.commands["symmetric-run"].params]
    options = {name for option in parameters for name in option.opts}
    assert {word for word in before if word.startswith("--")} <= options


@pytest.mark.parametrize("script", SLURM, ids=lambda script: script.name)
def test_on_slurm_the_dashboard_listens_on_its_own_node_alone(script):
    """Other users share the network, and the dashboard takes jobs over plain HTTP."""
    assert re.findall(r"^ *--dashboard-host (\S+)", script.read_text(), re.M) == ["127.0.0.1"]


def test_the_image_takes_its_base_by_an_argument_and_leaves_secrets_behind():
    lines = KUBERAY.with_name("Dockerfile").read_text().splitlines()
    assert lines.index("FROM ${BASE}") == 1 + next(
        number for number, line in enumerate(lines) if line.startswith("ARG BASE=rayproject/ray:")
    )
    left = KUBERAY.with_name("Dockerfile.dockerignore").read_text().splitlines()
    assert {".git", "**/.env", "**/*.pem"} <= set(left)
