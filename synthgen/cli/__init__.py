"""The command line; each of its commands imports what it needs inside it."""

from synthgen.cli.commands import app, main

__all__ = ["app", "main"]
