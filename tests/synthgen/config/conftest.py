import copy
from pathlib import Path

import pytest
import yaml

QUICKSTART = Path(__file__).parents[3] / "examples" / "quickstart.yaml"


@pytest.fixture
def quickstart():
    """The example's configuration as a mapping that a test may change."""
    return copy.deepcopy(yaml.safe_load(QUICKSTART.read_text(encoding="utf-8")))


@pytest.fixture
def quickstart_path():
    return QUICKSTART
