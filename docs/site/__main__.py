"""Build the site of the documentation: python -m docs.site [folder]."""

import shutil
import subprocess
import sys
from pathlib import Path

from docs.site import reference

ROOT = Path(__file__).parents[2]
SHOWN = (
    ".md",
    ".png",
    ".yaml",
    ".yml",
    ".py",
    ".sh",
    ".sbatch",
    ".toml",
    ".txt",
    ".cff",
    "LICENSE",
)


def stage(to: Path) -> None:
    """Copy every page, and whatever pages link to, as they lie in the repository.

    The reference pages are made from the code. Links between pages are relative, so that the same
    text can be read in the repository and on the site.
    """
    for folder in ("docs", "examples", "benchmarks"):
        shutil.copytree(ROOT / folder, to / folder, ignore=_others)
    for page in [*ROOT.glob("*.md"), *ROOT.glob("*.cff"), *ROOT.glob("*.txt"), ROOT / "LICENSE"]:
        shutil.copy(page, to / page.name)
    made = to / "docs" / "reference"
    made.mkdir()
    (made / "commands.md").write_text(reference.commands(), encoding="utf-8")
    (made / "configuration.md").write_text(reference.configuration(), encoding="utf-8")
    (made / "columns.md").write_text(reference.columns(ROOT / "examples"), encoding="utf-8")


def build(to: Path) -> str:
    """Build the site, and return what the builder says.

    Args:
        to: a folder of which `source` and `html` are made anew.

    Raises:
        CalledProcessError: if the builder fails.
    """
    for part in ("source", "html"):
        shutil.rmtree(to / part, ignore_errors=True)
    (to / "source").mkdir(parents=True)
    stage(to / "source")
    shutil.copy(Path(__file__).parent / "zensical.toml", to)
    command = [sys.executable, "-m", "zensical", "build", "--clean"]
    done = subprocess.run(command, cwd=to, check=True, capture_output=True, text=True)
    return done.stdout + done.stderr


def _others(folder: str, names: list[str]) -> set[str]:
    """Return what is no part of the site."""
    kept = {name for name in names if name.endswith(SHOWN) or (Path(folder) / name).is_dir()}
    return (set(names) - kept) | {"__pycache__", "out"}


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "out" / "site"
    print(build(folder))
    print(folder / "html" / "index.html")
