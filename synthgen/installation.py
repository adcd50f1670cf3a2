"""The four packages of this installation, wherever the import path would find their names.

`samplers`, `pipelines` and `cluster` are plain names: a folder of the user's may hold its own.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

PACKAGES = ("synthgen", "samplers", "pipelines", "cluster")

ROOT = Path(__file__).parents[1]
"""Folder that holds the packages: of installed ones, or a checkout."""


def install_command(extra: str) -> str:
    """Return the command that installs an optional part.

    The distribution `synthgen-faces` is in no registry, and the registry's `synthgen` is another's.
    """
    return f"pip install '.[{extra}]' in a checkout of synthgen"


class _OwnPackages:
    """Finder that looks for our packages in our installation, and for nothing else."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a package of ours; None for every other module."""
        return PathFinder.find_spec(name, [str(ROOT)]) if name in PACKAGES else None


def prefer_own_packages() -> None:
    """Let our names mean our packages in this process, whatever stands before them on the path.

    For processes that are ours alone: the command line's and the workers'. In a user's program a
    name belongs to whoever it finds; see `check_own_packages`.
    """
    if _OwnPackages not in sys.meta_path:
        sys.meta_path.insert(0, _OwnPackages)


def check_own_packages() -> None:
    """Refuse a process in which a name of ours means somebody else's module.

    Raises:
        ImportError: with one sentence on what stands in the way of what.
    """
    for name in PACKAGES[1:]:
        found = _location(name)
        if found is not None and found.resolve() != (ROOT / name).resolve():
            raise ImportError(
                f"{found} stands in the way of synthgen's own package {name} ({ROOT / name}): "
                "rename it, or move your program to another folder",
                name=name,
            )


def leave_working_folder_out() -> None:
    """Take the working folder, which `python -m` puts first, off the import path.

    It stays if it holds our packages, as a checkout does.
    """
    here = Path.cwd()
    if not sys.flags.safe_path and sys.path[:1] == [str(here)] and here != ROOT:
        del sys.path[0]


def _location(name: str) -> Path | None:
    """Return the folder of the package, or the file of the module, that a name means here."""
    spec = getattr(sys.modules.get(name), "__spec__", None) or find_spec(name)
    if spec is None or spec.origin is None:
        return None
    origin = Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else origin
