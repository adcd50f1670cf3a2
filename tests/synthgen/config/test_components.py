"""Names of components: built in, installed, by dotted path, and what is refused."""

import os
import re
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from synthgen.config.base import Section
from synthgen.config.components import (
    ComponentField,
    ComponentKind,
    folders_of_components,
    modules_of_the_working_folder,
    origin_of,
)
from synthgen.config.faults import first_fault


class Shape(Section):
    """The base of a made-up kind."""

    name: str
    size: int = 1


class Circle(Shape):
    """A built-in one."""

    name: Literal["circle"]


KIND = ComponentKind("shape", "name", "test.shapes", f"{__name__}:Shape",
                     {"circle": f"{__name__}:Circle"})  # fmt: skip


class Drawing(Section):
    """What holds one."""

    shape: Annotated[Shape, ComponentField(KIND)] = Field(description="The shape.")


SQUARE = """
from {home} import Shape


class Square(Shape):
    '''From elsewhere.'''

    side: float = 2.0


class Other:
    '''No section.'''
"""


@pytest.fixture(autouse=True)
def _this_module(monkeypatch):
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a package of somebody's, which is not on the import path."""
    name = f"somebody_{os.urandom(4).hex()}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / name / "shapes.py").write_text(SQUARE.format(home=__name__))
    (tmp_path / name / "broken.py").write_text("1 / 0\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    return name


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A distribution with an entry point."""
    name = f"made_up_{os.urandom(4).hex()}"
    (tmp_path / f"{name}.py").write_text(SQUARE.format(home=__name__))
    about = tmp_path / f"{name}-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\nLicense: MIT\n"
    )
    (about / "top_level.txt").write_text(name)
    (about / "RECORD").write_text(f"{name}.py,,\n")
    (about / "entry_points.txt").write_text(f"[test.shapes]\nsquare = {name}:Square\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return name


def _refused(shape):
    data = {"shape": shape}
    with pytest.raises(ValidationError) as caught:
        Drawing.model_validate(data, strict=True)
    return first_fault(caught.value, data).sentence


def test_a_built_in_name_is_the_section_that_it_names():
    found = Drawing.model_validate({"shape": {"name": "circle", "size": 3}})
    assert found.shape == Circle(name="circle", size=3)
    assert found.model_dump() == {"shape": {"name": "circle", "size": 3}}
    assert Drawing.model_validate({"shape": found.shape}).shape is found.shape
    assert origin_of(type(found.shape)) is not None  # this module is no part of ours


def test_sections_of_ours_come_from_nowhere_else():
    assert origin_of(Section) is None


def test_an_installed_name_is_found_by_its_entry_point(installed):
    found = Drawing.model_validate({"shape": {"name": "square", "side": 1.5}})
    assert found.model_dump() == {"shape": {"name": "square", "size": 1, "side": 1.5}}
    origin = origin_of(type(found.shape))
    assert (origin.name, origin.version, origin.licence) == (installed, "1.2", "MIT")
    assert KIND.names() == ["circle", "square"]
    assert _refused({"name": "sqare"}) == (
        "shape.name is 'sqare'; did you mean 'square'? It must be 'circle', installed: 'square', "
        "or package.module:Class"
    )


def test_a_dotted_path_is_found_in_the_working_folder_only_where_a_user_runs_it(folder):
    shape = {"name": f"{folder}.shapes:Square"}
    assert _refused(shape) == (
        f"shape.name is '{folder}.shapes:Square', but the module {folder}.shapes cannot be "
        f"imported (ModuleNotFoundError: No module named '{folder}'); install it or put its folder "
        "on PYTHONPATH"
    )
    before = set(folders_of_components())
    with modules_of_the_working_folder():
        found = Drawing.model_validate({"shape": shape})
    assert found.shape.side == 2.0
    assert sys.path[-1] == os.getcwd()
    assert set(folders_of_components()) - before == {os.getcwd()}
    origin = origin_of(type(found.shape))
    assert origin.name == folder
    assert re.fullmatch("sha256:[0-9a-f]{64}", origin.version)
    Path(folder, "net.py").write_text("weights = 3\n")
    assert origin_of(type(found.shape)).version != origin.version


def test_what_is_no_component_is_told(folder):
    sys.path.append(os.getcwd())
    assert _refused({"name": "cube"}) == (
        "shape.name is 'cube'; it must be 'circle', or package.module:Class"
    )
    assert _refused({"name": "cirle"}) == (
        "shape.name is 'cirle'; did you mean 'circle'? It must be 'circle', or package.module:Class"
    )
    assert _refused({"name": f"{folder}.shapes:Cube"}) == (
        f"shape.name is '{folder}.shapes:Cube', but the module {folder}.shapes has no Cube"
    )
    assert _refused({"name": f"{folder}.shapes:Other"}) == (
        f"shape.name is '{folder}.shapes:Other', which is no section of a shape: it must be a "
        f"subclass of {__name__}.Shape"
    )
    assert _refused({"name": f"{folder}.broken:X"}) == (
        f"shape.name is '{folder}.broken:X', but the module {folder}.broken cannot be imported "
        "(ZeroDivisionError: division by zero)"
    )
    assert _refused({}) == "key shape.name is missing"
    assert _refused({"name": 3}) == "shape.name is 3; it must be text"
    assert _refused(3) == "shape is 3; it must be a mapping"
    assert _refused({"name": "circle", "size": "x"}) == (
        "shape.size is 'x'; it must be a whole number"
    )
    assert _refused({"name": "circle", "sze": 1}) == "unknown key shape.sze"


def test_the_json_schema_holds_every_name():
    schema = Drawing.model_json_schema()
    *named, path = schema["properties"]["shape"]["oneOf"]
    assert [one["title"] for one in named] == ["Circle"]
    assert (path["title"], path["required"]) == ("Another shape", ["name"])


def test_the_json_schema_holds_what_is_installed_and_can_be_imported(installed, tmp_path):
    entries = next(tmp_path.glob("*.dist-info")) / "entry_points.txt"
    entries.write_text(f"{entries.read_text()}gone = no_such_module_at_all:Gone\n")
    schema = Drawing.model_json_schema()
    named = [one["title"] for one in schema["properties"]["shape"]["oneOf"]]
    assert named == ["Circle", "Square", "Another shape"]


def test_what_lacks_its_making_is_told(folder):
    sys.path.append(os.getcwd())
    Path(folder, "shapes2.py").write_text(
        f"from abc import abstractmethod\nfrom {__name__} import Shape\n\n\n"
        "class Bare(Shape):\n    @abstractmethod\n    def build(self): ...\n"
    )
    assert _refused({"name": f"{folder}.shapes2:Bare"}) == (
        f"shape.name is '{folder}.shapes2:Bare', which has no build: a section of a shape must "
        "define it"
    )
