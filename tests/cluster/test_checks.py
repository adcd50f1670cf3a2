"""Checks of a run: several, none, and one that others wrote, with a column of its own."""

import re
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset

from cluster.driver import generate
from pipelines.interfaces import Verifier
from pipelines.policy import Verdict
from synthgen.config import CheckSection, dump_config, parse_config
from synthgen.dataset import (
    Storage,
    describe_inspection,
    inspect_dataset,
    read_record,
    read_statistics,
)
from synthgen.dataset.schema import value_feature
from synthgen.errors import ConfigError
from synthgen.report.comparison import compare, describe_comparison, stored_config
from synthgen.report.reproduction import reproduce
from synthgen.report.run_summary import describe_run
from synthgen.report.status import describe_status, read_status

LIBREFACE = {"name": "libreface", "weights": "mini", "aligner": "centered"}


class Brightness(Verifier):
    """The mean brightness of an image, which must not be below a bound."""

    def __init__(self, least, column):
        self._least, self._column = least, column

    @property
    def columns(self):
        return {self._column: value_feature("float32")}

    def measure(self, images, specs):
        return [{self._column: float(np.asarray(image.convert("L")).mean())} for image in images]

    def verdict(self, spec, measured):
        found = measured[self._column]
        if found < self._least:
            return Verdict.reject("dark", f"the brightness is {found:.1f}", self._least - found)
        return Verdict.accept()


FACEID = {"name": "faceid", "embedder": {"kind": "mini"}}
NOBODY = (
    "it compares images with the people of a store; identities.source is 'prompts', it must be "
    "'faceid'"
)
AU10 = (
    "AU10 (upper lip raiser) exists in FACS, but it is none of the 12 that FineFace, LibreFace and "
    "drawn faces know (AU1, AU2, AU4, AU5, AU6, AU9, AU12, AU15, AU17, AU20, AU25, AU26); runs of "
    "models that know others name theirs as expressions.action_units"
)


class BrightnessCheck(CheckSection):
    """The section of the check."""

    least: float = 0.0
    column: str = "brightness"

    def load(self, device, run):
        return Brightness(self.least, self.column)


OURS = f"{__name__}:BrightnessCheck"


@pytest.fixture
def make(make_config):
    """Return a function that builds the small run with checks, this module's among them."""

    def make_run(checks, folder="out", **verify):
        stored = make_config(folder, samples=8).model_dump(mode="json")
        return parse_config({**stored, "verify": {"checks": checks, "max_attempts": 2, **verify}})

    return make_run


def rows_of(config, name=None):
    splits = load_dataset(config.output.path, *([name] if name else []))
    return [row for split in splits.values() for row in split]


def test_a_check_of_others_adds_a_column_and_rejects_with_its_name(make):
    measured = make([LIBREFACE, OURS], "first")
    generate(measured, "inline")
    values = [row["brightness"] for row in rows_of(measured)]
    assert all(30 < value < 255 for value in values)
    least = float(np.median(values))

    config = make([LIBREFACE, {"name": OURS, "least": least}], "second", on_exhausted="drop")
    generate(config, "inline")
    rows, rejects = rows_of(config), rows_of(config, "rejects")
    assert rows
    assert all(row["brightness"] >= np.float32(least) for row in rows)
    dark = [row for row in rejects if row["reason"] == "Brightness:dark"]
    assert dark
    assert dark[0]["detail"] == f"the brightness is {dark[0]['brightness']:.1f}"
    assert dark[0]["aus_measured"][0] is not None
    assert reproduce(config.output.path, rows[0]["sample_id"]).same
    assert inspect_dataset(config.output.path).problems == ()
    card = Storage(config.output.path).read("README.md").decode()
    assert f"measured by the checks `libreface`, `{OURS}`, and kept or rejected by their" in card
    assert "| `brightness` | Brightness |" in card


