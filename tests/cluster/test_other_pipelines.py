"""A pipeline that somebody else wrote, in a module of the working folder."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from commands import run
from PIL import Image

from cluster.driver import generate
from cluster.preflight import preflight
from cluster.resolve import gpus_per_actor
from pipelines.loading import check_components, fetch_weights, load_source
from synthgen.config import load_config
from synthgen.dataset import inspect_dataset
from synthgen.errors import ConfigError, OutputError
from synthgen.report.reproduction import reproduce

RINGS = '''
from PIL import Image, ImageDraw

from pipelines.interfaces import ImageSource
from synthgen.config.pipeline import PipelineSection


class Rings(PipelineSection):
    """Faces of rings."""

    size: int = 96

    def load(self, device):
        return RingSource(self.size)


class RingSource(ImageSource):
    def __init__(self, size):
        self.size = size

    def generate(self, attempts):
        return [self.face(attempt) for attempt in attempts]

    def face(self, attempt):
        image = Image.new("RGB", (self.size, self.size), "white")
        draw = ImageDraw.Draw(image)
        draw.ellipse((10, 10, self.size - 10, self.size - 10), outline=attempt.seed % 2**24)
        draw.arc((30, 40, self.size - 30, 50 + 6 * max(attempt.spec.aus)), 0, 180, "black")
        return image


class NoSource(PipelineSection):
    def load(self, device):
        return 3


class NoLoad(PipelineSection):
    pass


class Vague(Rings):
    needs = frozenset({"aus", "flame"})
'''


@pytest.fixture
def rings(tmp_path, monkeypatch, make_config):
    """Write the module and a configuration that names its pipeline; return the latter."""
    name = f"rings_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(RINGS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    importlib.invalidate_caches()
    data = make_config(samples=6).model_dump(mode="json")
    data["pipeline"] = {"name": f"{name}:Rings", "size": 64, "batch_size": 3}
    data["verify"] |= {"on_exhausted": "keep_best", "max_attempts": 1}
    data["output"] |= {"path": str(tmp_path / "out"), "shard_size": 3}
    file = tmp_path / "rings.yaml"
    file.write_text(yaml.safe_dump(data))
    return file


def test_it_is_generated_continued_reproduced_and_named_in_the_card(rings):
    config = load_config(rings)
    assert type(config.pipeline).__name__ == "Rings"
    assert generate(config, "inline").rows == 6
    module = config.pipeline.name.partition(":")[0]
    record = json.loads(Path("out/.synthgen/run.json").read_text())
    assert record["identity"]["versions"][module].startswith("sha256:")
    assert record["identity"]["configuration"]["pipeline"] == {
        "batch_size": 3, "threads": 1, "name": f"{module}:Rings", "size": 64,
    }  # fmt: skip
    assert record["licences"][module] == "not stated"
    assert module in Path("out/README.md").read_text()
    assert inspect_dataset("out").problems == ()
    sample = f"sample-{config.run_id()}-00000004"
    assert reproduce("out", sample).same

    Path(f"{module}.py").write_text(RINGS + "\n# another version\n")
    with pytest.raises(OutputError) as caught:
        generate(config, "inline")
    said = re.sub(r'"sha256:\w+…', "DIGEST", str(caught.value))
    assert said == (
        f"{Path('out').absolute()} holds a dataset that was made otherwise (versions.{module}: "
        "DIGEST → DIGEST); choose another output.path, or start anew with --overwrite"
    )


def test_the_preflight_asks_it(rings):
    config = load_config(rings)
    report = preflight(config, cluster=False)
    assert [finding.text for finding in report.findings if finding.severity == "problem"] == []
    assert report.estimate.rate is None
    assert report.estimate.row is None
    assert gpus_per_actor(config, {"GPU": 2}) == 1.0
    assert fetch_weights(config).files == ()
    module = config.pipeline.name.partition(":")[0]
    assert report.nodes[0].probe.machine.versions[module].startswith("sha256:")


ELSEWHERE = """
from synthgen.dataset import Storage
from synthgen.errors import ConfigError
from synthgen.report.comparison import stored_config
from synthgen.report.reproduction import reproduce
from synthgen.report.status import read_status

