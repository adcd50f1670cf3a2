"""The revision of the sources, for records of how data and weights came to be."""

import subprocess
from pathlib import Path

REVISION_FILE = "revision.txt"
"""File beside this module in code that was packed for a job: the revision that it came from."""


def git_revision() -> str | None:
    """Return the revision of the checkout that this code, or what it was packed from, is of."""
    packed = Path(__file__).with_name(REVISION_FILE)
    if packed.is_file():
        return packed.read_text() or None
    # Installed below somebody else's checkout, this file is there but not tracked.
    tracked = _git("ls-files", "--error-unmatch", Path(__file__).name)
    return _git("rev-parse", "HEAD") if tracked else None


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
