"""Runs whose AUs are others than the twelve."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset
from embedded import EDITION, MEASURED
from PIL import Image

from cluster.driver import generate
from pipelines.interfaces import ImageSource, Verifier
from pipelines.policy import Verdict
from pipelines.procedural.drawn_aus import aus_of_edition
from samplers import load_prior
from samplers.plan import build_plan
from samplers.summary import render, summarise
from synthgen.action_units import AUS, FACS, ActionUnitSet
from synthgen.config import CheckSection, parse_config
from synthgen.config.pipeline import PipelineSection
from synthgen.dataset import Storage, inspect_dataset, layout, read_record, read_statistics
from synthgen.dataset.merging.joining import Merging, merge
from synthgen.dataset.schema import vector_feature
from synthgen.errors import ConfigError, DatasetError
from synthgen.report.comparison import compare, describe_comparison
from synthgen.report.plan_plot import draw_plan
from synthgen.report.reproduction import reproduce

EIGHT = ("AU1", "AU2", "AU4", "AU6", "AU12", "AU15", "AU25", "AU26")
MANY = [name for name in FACS if name != "AU8"][:24]
DRAWN = aus_of_edition(EDITION)
UNMEASURED = [name for name in MANY if name not in MEASURED.names]
CATEGORIES = ["neutral", "happy", "sad", "surprised"]
EMOTIONS = {"prior": "emotions", "categories": CATEGORIES, "action_units": [*reversed(EIGHT)]}


def test_a_run_of_eight_aus_is_made_loaded_reported_and_reproduced(make_config, tmp_path):
    config = make_config(expressions=EMOTIONS, samples=16)
    generate(config, "inline")
    dataset = load_dataset(config.output.path, cache_dir=str(tmp_path / "cache"))
    rows = [row for split in dataset.values() for row in split]
    assert {len(row["aus"]) for row in rows} == {8}
    assert {len(row["aus_measured"]) for row in rows} == {8}
    smile = next(
        row for row in rows if dataset["train"].features["emotion"].names[row["emotion"]] == "happy"
    )
    found = dict(zip(EIGHT, smile["aus_measured"], strict=True))
    assert smile["aus"][EIGHT.index("AU12")] >= 2
    assert found["AU12"] > 1
    storage = Storage(config.output.path)
    assert read_record(storage).schema.aus == EIGHT
    assert [au.name for au in read_statistics(storage).aus] == list(EIGHT)
    assert "An AU vector is 8 intensities" in " ".join(storage.read(layout.CARD).decode().split())
    assert inspect_dataset(config.output.path).problems == ()
    report = describe_comparison(compare(config.output.path))
    assert "AU26  jaw drop" in report
    assert "AU20" not in report
    assert reproduce(config.output.path, rows[0]["sample_id"]).same
    before = Path(config.output.path, "data").stat().st_mtime_ns
    generate(config, "inline")
    assert Path(config.output.path, "data").stat().st_mtime_ns == before


def test_the_plan_of_eight_aus_shows_them_alone(make_config):
    plan = build_plan(make_config(expressions=EMOTIONS))
    summary = summarise(plan)
    assert [au.name for au in summary.aus] == list(EIGHT)
    assert len(plan.sample(0).aus) == 8
    assert "AU9" not in render(summary)
    assert [tick.get_text() for tick in draw_plan(summary).axes[0].get_xticklabels()] == list(EIGHT)


def test_the_twelve_are_neither_stored_nor_part_of_the_identity(make_config):
    plain = make_config()
    said = make_config(expressions={**EMOTIONS, "action_units": [*reversed(AUS)]})
    assert said.identity() == plain.identity()
    assert "action_units" not in plain.model_dump()["expressions"]
    other = make_config(expressions=EMOTIONS)
    assert other.identity()["expressions"]["action_units"] == list(EIGHT)
    assert other.run_id() != plain.run_id()


def test_the_record_names_other_aus_than_the_twelve(make_config):
    for expressions, there in (({}, False), ({"expressions": EMOTIONS}, True)):
        config = make_config("of_eight" if there else "of_twelve", samples=4, **expressions)
        generate(config, "inline")
        schema = json.loads(Storage(config.output.path).read(layout.RUN))["schema"]
        assert schema.get("aus") == (list(EIGHT) if there else None)


def test_datasets_of_other_aus_are_not_merged(make_config, tmp_path):
    paths = []
    for name, changes in (("of_twelve", {}), ("of_eight", {"expressions": EMOTIONS})):
        config = make_config(name, samples=4, name=name, **changes)
        generate(config, "inline")
        paths.append(config.output.path)
    with pytest.raises(DatasetError) as caught:
        merge(Merging(sources=tuple(paths), to=str(tmp_path / "both")))
    assert str(caught.value) == (
        f"cannot merge: the AU vectors of of_twelve hold {', '.join(AUS)}, and those of of_eight "
        f"{', '.join(EIGHT)}; merge datasets with the same AUs"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"expressions": {**EMOTIONS, "action_units": [*AUS, "AU18", "AU45"]}},
            "configuration: pipeline 'procedural' cannot show AU18, AU45, which "
            f"expressions.action_units names; it can show {', '.join(DRAWN.names)}",
        ),
        (
            {"expressions": EMOTIONS, "verify": {"policy": {"per_au_tolerance": {"AU20": 2.0}}}},
            "configuration: verify.policy.per_au_tolerance: AU20 (lip stretcher) exists in FACS, "
            f"but the AUs in use are {', '.join(EIGHT)}",
        ),
    ],
)
def test_aus_that_are_not_the_runs_are_refused(make_config, changes, message):
    with pytest.raises(ConfigError) as caught:
        make_config(**changes)
    assert str(caught.value) == message


def test_a_category_needs_its_aus():
    with pytest.raises(ConfigError) as caught:
        load_prior({**EMOTIONS, "categories": ["happy", "fearful", "disgusted"]})
    assert str(caught.value) == (
        "expressions.categories: 'fearful' cannot be shown: it needs AU20, which is not among the "
        f"AUs in use, {', '.join(EIGHT)}"
    )


def test_further_aus_show_what_the_twelve_lose():
    prior = load_prior(
        {"prior": "emotions", "categories": ["angry"], "action_units": [*AUS, "AU7", "AU24"]}
    )
    rates = dict(zip(prior.action_units.names, prior.rates().tolist(), strict=True))
    assert rates == {**dict.fromkeys(AUS, 0.0), "AU4": 1, "AU7": 1, "AU24": 1, "AU17": 0.52}
    assert np.count_nonzero(prior.sample(50, seed=0), axis=1).min() == 3


class Dots(PipelineSection):
    """A pipeline of others: a dot for each AU, as bright as it is strong."""

    can: list[str] = MANY

    @property
    def action_units(self):
        return frozenset(self.can)

    def load(self, device):
        return DotSource()


class DotSource(ImageSource):
    """Draws the dots from left to right."""

    def generate(self, attempts):
        return [self._dots(attempt.spec) for attempt in attempts]

    def _dots(self, spec):
        values = 40 * np.clip(np.array(spec.aus_of(ActionUnitSet.of(MANY))), 0, 5) + 10
        rows = np.repeat(np.repeat(values[None], 64, axis=0), 4, axis=1)
        return Image.fromarray(np.stack([rows] * 3, axis=-1).astype(np.uint8))


class ReadDots(CheckSection):
    """A check of others that reads the dots of the run's AUs."""

    @property
    def action_units(self):
        return frozenset(MANY)

    def load(self, device, run):
        return DotReader(run.expressions.au_set)


