"""Ray tasks and actors that import our packages, whatever lies in the driver's folder.

Ray puts the driver's working folder and the folder of its script first on the import path of every
worker, so that a `cluster.py` there would take the place of our package. What starts in a worker is
therefore pickled by value and needs nothing of ours; it takes those folders off the path, binds the
names of our packages, and only then unpickles what it is to run.
"""

# pyright: reportPrivateImportUsage=false
# cloudpickle does not list its names, so that the type checker takes them for private.

import inspect
import os
import socket
import sys
from collections.abc import Callable
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import Any

import ray
from ray import cloudpickle

from synthgen.config.components import folders_of_components
from synthgen.installation import ROOT

cloudpickle.register_pickle_by_value(sys.modules[__name__])

ImportPath = tuple[str, list[str], list[str]]
"""Folder of our packages, folders that Ray puts first and that do not belong there, and folders of
third parties' components, which come last."""


def call_remotely(function: Callable[..., Any], *arguments: object, **options: Any) -> Any:
    """Call a function in a worker's process.

    Args:
        function: the function.
        arguments: its arguments.
        options: of the task, as `RemoteFunction.options` takes them.

    Returns:
        The reference of its result.
    """
    task: Any = ray.remote(_call)
    named = {"name": function.__name__, **options}
    return task.options(**named).remote(_import_path(), cloudpickle.dumps((function, arguments)))


def actor_class(held: type) -> Any:
    """Return the class of actors that hold an object, with its public methods and `where`.

    Args:
        held: class of the object; `arguments_of` packs the arguments that it is made from.
    """
    methods = {
        name: _passing_on(name)
        for name, _ in inspect.getmembers(held, inspect.isfunction)
        if not name.startswith("_")
    }
    return ray.remote(type(held.__name__, (_Holder,), {**methods, "__module__": __name__}))


def arguments_of(held: type, *arguments: object) -> tuple[ImportPath, bytes]:
    """Return what an actor of `actor_class(held)` is made from."""
    return _import_path(), cloudpickle.dumps((held, arguments))


class _Holder:
    """An actor; an error while it makes what it holds is kept for the first method."""

    def __init__(self, path: ImportPath, packed: bytes) -> None:
        self._held, self._error = None, None
        try:
            held, arguments = _unpack(path, packed)
            self._held = held(*arguments)
        except Exception as error:
            self._error = error

    def where(self) -> str:
        """Return the id of the node; it answers as soon as the actor has a place."""
        return ray.get_runtime_context().get_node_id()


def _passing_on(name: str) -> Callable[..., Any]:
    def method(self: Any, *arguments: object) -> Any:
        if self._error is not None:
            raise self._error
        return getattr(self._held, name)(*arguments)

    method.__name__ = method.__qualname__ = name
    return method


def _call(path: ImportPath, packed: bytes) -> Any:
    function, arguments = _unpack(path, packed)
    return function(*arguments)


def _unpack(path: ImportPath, packed: bytes) -> Any:
    """Unpickle what a worker is to run, once its import path is right."""
    _set_import_path(*path)
    try:
        return cloudpickle.loads(packed)
    except ImportError as error:
        from synthgen.errors import ConfigError
        from synthgen.foreign import first_line

        raise ConfigError(
            f"a worker on {socket.gethostname()} cannot import what the run needs "
            f"({type(error).__name__}: {first_line(error)}); install it on every node"
        ) from error


def _set_import_path(root: str, driver: list[str], components: list[str]) -> None:
    while sys.path and sys.path[0] in driver:
        del sys.path[0]
    spec = None if "synthgen" in sys.modules else PathFinder.find_spec("synthgen", [root])
    # On another node the driver's folder need not be there: then it has an installation of its own.
    if spec is not None and spec.loader is not None:
        sys.modules["synthgen"] = package = module_from_spec(spec)
        spec.loader.exec_module(package)
    from synthgen.installation import prefer_own_packages

    prefer_own_packages()
    sys.path += [folder for folder in components if folder not in sys.path]


def _import_path() -> ImportPath:
    here, script = os.path.abspath(os.curdir), os.path.dirname(os.path.realpath(sys.argv[0]))
    driver = [folder for folder in (here, script) if folder != str(ROOT)]
    return str(ROOT), driver, folders_of_components()
