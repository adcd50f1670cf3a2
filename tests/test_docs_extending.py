"""The page on components of others shows the packages as they are."""

import ast
import re
from pathlib import Path

import pytest

from synthgen import extending

REPOSITORY = Path(__file__).parents[1]
FOLDER = REPOSITORY / "examples" / "extending"
PAGE = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"\]\(\.\./examples/extending/([^)]+)\):\n\n```\w+\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("path", "code"), SHOWN, ids=[path for path, _ in SHOWN])
def test_a_file_stands_on_the_page_as_it_is(path, code):
    assert code == (FOLDER / path).read_text(encoding="utf-8")


def test_every_package_is_shown():
    shown = {Path(path).parts[0] for path, _ in SHOWN}
    assert shown == {path.parent.name for path in FOLDER.glob("*/pyproject.toml")}


def test_the_methods_that_the_page_names_exist():
    named = re.findall(r"`(\w+)\(", PAGE.split("## A pipeline")[1])
    bases = (extending.PipelineSection, extending.ImageSource)
    unknown = {name for name in named if not any(hasattr(base, name) for base in bases)}
    assert unknown == set()


def test_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (REPOSITORY / "docs" / link).exists(), link


def test_every_name_is_there_and_known_to_type_checkers():
    stub = ast.parse((REPOSITORY / "synthgen" / "extending.pyi").read_text())
    homes = {
        alias.asname: found.module
        for found in stub.body
        if isinstance(found, ast.ImportFrom)
        for alias in found.names
    }
    assert homes == extending._HOMES
    (listed,) = [node.value for node in stub.body if isinstance(node, ast.Assign)]
    assert ast.literal_eval(listed) == sorted(homes)
    for name in homes:
        assert getattr(extending, name).__doc__ or name == "Feature"


def test_packages_take_all_of_ours_from_one_place():
    for path in FOLDER.glob("*/*.py"):
        taken = set(
            re.findall(
                r"^from ((?:synthgen|samplers|pipelines|cluster)\S*)", path.read_text(), re.M
            )
        )
        assert taken == {"synthgen.extending"}, path
