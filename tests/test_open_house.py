"""No module outside a component's room asks which component it is: the section is asked instead.

A new component of any kind must therefore touch no module of ours. What is read is the source: each
`isinstance` with a concrete section, each comparison of a name with a built-in one, and each import
of a concrete section or of what it makes.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from synthgen.config.components import ComponentKind
from synthgen.config.identities import IDENTITIES
from synthgen.config.pipeline import PIPELINES
from synthgen.config.priors import PRIORS
from synthgen.config.verify import CHECKS

ROOT = Path(__file__).parents[1]
PACKAGES = ("synthgen", "samplers", "pipelines", "cluster")


@dataclass(frozen=True)
class House:
    """The rooms of a kind of components.

    Attributes:
        kind: the kind.
        rooms: folders and modules that are about certain components of the kind.
        makes: modules of what the sections make, which the rooms alone import.
    """

    kind: ComponentKind
    rooms: tuple[str, ...]
    makes: tuple[str, ...] = ()

    @property
    def sections(self) -> set[str]:
        """Names of the concrete sections."""
        return {path.partition(":")[2] for path in self.kind.built_in.values()}

    @property
    def modules(self) -> set[str]:
        """Modules of the concrete sections and of what they make."""
        return {path.partition(":")[0] for path in self.kind.built_in.values()} | set(self.makes)


HOUSES = [
    House(
        PIPELINES,
        # Trainings and evaluations are those of these very pipelines.
        ("pipelines/procedural/", "pipelines/fineface/", "pipelines/baselines/",
         "pipelines/arc2face/", "pipelines/training/", "pipelines/evaluation/"),
        ("pipelines.procedural.source", "pipelines.fineface.source", "pipelines.baselines.source",
         "pipelines.arc2face.source"),
    ),
    # Trainings and the bank of drawn faces draw emotions, evaluations a grid and prompts: these.
    House(
        PRIORS,
        ("samplers/priors/", "samplers/flame/drawn_bank.py", "pipelines/training/data/",
         "pipelines/evaluation/"),
    ),
    House(IDENTITIES, ("samplers/identities/", "pipelines/evaluation/")),
    House(
        CHECKS,
        # The section `verify` holds the older keys, which mean these very checks.
        ("pipelines/libreface/", "pipelines/blendshapes/", "pipelines/faceid/", "pipelines/slots/",
         "pipelines/training/",
         "pipelines/evaluation/", "synthgen/config/verify.py"),
        ("pipelines.libreface.check",),
    ),
]  # fmt: skip


def questions(tree: ast.AST, house: House) -> Iterator[tuple[int, str]]:
    """Yield the line and the kind of each question after a concrete component."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="isinstance" | "issubclass"), args=[_, asked]):
                for name in sorted(house.sections & set(_names(asked))):
                    yield node.lineno, f"isinstance of {name}"
            case ast.MatchClass(cls=cls):
                for name in sorted(house.sections & set(_names(cls))):
                    yield node.lineno, f"case {name}"
            case ast.Compare(left=left, comparators=others):
                sides = [left, *others]
                texts = {text for side in sides for text in _texts(side)} & set(house.kind.built_in)
                if texts and any(_asks_key(side, house.kind.key) for side in sides):
                    yield node.lineno, f"{house.kind.key} compared with {', '.join(sorted(texts))}"
            case ast.ImportFrom(module=module) if module in house.modules:
                yield node.lineno, f"import of {module}"
            case ast.Import(names=names):
                for module in sorted({name.name for name in names} & house.modules):
                    yield node.lineno, f"import of {module}"


def _names(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            yield part.id
        elif isinstance(part, ast.Attribute):
            yield part.attr


def _texts(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def _asks_key(node: ast.AST, key: str) -> bool:
    """Return whether it is `x.key`, `x["key"]` or `x.get("key")`."""
    match node:
        case ast.Attribute(attr=attr):
            return attr == key
        case ast.Subscript(slice=ast.Constant(value=value)):
            return value == key
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=value), *_]):
            return value == key
    return False


def _outside(house: House) -> Iterator[Path]:
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            if not str(file.relative_to(ROOT)).startswith(house.rooms):
                yield file


@pytest.mark.parametrize("house", HOUSES, ids=lambda house: house.kind.what)
def test_nobody_outside_asks_which_one_it_is(house):
    found = [
        f"{file.relative_to(ROOT)}:{line}: {what}"
        for file in _outside(house)
        for line, what in questions(ast.parse(file.read_text(encoding="utf-8")), house)
    ]
    assert found == []


@pytest.mark.parametrize("house", HOUSES, ids=lambda house: house.kind.what)
def test_its_rooms_exist(house):
    assert [room for room in house.rooms if not (ROOT / room).exists()] == []
    files = {module: ROOT / f"{module.replace('.', '/')}.py" for module in house.modules}
    assert [module for module, file in files.items() if not file.is_file()] == []


def test_each_question_is_found():
    house = HOUSES[0]
    asked = [
        "isinstance(x, FineFaceConfig | FaceIdConfig)",
        "x.pipeline.name == 'procedural'",
        "'fineface' != x['name']",
        "x.get('name') in ('fineface', 'other')",
        "from pipelines.fineface.section import FineFaceConfig",
        "import pipelines.procedural.source",
        "match x:\n    case ProceduralConfig(): ...",
    ]
    assert [[what for _, what in questions(ast.parse(code), house)] for code in asked] == [
        ["isinstance of FaceIdConfig", "isinstance of FineFaceConfig"],
        ["name compared with procedural"],
        ["name compared with fineface"],
        ["name compared with fineface"],
        ["import of pipelines.fineface.section"],
        ["import of pipelines.procedural.source"],
        ["case ProceduralConfig"],
    ]
    for code in ["x.name == 'other'", "isinstance(x, PipelineSection)", "x.kind == 'fineface'"]:
        assert list(questions(ast.parse(code), house)) == []