class DotReader(Verifier):
    """Reads an intensity from each dot."""

    def __init__(self, aus):
        self._aus = aus
        self._places = [4 * MANY.index(name) for name in aus.names]

    @property
    def columns(self):
        return {"dots": vector_feature(len(self._aus))}

    def measure(self, images, specs):
        found = [(np.asarray(image)[0, self._places, 0] - 10.0) / 40 for image in images]
        return [{"dots": values.tolist()} for values in found]

    def verdict(self, spec, measured):
        missed = float(np.abs(np.array(spec.aus) - measured["dots"]).max())
        return Verdict.accept() if missed < 0.05 else Verdict.reject("dots", "far off", missed)


RATES = {name: {"rate": 0.25} for name in MANY}
OF_24 = {
    "expressions": {"prior": "independent", "action_units": MANY, "aus": RATES},
    "pipeline": {"name": f"{__name__}:Dots", "batch_size": 5},
    "verify": {"checks": [f"{__name__}:ReadDots"]},
}


@pytest.fixture
def make_24(make_config):
    """Return a function that builds a run of 24 AUs, with keys replaced."""

    def make(**changes):
        stored = make_config().model_dump(mode="json")
        people = {**stored["identities"], "expressions_per_identity": 250}
        return parse_config({**stored, "identities": people, **OF_24, **changes})

    return make


def test_a_pipeline_and_a_check_of_others_make_24_aus(make_24, tmp_path):
    config = make_24(samples=12)
    assert generate(config, "inline").rows == 12
    dataset = load_dataset(config.output.path, cache_dir=str(tmp_path / "cache"))
    rows = [row for split in dataset.values() for row in split]
    assert all(row["accepted"] for row in rows)
    asked, dots = (np.array([row[name] for row in rows]) for name in ("aus", "dots"))
    assert asked.shape == dots.shape == (12, 24)
    assert np.abs(asked - dots).max() < 0.05
    assert read_record(Storage(config.output.path)).schema.aus == tuple(MANY)
    assert inspect_dataset(config.output.path).problems == ()
    assert "AU24  lip presser" in describe_comparison(compare(config.output.path))


def test_a_plan_of_24_aus_needs_little_memory(make_24):
    config = make_24(samples=10_000)
    tracemalloc.start()
    try:
        summary = summarise(build_plan(config))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200 * 2**20
    assert [round(au.expected_rate, 2) for au in summary.aus] == [0.25] * 24
    assert summary.counted == 10_000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"verify": {"verifier": "libreface", "weights": "mini", "aligner": "centered"}},
            f"configuration: verifier 'libreface' cannot measure {', '.join(UNMEASURED)}, which "
            f"expressions.action_units names; it can measure {', '.join(MEASURED.names)}",
        ),
        (
            {"pipeline": {"name": f"{__name__}:Dots", "can": ["AU2", "AU1"]}},
            f"configuration: pipeline '{__name__}:Dots' cannot show {', '.join(MANY[2:])}, which "
            "expressions.action_units names; it can show AU1, AU2",
        ),
    ],
)
def test_who_cannot_is_named(make_24, changes, message):
    with pytest.raises(ConfigError) as caught:
        make_24(**changes)
    assert str(caught.value) == message
