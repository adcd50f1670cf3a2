"""Types and shapes checked at each call, at a tenth of what jaxtyping's own hook takes.

`--jaxtyping-packages` decorates every function with `jaxtyping.jaxtyped`, which binds and checks
the arguments twice a call. `use_light_checks` makes it hand a function to beartype alone where no
annotation tells a shape, and check the arguments once where one does. A function within another,
which Python makes anew each time, gets the check that was made for the first. What is checked is
the same.
"""

import functools
import inspect
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any, get_args

import jaxtyping
from jaxtyping import AbstractArray

_jaxtyped = jaxtyping.jaxtyped
_CHECKED = "__beartype_func"
"""Default of a check that beartype makes: what is called once the arguments are as told."""

_made: dict[CodeType, tuple[dict[str, Any], FunctionType]] = {}
"""Code of a function within another → its annotations and the check of it, of no function yet."""


def use_light_checks() -> None:
    """Let the import hook of jaxtyping decorate functions and dataclasses with `checked`."""
    jaxtyping.jaxtyped = checked


def checked(function: Any = None, *, typechecker: Callable[[Any], Any]) -> Any:
    """Decorate a function, or a dataclass's making, as `jaxtyping.jaxtyped` does."""
    if function is None:
        return functools.partial(checked, typechecker=typechecker)
    if inspect.isclass(function):
        if "__dataclass_fields__" in vars(function):
            function.__init__ = checked(function.__init__, typechecker=typechecker)
        return function
    hints = function.__annotations__.values()
    if any(isinstance(part, str) for hint in hints for part in _parts(hint)):
        return _jaxtyped(function, typechecker=typechecker)
    found = _with_check(function, typechecker) if hints else function
    shapes = any(_is_shape(part) for hint in hints for part in _parts(hint))
    return _jaxtyped(found, typechecker=None) if shapes else found


def _with_check(function: FunctionType, typechecker: Callable[[Any], Any]) -> Any:
    """Return the function with a check of its types, a copy of an earlier one where it can be."""
    if "<locals>" not in function.__qualname__:
        return typechecker(function)
    hints, made = _made.get(function.__code__, (None, None))
    if made is None or hints != function.__annotations__:
        checked_one = typechecker(function)
        if (checked_one.__kwdefaults__ or {}).get(_CHECKED) is function:
            _made[function.__code__] = function.__annotations__, _copy(checked_one, None)
        return checked_one
    return functools.update_wrapper(_copy(made, function), function)


def _copy(made: FunctionType, function: FunctionType | None) -> FunctionType:
    """Return the same check of another function."""
    copy = FunctionType(made.__code__, made.__globals__, made.__name__, made.__defaults__)
    copy.__kwdefaults__ = {**(made.__kwdefaults__ or {}), _CHECKED: function}
    return copy


def _parts(hint: Any) -> list[Any]:
    """Return an annotation and those within it."""
    inner = hint if isinstance(hint, list) else get_args(hint)
    return [hint, *(part for each in inner for part in _parts(each))]


def _is_shape(hint: Any) -> bool:
    return inspect.isclass(hint) and issubclass(hint, AbstractArray)
