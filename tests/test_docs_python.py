"""Every example of docs/python.md runs, and the page names every name."""

import re
from pathlib import Path

import synthgen

TEXT = (Path(__file__).parents[1] / "docs" / "python.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.S)


def test_the_examples_run_one_after_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for example in EXAMPLES:
        exec(compile(example, "docs/python.md", "exec"), names)
    assert names["image"].size == (128, 128)
    measured = names["measured"]
    assert measured.aus[0][measured.action_units.index("AU12")] > 2


def test_the_page_names_every_name():
    table = TEXT.partition("| name |")[2].partition("\n\n")[0]
    listed = set(re.findall(r"`(\w+)", table))
    assert listed >= set(synthgen._HOMES)
