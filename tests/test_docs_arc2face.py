"""The run in docs/arc2face.md is one, and its table names keys that there are."""

import re
from pathlib import Path

import yaml

from pipelines.arc2face.section import Arc2FaceConfig, Arc2FaceWeights
from pipelines.loading import check_components
from synthgen.config import load_config, parse_config

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "arc2face.md").read_text(encoding="utf-8")
PART = TEXT.split("## In a run")[1].split("\n## ")[0]


def test_its_yaml_is_a_run():
    (block,) = re.findall(r"```yaml\n(.*?)```", PART, flags=re.DOTALL)
    keys = {"name": "faces", "seed": 1, "samples": 3, "output": {"path": "out"}}
    config = parse_config({**keys, **yaml.safe_load(block)})
    check_components(config)
    assert isinstance(config.pipeline, Arc2FaceConfig)
    assert config.pipeline.weights == Arc2FaceWeights()
    example = load_config(ROOT / "examples" / "arc2face-sd15.yaml").pipeline
    assert config.pipeline == example


def test_its_table_names_keys_that_there_are():
    named = [key for cell in re.findall(r"^\| (`.*?) \|", PART, re.M) for key in cell.split(", ")]
    known = {*Arc2FaceConfig.model_fields, *Arc2FaceWeights.model_fields}
    found = {key.strip("`…").removeprefix("weights.") for key in named} - {""}
    assert found <= known
    told = {key for key in Arc2FaceWeights.model_fields if not key.endswith("_revision")}
    assert told - {"lcm_lora"} <= found
