"""The site of the documentation: built whole, each page on it, each command and section known."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer
import yaml

from docs.site.__main__ import build
from synthgen.cli.commands import app
from synthgen.config import parse_config
from synthgen.errors import ConfigError

REPOSITORY = Path(__file__).parents[1]
PAGES = [*sorted((REPOSITORY / "docs").glob("*.md")), REPOSITORY / "README.md"]
TYPED = ("newcomer", "tutorial")
"""Pages whose blocks `test_newcomer` types."""
TRIED = ("arc2face", "identities", "identity-check", "priors")
"""Pages whose sections have tests of their own."""
NAVIGATION = tomllib.loads((REPOSITORY / "docs" / "site" / "zensical.toml").read_text())
RUN = yaml.safe_load((REPOSITORY / "examples" / "quickstart.yaml").read_text())


def blocks(page, *languages):
    """Return the code blocks of a page in one of some languages."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.M | re.S)
    return [text for language, text in found if language in languages]


def typed(page):
    """Return the words of each `synthgen …` on a page, as a shell would split them."""
    for text in blocks(page, "", "sh", "console"):
        lines = re.sub(r"\\\n\s*", " ", text).splitlines()
        for line in lines:
            if found := re.match(r"(?:\$ |[A-Z_]+=\S+ |nohup )*(?:.*-m )?synthgen (.*)", line):
                yield shlex.split(re.split(r" +# | > | >> | \| |; | &", found[1])[0])


COMMANDS = [
    pytest.param(words, id=f"{page.stem}: {' '.join(words[:4])}")
    for page in PAGES
    if page.stem not in TYPED
    for words in typed(page)
]


def parsed(words):
    """Read a command line as `synthgen` does, without running anything."""
    command, context = typer.main.get_command(app), None
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        command = command.commands[words[0]]
        context = command.make_context(words[0], [], parent=context, resilient_parsing=True)
        words = words[1:]
    if "-h" not in words and "--version" not in words:
        command.make_context("synthgen", list(words), parent=context)


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_of_the_pages_exists_with_its_options(words, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    parsed(words)


@pytest.mark.parametrize(
    ("page", "text"),
    [
        pytest.param(page, text, id=f"{page.stem}-{number}")
        for page in PAGES
        if page.stem not in TRIED
        for number, text in enumerate(blocks(page, "yaml"))
        if set(yaml.safe_load(text)) <= {*RUN}
    ],
)
def test_a_section_of_a_run_is_one(page, text):
    section = yaml.safe_load(text)
    if "my_checks:BrightnessCheck" in text:
        pytest.skip("names a package that the page shows how to write")
    parts = {key: part for key, part in section.items() if isinstance(part, dict)}
    joined = {key: RUN[key] | part for key, part in parts.items() if key != "verify"}
    if "AU7" in text:  # for adapters of more AUs than the embedded one has
        with pytest.raises(ConfigError, match="'fineface' cannot show AU7, AU10, AU23, AU24"):
            parse_config(RUN | section | joined)
        return
    assert parse_config(RUN | section | joined).name == RUN["name"]


def test_the_site_is_built_without_a_warning(tmp_path):
    said = build(tmp_path)
    assert "Warning" not in said, said
    for page in ("README", "docs/tutorial", "docs/reference/configuration"):
        assert (tmp_path / "html" / f"{page}.html").is_file() or page == "README", page
    keys = (tmp_path / "source" / "docs" / "reference" / "configuration.md").read_text()
    assert "| `people_per_tuple` |" in keys
    assert "`prior: emotions`" in keys
    commands = (tmp_path / "source" / "docs" / "reference" / "commands.md").read_text()
    assert "## `synthgen evaluate fer`" in commands or "### `synthgen evaluate fer`" in commands
    columns = (tmp_path / "source" / "docs" / "reference" / "columns.md").read_text()
    assert "| `aus_measured` | 12 float32 | yes |" in columns


def test_every_page_has_its_place():
    named = set(re.findall(r'"([\w/-]+\.md)"', str(NAVIGATION["project"]["nav"]).replace("'", '"')))
    pages = {page.relative_to(REPOSITORY).as_posix() for page in PAGES}
    assert pages <= named