config = stored_config(Storage("out"))
print(read_status("out").rows, config.run_id())
print(config.model_dump(mode="json")["pipeline"])
try:
    reproduce("out", SAMPLE)
except ConfigError as error:
    print(error)
"""


def test_where_it_is_not_installed_a_dataset_is_told_of_and_no_sample_is_made(rings):
    config = load_config(rings)
    generate(config, "inline")
    module = config.pipeline.name.partition(":")[0]
    sample = f"sample-{config.run_id()}-00000001"
    code = f"SAMPLE = {sample!r}\n{ELSEWHERE}"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == (
        f"6 {config.run_id()}\n{config.model_dump(mode='json')['pipeline']}\n"
        f"the pipeline is '{module}:Rings', but the module {module} cannot be imported "
        f"(ModuleNotFoundError: No module named '{module}'); install it or put its folder on "
        "PYTHONPATH\n",
        0,
    ), done.stderr


def test_what_is_wrong_with_it_is_said(rings):
    config = load_config(rings)
    module = config.pipeline.name.partition(":")[0]
    vague = load_config(rings, [f"pipeline.name={module}:Vague"])
    with pytest.raises(ConfigError) as caught:
        check_components(vague)
    assert str(caught.value) == (
        f"the pipeline '{module}:Vague' needs flame, which neither identities.source 'prompts' nor "
        "expressions.prior 'emotions' gives; set expressions.flame, or pipeline.name to "
        "'procedural', 'fineface', 'fineface-faceid' or 'fineface-baseline'"
    )
    with pytest.raises(ConfigError) as caught:
        load_source(load_config(rings, [f"pipeline={{name: {module}:NoSource}}"]).pipeline, "cpu")
    assert str(caught.value) == (
        f"pipeline.name is '{module}:NoSource', whose load() returns a int; it must return a "
        "pipelines.interfaces.ImageSource"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(rings, [f"pipeline={{name: {module}:NoLoad}}"])
    assert str(caught.value) == (
        f"--set pipeline={{name: {module}:NoLoad}}: pipeline.name is '{module}:NoLoad', which has "
        "no load: a section of a pipeline must define it"
    )


def test_commands_work_with_it(rings):
    module = load_config(rings).pipeline.name.partition(":")[0]
    assert run("plan", rings, "-n", 1)[0] == 0
    code, output, _ = run("check", rings)
    assert code == 0, output
    assert run("weights", "fetch", rings) == (
        0, "nothing to fetch: what this configuration needs is part of synthgen\n", "",
    )  # fmt: skip
    assert run("image", "a face", "--config", rings, "-o", "one.png", "--au", "AU12=5")[0] == 0
    assert Image.open("one.png").size == (64, 64)
    code, output, _ = run("preview", rings, "-n", 3, "-o", "sheet.png")
    assert (code, output.startswith("sheet.png: 3 first attempts")) == (0, True)
    assert run("generate", rings, "--executor", "inline")[0] == 0
    sample = f"sample-{load_config(rings).run_id()}-00000001"
    assert run("reproduce", "out", sample) == (
        0, f"{sample}: the same image, byte by byte\n", "",
    )  # fmt: skip
    gone = f"pipeline.name={module}:Ring"
    assert run("plan", rings, "--set", gone)[::2] == (
        2,
        f"error: --set {gone}: pipeline.name is '{module}:Ring', but the module {module} has no "
        "Ring\n",
    )


@pytest.mark.ray
def test_its_workers_import_it(rings, digests):
    alone = load_config(rings, ["output.path=alone"])
    generate(alone, "inline")
    together = load_config(rings, ["cluster.actors=2"])
    generate(together, "ray")
    assert digests(together) == digests(alone)
