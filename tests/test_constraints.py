"""constraints.txt and its twin with checksums say the same; no network is asked."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def entries(name):
    """Return each requirement of a file with its options, in one line."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


def test_each_pinned_package_has_checksums_and_no_other_has():
    pinned = [words[0] for words in entries("constraints.txt")]
    hashed = entries("constraints-hashes.txt")
    with_extras = [words for words in hashed if "[" in words[0]]
    assert [words[0] for words in hashed if words not in with_extras] == pinned
    # pip wants a package that is asked for with an extra pinned under that name, too.
    assert {re.sub(r"\[[a-z,]+\]", "", words[0]) for words in with_extras} <= set(pinned)
    for requirement, *hashes in hashed:
        assert hashes, requirement
        for text in hashes:
            assert re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", text), requirement
