"""Files of a training: whole or as they were before, also on a full disk."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from synthgen.dataset.whole_files import replacing
from synthgen.errors import OutputError


@contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Give a temporary file to write, which becomes `path` when the block ends.

    If the block raises, the temporary file is deleted and `path` stays as it was.

    Raises:
        OutputError: if the file cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with replacing(path, partial):
            yield partial
    except OSError as error:
        raise unwritable(path, error) from error
    except RuntimeError as error:  # torch.save's, when a write has failed below it
        if isinstance(error.__context__, OSError):
            raise unwritable(path, error.__context__) from error
        raise


def write_text_whole(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        OutputError: if it cannot be written.
    """
    with write_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failure to write `path` into one sentence.

    Raises:
        OutputError: if the block raises an OSError.
    """
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> OutputError:
    """Return the error of a file that cannot be written."""
    return OutputError(
        f"cannot write {path}: {error.strerror or error}; the last checkpoint stays, and the same "
        "command continues from it"
    )


def read_made_of(path: Path, made_of: dict[str, Any]) -> dict[str, Any] | None:
    """Read the note of what files were made of; None where there is none yet.

    Args:
        path: the note; JSON, with the key `made_of` or nothing beside it.
        made_of: what the files must be made of.

    Raises:
        OutputError: if they were made of something else.
    """
    if not path.exists():
        return None
    note = json.loads(path.read_text(encoding="utf-8"))
    if (found := note.get("made_of", note)) != made_of:
        raise OutputError(
            f"{path} was made of {found}, now it is {made_of}; train into another folder"
        )
    return note
