"""Keep the progress bars of the libraries that load weights out of a program's own output."""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

import contextlib
from collections.abc import Iterator
from types import ModuleType

from diffusers.utils import logging as diffusers_log
from transformers.utils import logging as transformers_log


@contextlib.contextmanager
def no_progress_bars() -> Iterator[None]:
    """Show no progress bars of diffusers and transformers, as long as it is entered."""
    shown = [library for library in (diffusers_log, transformers_log) if _shows_bars(library)]
    for library in shown:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bar()


def _shows_bars(library: ModuleType) -> bool:
    return library.is_progress_bar_enabled()
