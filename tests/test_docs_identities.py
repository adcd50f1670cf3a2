import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from samplers import build_plan
from samplers.identities import write_store
from samplers.identities.reference import ReferenceImage
from samplers.summary import render, summarise
from synthgen.config import parse_config
from tests.support.tiny_faces import make_store

TEXT = (Path(__file__).parents[1] / "docs" / "identities.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


def plan_of(section):
    return build_plan(
        parse_config(
            {
                "name": "docs",
                "seed": 1,
                "samples": 20,
                "output": {"path": "out"},
                "expressions": {"prior": "emotions", "categories": ["happy", "sad", "awed"]},
                "identities": section,
                "pipeline": {"name": "procedural"},
            }
        )
    )


@pytest.mark.parametrize("text", SECTIONS)
def test_each_section_of_the_page_can_be_planned(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_store("faces.parquet", make_store(60))
    kept = [ReferenceImage.of(b"picture of %d" % number) for number in range(60)]
    write_store("people.parquet", replace(make_store(60), references=tuple(kept)))
    rows = make_store(60, faces=2)
    np.savez("celebrities.npz", embeddings=rows.embeddings, celebrity=rows.identity_ids)
    head = render(summarise(plan_of(yaml.safe_load(text)))).splitlines()[:3]
    assert head[0].startswith("samples     20 (train ")
    assert head[1].startswith("identities  ")


def test_the_shown_plan_looks_like_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_store("faces.parquet", make_store(60))
    lines = render(summarise(plan_of(yaml.safe_load(SECTIONS[-1])))).splitlines()
    assert lines[1] == "identities  5 (each 3 expressions, a neutral image, one noise)"
    assert lines[2] == "people      faces.parquet: 60 people, described by toy"
    assert "(each 7 expressions, a neutral image, one noise)" in TEXT


def test_a_source_of_ones_own_gives_poses(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "my_guests.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    plan = plan_of({"source": "my_guests:Guests", "expressions_per_identity": 2})
    spec = plan.sample(2)
    assert spec.identity_id == f"guest-{plan.run_id}-1"
    assert spec.condition("pose", tuple) == (-20.0, 0.0)
