"""Valence and arousal in the rows of a run: asked for, kept, reproduced, refused."""

from pathlib import Path

import pytest

from cluster.driver import generate
from samplers.priors.affect import affect
from synthgen import to_pandas
from synthgen.config import load_config
from synthgen.errors import ConfigError
from synthgen.report.proving import prove

EXAMPLE = Path(__file__).parents[2] / "examples" / "drawn-faces.yaml"


def _config(folder, *changes):
    settings = ["samples=14", "pipeline.batch_size=8", "pipeline.size=96", f"output.path={folder}"]
    return load_config(EXAMPLE, [*settings, "output.valence_arousal=true", *changes])


def test_rows_have_the_place_of_what_was_asked_for(tmp_path):
    generate(_config(tmp_path / "out"), "inline")
    table = to_pandas(str(tmp_path / "out"))
    aus = [name for name in table.columns if name.startswith("AU") and name[4:] == ""]
    for _, row in table.iterrows():
        place = affect(row["emotion_name"], list(row[aus]))
        assert (row["valence"], row["arousal"]) == pytest.approx(place, abs=1e-6)
    assert table["valence"].nunique() > 5
    assert "(Russell & Mehrabian 1977;" in (tmp_path / "out" / "README.md").read_text()
    found = prove(str(tmp_path / "out"), samples=1)
    assert (found.wrong, found.exit_code) == ([], 0)


def test_a_run_without_categories_that_have_a_place_is_refused_before_anything_is_written(tmp_path):
    prior = '{"prior": "combinations", "combinations": [{"name": "smile", "aus": {"AU12": 3}}]}'
    with pytest.raises(ConfigError) as caught:
        generate(_config(tmp_path / "out", f"expressions={prior}"), "inline")
    assert str(caught.value) == (
        "output.valence_arousal is true, and no category of the run (it has none) has a place in "
        "the map; those that have: neutral, happy, sad, surprised, fearful, disgusted, angry"
    )
    assert not (tmp_path / "out").exists()
