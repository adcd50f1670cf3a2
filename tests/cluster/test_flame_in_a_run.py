"""A bank of expressions in a run, with a pipeline of somebody else's that takes FLAME numbers."""

import importlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from cluster.driver import generate
from cluster.jobs import pack
from cluster.preflight import preflight
from cluster.resolve import absolute_paths
from pipelines.loading import check_components
from synthgen.config import parse_config
from synthgen.dataset import inspect_dataset
from synthgen.errors import ConfigError, OutputError
from synthgen.report.pictures import write_preview
from synthgen.report.reproduction import reproduce
from tests.support.flame_banks import bank_of, make_bank

PUPPETS = '''
import numpy as np
from PIL import Image, ImageDraw

from pipelines.interfaces import ImageSource
from samplers import Prior
from samplers.flame import FlameExpression
from synthgen.config.pipeline import PipelineSection
from synthgen.config.priors import PriorSection


class Puppets(PipelineSection):
    """Faces whose mouth follows the first FLAME numbers."""

    needs = frozenset({"aus", "flame"})

    def load(self, device):
        return Workshop()


class Workshop(ImageSource):
    def generate(self, attempts):
        return [self.puppet(attempt) for attempt in attempts]

    def puppet(self, attempt):
        shown = attempt.spec.condition("flame", FlameExpression)
        image = Image.new("RGB", (64, 64), attempt.seed % 2**24)
        draw = ImageDraw.Draw(image)
        width = 10 + 3 * abs(float(shown.numbers[0]))
        draw.ellipse((32 - width / 2, 40, 32 + width / 2, 48), fill="black")
        return image


class Even(PriorSection):
    """AU12, at any intensity."""

    def build(self):
        return EvenPrior(self.au_set)


class EvenPrior(Prior):
    width = 1

    def __init__(self, aus):
        self.action_units = aus

    def draw(self, strata, numbers):
        vectors = np.zeros((len(strata), len(self.action_units)), np.float32)
        vectors[:, self.action_units.index("AU12")] = 1 + 4 * numbers[:, 0]
        return vectors
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write the module into the working folder, and return its name."""
    name = f"puppets_{os.urandom(4).hex()}"
    (tmp_path / f"{name}.py").write_text(PUPPETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    return name


@pytest.fixture
def make_run(module, make_config):
    """Return a function that builds a run with the bank `bank.parquet`."""

    def make(samples=16, bank="bank.parquet", prior="emotions", **flame):
        data = make_config(samples=samples).model_dump(mode="json")
        data["pipeline"] = {"name": f"{module}:Puppets", "batch_size": 4}
        asked = {"categories": ["neutral", "happy", "sad"]} if prior == "emotions" else {}
        named = prior if prior == "emotions" else f"{module}:{prior}"
        data["expressions"] = {"prior": named, **asked, "flame": {"bank": bank, **flame}}
        data["verify"] |= {"on_exhausted": "keep_best", "max_attempts": 1}
        data["verify"]["policy"] = {"max_active_error": 5, "max_inactive": 5, "min_active": None}
        return parse_config(data)

    return make


def identity(config):
    record = json.loads((Path(config.output.path) / ".synthgen" / "run.json").read_text())
    return record["identity"], record["licences"]


def test_a_run_shows_the_faces_of_its_bank_and_no_other(make_run, digests):
    bank = make_bank(50)
    bank.write("bank.parquet")
    config = make_run()
    generate(config, "inline")
    found, licences = identity(config)
    assert found["labels"] == {"expressions.flame.bank": bank.digest}
    assert licences["smirk"] == "research only"
    before = digests(config)
    generate(make_run(24), "inline")
    assert inspect_dataset(config.output.path).problems == ()
    assert reproduce(config.output.path, f"sample-{config.run_id()}-00000009").same
    rows = pq.read_table(sorted(Path(config.output.path).glob("data/train*"))).to_pylist()
    shown = {row["flame_source"]: np.array(row["flame"], np.float32) for row in rows}
    for source, numbers in shown.items():
        assert (bank.flame[bank.sources.index(source)] == numbers).all()
    assert len(shown) > 3
    make_bank(50, seed=1).write("bank.parquet")
    with pytest.raises(OutputError, match=r"labels\.expressions\.flame\.bank: "):
        generate(make_run(24), "inline")
    assert before.keys() <= digests(config).keys()
    digest = bank.digest[:36]
    other = reproduce(config.output.path, f"sample-{config.run_id()}-00000009")
    assert not other.same
    assert f'; changed since: labels.expressions.flame.bank: "{digest}' in other.text()
    reject = pq.read_table(sorted(Path(config.output.path).glob("rejects/*"))).to_pylist()[:1]
    for row in reject:
        found = reproduce(config.output.path, row["sample_id"], attempt=row["attempt"])
        assert found.same or "changed since: labels.expressions.flame.bank: " in found.text()


@pytest.mark.ray
@pytest.mark.parametrize(
    "method",
    [
        pytest.param("nearest", marks=pytest.mark.slow),
        "blend",
        pytest.param("linear", marks=pytest.mark.slow),
    ],
)
def test_workers_on_ray_give_the_bytes_of_the_inline_run(make_run, digests, tmp_path, method):
    make_bank(50).write("bank.parquet")
    config = make_run(24, method=method)
    generate(config, "inline")
    alone = digests(config)
    output = config.output.model_copy(update={"path": str(tmp_path / "ray")})
    cluster = config.cluster.model_copy(update={"actors": 2})
    spread = config.model_copy(update={"output": output, "cluster": cluster})
    generate(spread, "ray")
    assert digests(spread) == alone


def test_a_prior_of_somebody_else_is_rendered_too(make_run):
    make_bank(50).write("bank.parquet")
    config = make_run(8, prior="Even", method="blend")
    check_components(config)
    generate(config, "inline")


def test_nothing_is_begun_where_a_request_is_served_by_no_face(make_run, tmp_path):
    bank_of(np.zeros((20, 12))).write("bank.parquet")
    config = make_run()
    tight = json.loads(config.model_dump_json())
    tight["verify"]["policy"] = {"max_active_error": 1}
    config = parse_config(tight)
    text = (
        r"^expressions.flame: no face of .*bank.parquet would be accepted by the run's checks for "
    )
    with pytest.raises(ConfigError, match=text):
        generate(config, "inline")
    with pytest.raises(ConfigError, match=text):
        write_preview(config, 4, tmp_path / "preview.png")
    problems = [found for found in preflight(config, False).findings if found.severity == "problem"]
    assert [bool(problem.text.startswith("expressions.flame: no face of ")) for problem in problems]
    assert not Path(config.output.path).exists()
    assert not (tmp_path / "preview.png").exists()


def test_a_pipeline_without_flame_refuses_a_bank(make_config):
    data = make_config().model_dump(mode="json")
    data["expressions"]["flame"] = {"bank": "bank.parquet"}
    with pytest.raises(ConfigError) as error:
        check_components(parse_config(data))
    assert str(error.value).startswith(
        "expressions.flame gives flame, but the pipeline 'procedural' does not use it; leave "
        "expressions.flame out"
    )


def test_workers_and_jobs_find_the_bank(make_run, tmp_path):
    make_bank(5).write("bank.parquet")
    config = make_run(bank="bank.parquet")
    there = absolute_paths(config).expressions.flame.bank
    assert there == str(tmp_path / "bank.parquet")
    (tmp_path / "package").mkdir()
    data = config.model_dump(mode="json")
    data["output"]["path"] = "s3://bucket/out"
    pack(parse_config(data), tmp_path / "package")
    assert (tmp_path / "package" / "bank.parquet").read_bytes() == Path("bank.parquet").read_bytes()
