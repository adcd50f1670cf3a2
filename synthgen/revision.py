"""The revision of the sources, for records of how data and weights came to be."""

import subprocess
from pathlib import Path


def git_revision() -> str | None:
    """Return the revision of the checkout that this code runs from; None outside of one."""
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
