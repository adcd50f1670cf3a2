"""What documents of evaluations have in common: how they are written, and what made them."""

from collections.abc import Mapping
from pathlib import Path

from synthgen.dataset.markdown import table
from synthgen.errors import OutputError


def write_document(path: Path, text: str) -> None:
    """Write a Markdown file; its folder is made if missing.

    Raises:
        OutputError: if it cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def files_section(files: Mapping[str, str]) -> str:
    """Write the section that tells the checksums of all files in use, by name → sha256."""
    rows = [[name, f"`{sha256}`"] for name, sha256 in files.items()]
    return f"## Weights\n\n{table(['file', 'sha256'], rows)}"
