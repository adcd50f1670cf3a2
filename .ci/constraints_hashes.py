r"""Write constraints-hashes.txt: each pinned package with the checksum of its file here.

Renew it whenever constraints.txt changes, on Linux x86-64 with Python 3.11:

    python -m pip install --dry-run --ignore-installed --no-deps --only-binary :all: \
        --report report.json -r constraints.txt
    python .ci/constraints_hashes.py report.json [FURTHER.whl …]

pip reads the checksums from the registry. Further files stand for the registry's of the same
package: torch's wheel for CPUs, from https://download.pytorch.org/whl/cpu.
"""

import hashlib
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
HEADER = """\
# constraints.txt with the SHA-256 of every file, for Linux x86-64 and Python 3.11, torch for CPUs:
#   pip install --require-hashes --extra-index-url https://download.pytorch.org/whl/cpu \\
#     -r constraints-hashes.txt && pip install --no-deps .
# Written by .ci/constraints_hashes.py, which says how it is renewed. torch for GPUs asks for
# packages of NVIDIA's that are not listed here.
"""


def main(report: str, *further: str) -> None:
    """Write the file from pip's report."""
    items = json.loads(Path(report).read_text())["install"]
    found: defaultdict[str, set[str]] = defaultdict(set)
    for item in items:
        digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
        found[canonicalize_name(item["metadata"]["name"])].add(digest)
    for file in map(Path, further):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        found[canonicalize_name(file.name.split("-")[0])] = {digest}
    extras = extras_asked_for(items)
    lines = [HEADER]
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.split("==")
            key = canonicalize_name(name)
            hashes = [f"--hash=sha256:{text}" for text in sorted(found[key])]
            asked = [f"[{','.join(sorted(extras[key]))}]"] if extras[key] else []
            lines += [
                " \\\n    ".join([f"{name}{extra}=={version}", *hashes]) + "\n"
                for extra in ["", *asked]
            ]
    (ROOT / "constraints-hashes.txt").write_text("".join(lines))


def extras_asked_for(items: list[dict[str, Any]]) -> defaultdict[str, set[str]]:
    """Return package → extras that others ask for: pip wants them said where it wants hashes."""
    extras: defaultdict[str, set[str]] = defaultdict(set)
    for item in items:
        for text in item["metadata"].get("requires_dist", []):
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                extras[canonicalize_name(wanted.name)] |= wanted.extras
    return extras


main(*sys.argv[1:])