def test_the_check_of_the_docs_runs(make, tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "checks.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "my_checks.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    config = make([LIBREFACE, {"name": "my_checks:BrightnessCheck", "least": 60}])
    generate(config, "inline")
    assert all(row["brightness"] >= 60 for row in rows_of(config))


def test_a_stored_schema_is_read_without_the_check(make):
    config = make([OURS])
    generate(config, "inline")
    schema = read_record(Storage(config.output.path)).schema
    assert [(column.name, column.of) for column in schema.columns] == [("brightness", "Brightness")]
    assert rows_of(config)[0]["verifier"] == "Brightness"
    assert "aus_measured" not in rows_of(config)[0]
    statistics = read_statistics(Storage(config.output.path))
    assert np.isnan([au.mean_measured for au in statistics.aus]).all()
    assert stored_config(Storage(config.output.path)).verify == config.verify


@pytest.mark.parametrize("verify", [{"checks": []}, {"verifier": "none"}])
def test_without_checks_every_first_image_is_kept(make_config, verify):
    stored = make_config(samples=8).model_dump(mode="json")
    config = parse_config({**stored, "verify": verify})
    summary = generate(config, "inline")
    assert (summary.rows, summary.attempts, summary.lacking) == (8, 8, 0)
    rows = rows_of(config)
    assert {row["accepted"] for row in rows} == {None}
    assert {row["verifier"] for row in rows} == {None}
    assert {row["attempt"] for row in rows} == {0}
    assert "no check has looked at them: accepted is null" in describe_run(config, summary)
    card = Storage(config.output.path).read("README.md").decode()
    assert "No check looked at the images: the first one of each sample is kept" in card
    assert "8 images were made for 8 samples; 8 were kept; no check has looked at them" in card
    assert "no check has looked at 8 samples (accepted is null)" in describe_inspection(
        inspect_dataset(config.output.path)
    )
    report = describe_comparison(compare(config.output.path)).splitlines()
    assert report[1] == "no check has looked at 8 of them: accepted is null"
    assert "checks: []" in dump_config(config)
    assert "8 images made; no check looks at them" in describe_status(
        read_status(config.output.path)
    )


def test_checks_that_the_older_keys_can_say_are_stored_by_them(make_config):
    older = make_config(samples=8)
    stored = older.model_dump(mode="json")
    assert list(stored["verify"]) == [
        "verifier", "weights", "aligner", "policy", "max_attempts", "on_exhausted",
        "max_replacements", "fuse",
    ]  # fmt: skip
    newer = parse_config({**stored, "verify": {"checks": [LIBREFACE], "max_attempts": 2}})
    assert newer == older
    assert dump_config(newer) == dump_config(older)
    assert newer.run_id() == older.run_id()


@pytest.mark.parametrize(
    ("verify", "said"),
    [
        (
            {"checks": ["libreface"], "weights": "mini", "policy": {}},
            "verify: checks and weights, policy say the same thing twice; say it by checks alone, "
            "whose entries have these keys",
        ),
        (
            {"verifier": "none", "weights": "mini"},
            "verify: verifier is 'none', so nothing is measured; leave out weights, or say what "
            "measures by checks",
        ),
        (
            {"verifier": "other"},
            "verify.verifier is 'other'; it must be 'libreface' or 'none'",
        ),
        (
            {"checks": ["librefac"]},
            "verify.checks.0 is 'librefac'; did you mean 'libreface'? It must be 'libreface', "
            "'faceid', 'slots', 'libreface-package', 'libreface-expression' or 'blendshapes', "
            "or package.module:Class",
        ),
        ({"checks": [{"name": "libreface", "policy": {"min_active": -1}}]},
         "verify.checks.0.policy.min_active is -1; it must be at least 0"),
        ({"identity": {"embedder": {"kind": "mini"}, "name": "x"}},
         "unknown key verify.identity.name; there are embedder, wanted, forbidden, neutral"),
        ({"identity": {"embedder": {"kind": "x"}}},
         "verify.identity.embedder.kind is 'x'; it must be 'mini', 'insightface' or 'arc2face'"),
        ({"policy": {"min_identity_similarity": 0.5}, "identity": {"embedder": {"kind": "mini"}}},
         f"verify.policy.min_identity_similarity: {NOBODY}"),
        ({"identity": {"embedder": {"kind": "mini"}, "wanted": "x.parquet"}},
         f"verify.identity.wanted: {NOBODY}"),
        ({"checks": ["libreface", {**FACEID, "wanted": "x.parquet"}]},
         f"verify.checks.1.wanted: {NOBODY}"),
        ({"checks": [{**FACEID, "policy": {"min_identity_similarity": 0.5}}]},
         f"verify.checks.0.policy.min_identity_similarity: {NOBODY}"),
        ({"checks": [{"name": "libreface", "policy": {"per_au_tolerance": {"AU10": 1}}}]},
         f"verify.checks.0.policy.per_au_tolerance: {AU10}"),
        ({"policy": {"per_au_tolerance": {"AU10": 1}}},
         f"verify.policy.per_au_tolerance: {AU10}"),
    ],
)  # fmt: skip
def test_what_is_said_twice_or_wrong_is_refused(make_config, verify, said):
    stored = make_config().model_dump(mode="json")
    with pytest.raises(ConfigError) as caught:
        parse_config({**stored, "verify": verify})
    assert str(caught.value) == f"configuration: {said}"


def test_two_checks_that_declare_one_column_are_refused(make):
    with pytest.raises(ConfigError) as caught:
        generate(make([OURS, OURS]), "inline")
    assert str(caught.value) == (
        "'Brightness' and 'Brightness' both declare the column 'brightness'; leave one of them out "
        "of verify.checks"
    )
    with pytest.raises(ConfigError) as caught:
        generate(make([{"name": OURS, "column": "image"}]), "inline")
    assert str(caught.value) == (
        "'Brightness' declares the column 'image', which is a dataset's own; it must have another "
        "name"
    )
