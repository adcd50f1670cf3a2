"""The condition `flame` in rows, rejects, reproductions and merged datasets."""

import importlib
import os
import sys
from hashlib import sha256
from pathlib import Path

import datasets
import numpy as np
import pytest
from pyarrow import parquet

from cluster.driver import generate
from samplers import build_plan
from samplers.flame import FlameExpression
from synthgen import to_pandas
from synthgen.config import parse_config
from synthgen.dataset import inspect_dataset
from synthgen.dataset.merging.joining import Merging, merge
from synthgen.errors import ConfigError
from synthgen.report.reproduction import reproduce

MADE_UP = '''
from hashlib import sha256

import numpy as np
from PIL import Image, ImageDraw

from pipelines.interfaces import ImageSource
from samplers import Prior
from samplers.flame import FlameExpression
from synthgen.config.pipeline import PipelineSection
from synthgen.config.priors import PriorSection


class Shapes(PriorSection):
    """AU12 of any strength, with FLAME numbers of its own."""

    gives = frozenset({"aus", "flame"})

    def build(self):
        return ShapePrior(self.au_set)


class ShapePrior(Prior):
    width = 1

    def __init__(self, aus):
        self.action_units = aus

    def draw(self, strata, numbers):
        vectors = np.zeros((len(strata), len(self.action_units)), np.float32)
        vectors[:, self.action_units.index("AU12")] = 1 + 4 * numbers[:, 0]
        return vectors

    def conditions(self, stratum, aus):
        numbers = np.full(55, max(aus), np.float32)
        return {"flame": FlameExpression(numbers, sha256(numbers.tobytes()).hexdigest())}


class Vague(Shapes):
    def build(self):
        return VaguePrior(self.au_set)


class VaguePrior(ShapePrior):
    def conditions(self, stratum, aus):
        return {"flame": (0.0,) * 55}


class Masks(PipelineSection):
    needs = frozenset({"aus", "flame"})

    def load(self, device):
        return MaskSource()


class MaskSource(ImageSource):
    def generate(self, attempts):
        return [self.mask(attempt) for attempt in attempts]

    def mask(self, attempt):
        image = Image.new("RGB", (64, 64), "white")
        draw = ImageDraw.Draw(image)
        draw.ellipse((8, 8, 56, 56), outline=attempt.seed % 2**24)
        draw.line((20, 40, 44, 40), width=int(1 + attempt.spec.conditions["flame"].numbers[0]))
        return image
'''


@pytest.fixture
def masked(tmp_path, monkeypatch, make_config):
    """Return a function that builds a run of masks, every one of which is kept and rejected."""
    module = f"masks_{os.urandom(4).hex()}"
    (tmp_path / f"{module}.py").write_text(MADE_UP)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()

    def build(prior="Shapes", folder="out", seed=3):
        data = make_config(folder, samples=6, seed=seed).model_dump(mode="json")
        data["expressions"] = {"prior": f"{module}:{prior}"}
        data["pipeline"] = {"name": f"{module}:Masks", "batch_size": 3}
        data["verify"] |= {"on_exhausted": "keep_best", "max_attempts": 2}
        data["output"] |= {"shard_size": 3}
        return parse_config(data)

    return build


def test_rows_and_rejects_hold_what_the_image_was_to_show(masked):
    config = masked()
    assert generate(config, "inline").rows == 6
    out = Path(config.output.path)
    plan = build_plan(config)
    wanted = {
        spec.sample_id: spec.condition("flame", FlameExpression)
        for spec in map(plan.sample, range(6))
    }
    for folder, rows in (("data", 6), ("rejects", 12)):
        tables = [parquet.read_table(file) for file in sorted((out / folder).glob("*.parquet"))]
        names = tables[0].column_names
        assert names[names.index("aus") :][:4] == ["aus", "flame", "flame_source", "aus_measured"]
        found = [row for table in tables for row in table.to_pylist()]
        assert len(found) == rows
        for row in found:
            asked = wanted[row["sample_id"]]
            assert np.array_equal(np.float32(row["flame"]), asked.numbers)
            assert row["flame_source"] == sha256(asked.numbers.tobytes()).hexdigest()
    loaded = datasets.load_dataset(str(out), split="train", cache_dir=str(out.parent / "cache"))
    assert loaded.features["flame"] == datasets.List(datasets.Value("float32"), length=55)
    assert loaded.features["flame_source"] == datasets.Value("string")
    assert len(loaded["flame"][0]) == 55
    frame = to_pandas(str(out))
    assert set(frame["flame_source"]) == {asked.source for asked in wanted.values()}
    assert inspect_dataset(str(out)).problems == ()
    sample = next(iter(wanted))
    assert reproduce(str(out), sample).same
    again = reproduce(str(out), sample, attempt=0)
    assert again.same
    assert again.largest == 0


def test_a_merged_dataset_has_them_where_a_source_has(masked, make_config, tmp_path):
    generate(masked(), "inline")
    generate(make_config("plain", samples=6), "inline")
    sources = [str(tmp_path / "out"), str(tmp_path / "plain")]
    merge(Merging(sources=sources, to=str(tmp_path / "both")))
    tables = [parquet.read_table(f) for f in sorted((tmp_path / "both" / "data").glob("*"))]
    rows = [row for table in tables for row in table.to_pylist()]
    masks = [row for row in rows if row["pipeline"].startswith("masks_")]
    assert len(masks) == 6
    assert all(None not in row["flame"] and len(row["flame_source"]) == 64 for row in masks)
    others = [row for row in rows if row not in masks]
    assert [row["flame"] for row in others] == [[None] * 55] * len(others)
    assert [row["flame_source"] for row in others] == [None] * len(others)


def test_a_run_without_them_has_no_such_column(make_config, tmp_path):
    config = make_config(samples=2)
    generate(config, "inline")
    for folder in ("data", "rejects"):
        for file in (tmp_path / "out" / folder).glob("*.parquet"):
            assert not {"flame", "flame_source"} & set(parquet.read_schema(file).names)


def test_another_type_of_that_name_is_refused(masked):
    config = masked("Vague")
    with pytest.raises(ConfigError) as caught:
        generate(config, "inline")
    assert str(caught.value) == (
        f"the condition 'flame' of sample-{config.run_id()}-00000000 is a tuple; it must be a "
        "FlameExpression"
    )
