"""The AUs that a section is read for: those of the prior that it stands in.

`action_units` stands once, at the top of a prior; what is nested in it (rules, quotas,
combinations, the parts of a mixture) is checked against it while the whole is read.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator

from synthgen.action_units import (
    DEFAULT_AUS,
    ActionUnitSet,
    canonical,
    check_facs,
    refuse_repeated,
)

_Value = TypeVar("_Value")


def _keys_differ(value: object) -> object:
    if isinstance(value, Mapping):
        refuse_repeated(key for key in value if isinstance(key, str))
    return value


AuName = Annotated[str, AfterValidator(canonical)]
"""An AU in a configuration, which keeps its name as FACS has it: `au12` is AU12."""

AuMapping = Annotated[dict[AuName, _Value], BeforeValidator(_keys_differ)]
"""A mapping with an AU as each key."""

_IN_USE: ContextVar[ActionUnitSet | None] = ContextVar("the AUs in use", default=None)


def aus_in_use() -> ActionUnitSet | None:
    """Return the AUs of the prior that is being read; None outside of one."""
    return _IN_USE.get()


def default_names() -> list[str]:
    """Return the AUs of the prior that is being read, or the 12."""
    return list((_IN_USE.get() or DEFAULT_AUS).names)


@contextmanager
def using(aus: ActionUnitSet) -> Iterator[None]:
    """Read what is inside for these AUs."""
    token = _IN_USE.set(aus)
    try:
        yield
    finally:
        _IN_USE.reset(token)


def check_au(name: str) -> None:
    """Refuse an AU that the prior which is being read has not; outside of one, that FACS has not.

    Raises:
        ActionUnitError: with the AUs that there are.
    """
    aus = _IN_USE.get()
    if aus is None:
        check_facs(name)
    else:
        aus.index(name)
