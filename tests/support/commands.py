"""Commands as a user gives them, run in this process: a new one takes seconds to import torch."""

import contextlib
import io
import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from synthgen.cli.commands import main

_PACKAGES = ("cluster", "pipelines", "samplers", "synthgen")


def run(*arguments: object, cwd: Path | None = None) -> tuple[int, str, str]:
    """Run a command; return its exit code, standard output and standard error."""
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    errors = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with _process_as_before(), contextlib.chdir(cwd or Path.cwd()):
        sys.argv, sys.stdout, sys.stderr = ["synthgen", *map(str, arguments)], output, errors
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    said, complaints = (stream.buffer.getvalue().decode() for stream in (output, errors))
    return code, said, complaints


@contextlib.contextmanager
def _process_as_before() -> Iterator[None]:
    """Undo in the end what a command changes in its process."""
    streams, arguments, environment = (sys.stdout, sys.stderr), sys.argv, dict(os.environ)
    on_terminate = signal.getsignal(signal.SIGTERM)
    loggers = [logging.getLogger(name) for name in _PACKAGES]
    logs = [(logger.handlers, logger.level) for logger in loggers]
    try:
        yield
    finally:
        (sys.stdout, sys.stderr), sys.argv = streams, arguments
        os.environ.clear()
        os.environ.update(environment)
        signal.signal(signal.SIGTERM, on_terminate)
        for logger, (handlers, level) in zip(loggers, logs, strict=True):
            logger.handlers = handlers
            logger.setLevel(level)
