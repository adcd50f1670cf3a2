"""Names of components → their sections: built in, installed, or by dotted path.

A *component* is a pipeline, a check, a prior or an identity source. Its section of the
configuration is a pydantic class that knows everything about it and makes it; which class, the
section's own name says. There is nothing to register: a name is one of a table, an entry point of
an installed distribution, or `package.module:Class`.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from importlib.metadata import EntryPoint, distribution, entry_points, packages_distributions
from inspect import isabstract
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, cast

from pydantic import ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from synthgen.config.base import Component, Section
from synthgen.errors import ConfigError
from synthgen.foreign import did_you_mean, excerpt, first_line, shown

UNKNOWN_NAME = "component_name"
"""Type of the error that names no component; its context says so in words."""

_OURS = frozenset({"synthgen", "samplers", "pipelines", "cluster"})

_search_here: ContextVar[bool] = ContextVar("_search_here", default=False)

_absent_too: ContextVar[bool] = ContextVar("_absent_too", default=False)


@dataclass(frozen=True, slots=True)
class ComponentKind:
    """A kind of component: what a name may stand for.

    Attributes:
        what: the kind in words, such as `pipeline`.
        key: key of a section that holds the name, such as `name`.
        group: group of entry points.
        base: abstract section that all of them subclass, as `module:Class`.
        built_in: name → section, as `module:Class`.
    """

    what: str
    key: str
    group: str
    base: str
    built_in: Mapping[str, str]

    def names(self) -> list[str]:
        """Return the names that exist, the built-in ones first."""
        return [*self.built_in, *sorted(_installed(self.group).keys() - self.built_in.keys())]

    def sections(self) -> dict[str, type[Component]]:
        """Return the sections of all names; of what is installed, those that can be imported."""
        found: dict[str, type[Component]] = {}
        for name in self.names():
            with suppress(ValueError):
                found[name] = self.section(name)
        return found

    def section(self, name: str) -> type[Component]:
        """Return the section that a name stands for.

        Raises:
            ValueError: if there is none, or what is there is no section of this kind, in words
                that follow the key.
        """
        if name in self.built_in:
            found: object = _attribute(self.built_in[name])
        elif name in (installed := _installed(self.group)):
            found = _loaded(name, installed[name].value)
        elif ":" in name:
            found = _loaded(name, name)
        else:
            raise ValueError(self._unknown(name))
        base = cast(type[Component], _attribute(self.base))
        if not (isinstance(found, type) and issubclass(found, base)):
            raise ValueError(
                f"is {shown(name)}, which is no section of a {self.what}: it must be a subclass of "
                f"{self.base.replace(':', '.')}"
            )
        if isabstract(found):
            raise ValueError(
                f"is {shown(name)}, which has no {', '.join(sorted(found.__abstractmethods__))}: a "
                f"section of a {self.what} must define it"
            )
        return found

    def section_in(self, data: object) -> type[Component] | None:
        """Return the section that data names by the key of its kind; None where it names none."""
        name = data.get(self.key) if isinstance(data, Mapping) else None
        try:
            return self.section(name) if isinstance(name, str) else None
        except ValueError:
            return None

    def _unknown(self, name: str) -> str:
        installed = [known for known in self.names() if known not in self.built_in]
        others = f", installed: {', '.join(map(repr, installed))}" if installed else ""
        built_in = either([repr(name) for name in self.built_in])
        must = f"it must be {built_in}{others}, or package.module:Class"
        return f"is {shown(name)}; {did_you_mean(name, self.names(), must)}"


class ComponentField:
    """Annotation of a key that holds the section of any component of a kind.

    A mapping is read as the section that its own name stands for; a section stays as it is. The
    path of a file that holds it may stand in a configuration file where `file` describes one.
    """

    def __init__(self, kind: ComponentKind, file: str = "") -> None:
        self.kind = kind
        self.file = file

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda section, info: section.model_dump(mode=info.mode), info_arg=True
            ),
        )

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        sections = self.kind.sections().values()
        schemas = [handler(section.__pydantic_core_schema__) for section in sections]
        path = {
            "title": f"Another {self.kind.what}",
            "description": "Named by the class of its section; further keys are that section's.",
            "type": "object",
            "properties": {
                self.kind.key: {
                    "type": "string",
                    "pattern": r"^[\w.]+:\w+$",
                    "description": "package.module:Class",
                }
            },
            "required": [self.kind.key],
        }
        file = {"type": "string", "description": self.file}
        return {"oneOf": [*schemas, path, *([file] if self.file else [])]}

    def _validate(self, value: object) -> Section:
        kind = self.kind
        if isinstance(value, cast(type, _attribute(kind.base))):
            return cast(Section, value)
        if not isinstance(value, Mapping):
            raise _invalid(kind, "dict_type", (), value)
        if kind.key not in value:
            raise _invalid(kind, "missing", (kind.key,), value)
        name = value[kind.key]
        if not isinstance(name, str):
            raise _invalid(kind, "string_type", (kind.key,), name)
        try:
            section = kind.section(name)
        except ValueError as error:
            if _absent_too.get():
                return _absent(kind, str(error)).model_validate(dict(value), strict=True)
            unknown = PydanticCustomError(UNKNOWN_NAME, "{said}", {"said": str(error)})
            raise _invalid(kind, unknown, (kind.key,), name) from error
        return section.model_validate(dict(value), strict=True)


@dataclass(frozen=True, slots=True)
class Origin:
    """The distribution that a component comes from.

    Attributes:
        name: name of the distribution, or of the package where there is none.
        version: its version; without a distribution `sha256:` and the digest of the package's
            source files.
        licence: what its metadata says; empty where it says nothing.
    """

    name: str
    version: str
    licence: str


def origin_of(section: type[Section]) -> Origin | None:
    """Return where a component comes from; None where it is one of ours."""
    module = section.__module__
    top = module.partition(".")[0]
    if top in _OURS:
        return None
    if found := packages_distributions().get(top):
        about = distribution(found[0]).metadata.json
        licence = str(about.get("license_expression") or about.get("license") or "")
        return Origin(str(about["name"]), str(about["version"]), licence.partition("\n")[0])
    return Origin(top, f"sha256:{_digest_of(sys.modules[top])}", "")


@contextmanager
def absent_components() -> Iterator[None]:
    """Read sections of components that this machine lacks, too.

    For configurations that come with a dataset: how far a run is can be told without its pipeline.
    Such a section has the keys that stand there, and refuses to be made.
    """
    token = _absent_too.set(True)
    try:
        yield
    finally:
        _absent_too.reset(token)


def source_of(section: type[Section]) -> Path | None:
    """Return the file, or the folder of the package, that a component's class stands in.

    None for what is ours or comes from a distribution: that is installed, not carried.
    """
    top = section.__module__.partition(".")[0]
    if top in _OURS or packages_distributions().get(top):
        return None
    package = sys.modules[top]
    found = next(iter(getattr(package, "__path__", ())), getattr(package, "__file__", None))
    return None if found is None else Path(found)


@contextmanager
def modules_of_the_working_folder() -> Iterator[None]:
    """Find modules of dotted paths in the working folder too, behind everything installed.

    For what the user runs; configurations that come with a dataset are read without it.
    """
    token = _search_here.set(True)
    try:
        yield
    finally:
        _search_here.reset(token)


def folders_of_components() -> list[str]:
    """Return the folders that hold the modules of dotted paths, for other processes."""
    return list(_holding)


_holding: dict[str, None] = {}


def _installed(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}


def _absent(kind: ComponentKind, said: str) -> type[Component]:
    """Return a section for a component that is not here.

    Args:
        kind: its kind.
        said: why it is not, in words that follow its name key.
    """
    base = cast(type[Component], _attribute(kind.base))

    def refuse(*_: object, **__: object) -> NoReturn:
        raise ConfigError(f"the {kind.what} {said}")

    methods = dict.fromkeys(base.__abstractmethods__, refuse)
    config = ConfigDict(extra="allow")
    return type(f"Absent{base.__name__}", (base,), {
        "__module__": __name__, "__doc__": "Keys of a component that is not here.",
        "model_config": config, **methods,
    })  # fmt: skip


def _digest_of(package: ModuleType) -> str:
    """Hash the source files of a package, or of a module that is a file; `unknown` without any."""
    if folders := [Path(folder) for folder in getattr(package, "__path__", ())]:
        files = {file.relative_to(top): file for top in folders for file in top.rglob("*.py")}
    elif source := getattr(package, "__file__", None):
        files = {Path(package.__name__): Path(source)}
    else:
        return "unknown"
    digest = sha256()
    for name, file in sorted(files.items()):
        digest.update(f"{name}\0{sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _attribute(path: str) -> object:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def _loaded(name: str, path: str) -> object:
    """Load what others wrote."""
    module, _, attribute = path.partition(":")
    _reach(module.partition(".")[0])
    try:
        found = import_module(module)
    except Exception as error:
        why = excerpt(f"{type(error).__name__}: {first_line(error)}", 300)
        raise ValueError(
            f"is {shown(name)}, but the module {excerpt(module)} cannot be imported ({why})"
            f"{_way_to(module, error)}"
        ) from error
    if not hasattr(found, attribute):
        raise ValueError(
            f"is {shown(name)}, but the module {excerpt(module)} has no {excerpt(attribute)}"
        )
    if name == path:
        _holding[_folder_of(found)] = None
    return getattr(found, attribute)


def _folder_of(module: ModuleType) -> str:
    """Return the folder that has to be on the import path for a module."""
    depth = module.__name__.count(".") + hasattr(module, "__path__")
    return str(Path(str(module.__file__)).parents[depth])


def _way_to(module: str, error: Exception) -> str:
    """Say what helps where a module is looked for among what is installed alone."""
    absent = isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]
    if not absent or _search_here.get():
        return ""
    return "; install it or put its folder on PYTHONPATH"


def _reach(top: str) -> None:
    """Put the working folder at the end of the import path where only it has the module."""
    folder = Path.cwd()
    here = (folder / f"{top}.py").is_file() or (folder / top).is_dir()
    if _search_here.get() and here and str(folder) not in sys.path:
        sys.path.append(str(folder))


def _invalid(
    kind: ComponentKind, error: str | PydanticCustomError, place: tuple[str, ...], value: object
) -> ValidationError:
    details = InitErrorDetails(type=error, loc=place, input=value)
    return ValidationError.from_exception_data(kind.what, [details])


def either(names: Sequence[str]) -> str:
    """Write names as `a, b or c`."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
