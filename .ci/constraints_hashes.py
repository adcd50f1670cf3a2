r"""Write constraints-hashes.txt: each pinned package with the checksum of its file here.

Renew it whenever constraints.txt changes, on Linux x86-64 with Python 3.11:

    python -m pip install --dry-run --ignore-installed --no-deps --only-binary :all: \
        --report report.json -r constraints.txt
    python .ci/constraints_hashes.py report.json [FURTHER.whl …]

pip reads the checksums from the registry. Further files are others of the same versions that pip
may take, such as torch's wheel for CPUs from https://download.pytorch.org/whl/cpu.
"""

import hashlib
import json
import sys
from collections import defaultdict
from pathlib import Path

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
    found: defaultdict[str, set[str]] = defaultdict(set)
    for item in json.loads(Path(report).read_text())["install"]:
        name = item["metadata"]["name"]
        found[canonical(name)].add(item["download_info"]["archive_info"]["hashes"]["sha256"])
    for file in map(Path, further):
        name = canonical(file.name.split("-")[0])
        found[name].add(hashlib.sha256(file.read_bytes()).hexdigest())
    lines = [HEADER]
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            hashes = sorted(found[canonical(line.split("==")[0].split("[")[0])])
            lines.append(" \\\n    ".join([line, *(f"--hash=sha256:{h}" for h in hashes)]) + "\n")
    (ROOT / "constraints-hashes.txt").write_text("".join(lines))


def canonical(name: str) -> str:
    """Return a package's name as registries compare it."""
    return name.lower().replace("_", "-").replace(".", "-")


main(*sys.argv[1:])
