"""Names of files that users give: one line and exit code 2, whatever they hold."""

import sys

import pytest

from synthgen.cli import commands

LONG = "x" * 5000
SHOWN = "x" * 299 + "…"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["prior", "fit", LONG, "--format", "csv", "--to", "f.yaml"],
            f"or folder {SHOWN}",
        ),
        (
            ["prior", "fit", "x" * 300, "--format", "csv", "--to", "f"],
            "or folder xxx",
        ),
        (["prior", "fit", "round", "--format", "csv", "--to", "f.yaml"], "round"),
        (["prior", "fit", "a\nb", "--format", "csv", "--to", "f.yaml"], "a b"),
        (["prior", "fit", "a\udcffb", "--format", "csv", "--to", "f.yaml"], "a\\udcffb"),
        (["init", "drawn", "--to", LONG], f"cannot write {SHOWN}"),
        (["init", "no\nname"], "no\\nname"),
        (["plan", "a\nb"], "a"),
        (["plan", LONG], "x…"),
        (["inspect", "a\nb"], "U+000A"),
        (["status", LONG], "is 5000 characters long"),
        (["faces", "import", "a\nb", "--to", "people.parquet"], "a"),
    ],
    ids=lambda value: " ".join(value)[:24] if isinstance(value, list) else "",
)
def test_a_name_that_cannot_be_is_one_line(words, line, monkeypatch, tmp_path, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "round").symlink_to("round")
    monkeypatch.setattr(sys, "argv", ["synthgen", *words])
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    with pytest.raises(SystemExit) as ended:
        commands.main()
    said = capfd.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert said.err.startswith("error: ")
    assert said.err.endswith("\n")
    assert said.err.count("\n") == 1
    assert len(said.err) < 900
    assert line in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["round"]
