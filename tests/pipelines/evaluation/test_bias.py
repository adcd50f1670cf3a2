"""`synthgen evaluate verifier`: an AU network's readings by trait, on exactly drawn faces."""

import json
import math

import numpy as np
import pytest
from commands import run

from pipelines.evaluation.bias import (
    BiasEvaluation,
    Mean,
    compare_readings,
    differences,
    evaluate_bias,
)
from pipelines.procedural import random_identity
from synthgen.action_units import AU_COUNT, au_index
from synthgen.dataset.proportions import Proportion
from synthgen.errors import ConfigError

SKINS = ("pale", "dark")


def people(count=200):
    return [random_identity(n, skin=SKINS[n % 2], hair_style="short") for n in range(count)]


def test_a_reader_that_sees_raised_cheeks_in_pale_faces_is_told():
    shown = people()
    drawn = np.zeros((len(shown), AU_COUNT))
    drawn[:, au_index("AU12")] = 4
    read = drawn.copy()
    pale = np.array([person.skin == "pale" for person in shown])
    read[np.flatnonzero(pale)[:60], au_index("AU6")] = 1.5
    read[~pale, au_index("AU12")] -= 0.5 + 0.01 * np.arange(100)
    found = compare_readings("tiny", shown, drawn, read, 1.0)
    skin = found.traits["skin"]
    assert skin["pale"].aus["AU6"].raised == Proportion(60, 100)
    assert skin["pale"].others["AU6"].raised == Proportion(0, 100)
    assert skin["pale"].aus["AU6"].unasked.value == pytest.approx(0.9)
    assert skin["dark"].aus["AU12"].error.value == pytest.approx(-0.995)
    # AU6 above 1 is refused as inactive, and an error above 1 as active.
    assert skin["pale"].kept == Proportion(40, 100)
    assert skin["dark"].kept == skin["pale"].others_kept == Proportion(51, 100)
    told = {(one.au, one.value, one.what) for one in differences(found) if "skin" in one.value}
    assert told == {
        ("AU6", "skin pale", "read where not drawn"),
        ("AU6", "skin dark", "read where not drawn"),
        ("AU12", "skin pale", "read less drawn"),
        ("AU12", "skin dark", "read less drawn"),
    }
    assert math.isnan(skin["tan"].kept.share)


def test_a_right_reader_differs_nowhere():
    shown = people()
    drawn = np.random.default_rng(1).uniform(0, 5, (len(shown), AU_COUNT))
    found = compare_readings("tiny", shown, drawn, drawn, 1.0)
    assert differences(found) == []
    assert found.kept == Proportion(200, 200)


def test_faces_that_are_not_found_are_left_out_and_hair_of_the_bald_too():
    shown = [random_identity(n, hair_style="bald", skin="pale") for n in range(4)]
    drawn = np.zeros((4, AU_COUNT))
    read = np.where(np.arange(4)[:, None] == 0, np.nan, drawn)
    found = compare_readings("tiny", shown, drawn, read, 1.0)
    assert (found.faces, found.faceless, found.kept) == (4, 1, Proportion(3, 3))
    assert found.traits["skin"]["pale"].kept == Proportion(3, 3)
    assert all(value.kept.total == 0 for value in found.traits["hair"].values())


def test_an_interval_of_a_mean_is_that_of_a_normal_distribution():
    values = np.random.default_rng(2).normal(1, 2, 400)
    found = Mean.of(values)
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std(ddof=1) / 20)
    assert math.isnan(Mean.of(values[:29]).value)
    assert Mean.of(values[:29]).text() == "–"


def test_the_command_writes_page_and_figures(tmp_path):
    page = tmp_path / "verifier.md"
    code, said, complaints = run("evaluate", "verifier", "--faces", 100, "--to", page)
    assert code == 0, complaints
    text = page.read_text()
    assert "Made by `synthgen evaluate verifier --verifier mini --faces 100`: 100 drawn" in text
    assert "## libreface-mini\n\nOf 100 faces, the usual policy keeps " in text
    assert "| kept by the usual policy | " in text
    figures = json.loads((tmp_path / "verifier.json").read_text())
    (judge,) = figures["judges"]
    skin = judge["traits"]["skin"]
    assert sum(value["kept"]["total"] for value in skin.values()) == 100
    assert set(skin["pale"]["aus"]["AU6"]) == {"raised", "unasked", "error"}
    assert said.endswith(f"{page}\n{page.with_suffix('.json')}\n")


def test_the_page_is_no_json_file(tmp_path):
    with pytest.raises(ConfigError) as caught:
        evaluate_bias(BiasEvaluation(), tmp_path / "x.json")
    assert str(caught.value) == (
        f"--to {tmp_path}/x.json ends in .json, as the figures do that are written beside the "
        "page; name a Markdown file"
    )
