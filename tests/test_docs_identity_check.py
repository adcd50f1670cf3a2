"""The configuration in docs/identity-check.md is one."""

import re
from pathlib import Path

import yaml

from pipelines.faceid.photographs import Quality
from pipelines.faceid.section import IdentityCheck
from synthgen.config import VerifyConfig

TEXT = (Path(__file__).parents[1] / "docs" / "identity-check.md").read_text(encoding="utf-8")


def test_its_yaml_is_a_section():
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)
    config = VerifyConfig.model_validate(yaml.safe_load(block)["verify"])
    (check,) = [check for check in config.checks if isinstance(check, IdentityCheck)]
    assert check.forbidden == "training-people.parquet"


def test_its_bounds_are_those_of_the_code():
    bounds = dict(re.findall(r"\| `--min-(\w+)` \| ([\d.]+)", TEXT))
    assert {name: float(value) for name, value in bounds.items()} == {
        "side": Quality().min_side,
        "score": Quality().min_score,
        "sharpness": Quality().min_sharpness,
    }
