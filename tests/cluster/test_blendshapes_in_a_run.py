"""The check `blendshapes` in a run: alone, and beside another verifier with which it must agree."""

import numpy as np
import pytest
from commands import run
from datasets import load_dataset
from made_reader import MadeReader, write_map
from PIL import Image

from cluster.driver import generate
from pipelines.blendshapes.check import BlendshapeCheck
from pipelines.blendshapes.fitted_map import load_map
from pipelines.blendshapes.section import BlendshapesCheck
from synthgen.config import dump_config, parse_config
from synthgen.dataset import Storage, inspect_dataset, read_record, read_statistics
from synthgen.dataset.tables import to_pandas
from synthgen.report.comparison import compare, describe_comparison
from synthgen.report.reproduction import reproduce

LIBREFACE = {"name": "libreface", "weights": "mini", "aligner": "centered"}


class MadeCheck(BlendshapesCheck):
    """The check with a reader that takes the colour of the background for an expression."""

    name: str

    def load(self, device, run):
        return BlendshapeCheck(
            MadeReader(), load_map(self.map), self, run.expressions.au_set, self._other(run)
        )

    def find_weights(self, fetch):
        return super(BlendshapesCheck, self).find_weights(fetch)


@pytest.fixture
def make(make_config, tmp_path):
    """Return a function that builds the small run with this module's check, after others."""

    def made(*before, samples=8, **keys):
        stored = make_config(samples=samples).model_dump(mode="json")
        file = str(write_map(tmp_path / "map.json"))
        ours = {"name": f"{__name__}:MadeCheck", "landmarker": "x.task", "map": file, **keys}
        verify = {"checks": [*before, ours], "max_attempts": 2, "on_exhausted": "drop"}
        return parse_config({**stored, "verify": verify})

    return made


def rows_of(config, name=None):
    splits = load_dataset(config.output.path, *([name] if name else []))
    return [row for split in splits.values() for row in split]


def gaps(row):
    """Return the differences of two verifiers in the AUs asked for that both see."""
    return [
        abs(row["aus_measured"][place] - row["blendshape_aus"][place])
        for place in (6, 11)
        if row["aus"][place] > 0
    ]


WIDE = {"max_active_error": 5, "max_inactive": 5, "min_active": None}


def test_alone_it_is_the_au_check_of_a_run(make, tmp_path):
    config = make(policy=WIDE, columns=["face_box"])
    generate(config, "inline")
    rows = rows_of(config)
    assert len(rows) == 8
    for row in rows:
        assert row["verifier"] == "blendshapes"
        assert row["face_box"] == [0, 0, 0.75, 1]
        seen = [place for place, value in enumerate(row["aus_measured"]) if value is not None]
        assert seen == [6, 11]
    statistics = read_statistics(Storage(config.output.path))
    known = [not np.isnan(au.mean_elsewhere) for au in statistics.aus]
    assert [place for place, there in enumerate(known) if there] == [6, 11]
    assert inspect_dataset(config.output.path).problems == ()
    assert reproduce(config.output.path, rows[0]["sample_id"]).same
    assert describe_comparison(compare(config.output.path))
    table = to_pandas(config.output.path)
    assert table["AU12_measured"].notna().all()
    assert table["AU09_measured"].isna().all()
    record = read_record(Storage(config.output.path))
    assert record.identity["weights"]["face_landmarker.task"] == "ab" * 32
    card = Storage(config.output.path).read("README.md").decode()
    assert "| `face_box` | blendshapes |" in card

    (tmp_path / "run.yaml").write_text(dump_config(config))
    Image.new("RGB", (9, 9), (255, 255, 0)).save(tmp_path / "face.png")
    code, said, _ = run("measure", tmp_path / "face.png", "--config", tmp_path / "run.yaml")
    assert code == 0
    heads, values = (line.split() for line in said.splitlines()[:2])
    told = dict(zip(heads, values, strict=True))
    assert (told["AU12"], told["AU26"], told["AU09"]) == ("5.0", "0.0", "–")
    assert set(told.values()) >= {"–", "1"}


def test_beside_another_both_measure_and_what_they_disagree_on_is_rejected(make):
    only = {"max_active_error": None, "max_inactive": None, "min_active": None}
    config = make(LIBREFACE, samples=24, policy={**only, "agree_within": 1.0})
    generate(config, "inline")
    apart = [
        row for row in rows_of(config, "rejects") if row["reason"] == "blendshapes:disagreement"
    ]
    assert apart
    for row in apart:
        assert max(gaps(row)) > 1
        assert "they may differ by at most 1" in row["detail"]
        assert " by libreface and " in row["detail"]
    kept = rows_of(config)
    assert kept
    for row in kept:
        assert all(gap <= 1 for gap in gaps(row))
    assert {row["verifier"] for row in kept} == {"libreface-mini"}
