"""The map of the architecture names each module in the row of its folder."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("synthgen", "samplers", "pipelines", "cluster")


def test_the_map_names_each_module_in_the_row_of_its_folder():
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z0-9/_]+/)` \| (.+) \|$", page, re.MULTILINE))
    missing = []
    for package in PACKAGES:
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            name = path.relative_to(REPOSITORY).as_posix()
            room = max((room for room in rows if name.startswith(room)), key=len, default="")
            if not path.stem.startswith("__") and f"`{path.stem}`" not in rows.get(room, ""):
                missing.append(name)
    assert missing == []
