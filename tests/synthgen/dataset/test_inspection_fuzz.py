"""Datasets whose files were damaged at random: problems or one sentence, never a traceback."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_dataset import make_dataset

from synthgen.dataset import describe_inspection, inspect_dataset
from synthgen.errors import DatasetError, OutputError

LONGEST = 1000
"""Characters of a sentence: names, and at most 300 of what a file holds."""

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["train", "data/train-00000.parquet", "\x00", "x" * 10_000, 10**400]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz") / "whole"
    make_dataset(str(folder))
    return folder


def _files(folder):
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _flip(data, file):
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, max(len(content) - 1, 0)))
        content[place : place + 1] = data.draw(st.binary(min_size=1, max_size=1))
    file.write_bytes(bytes(content))


def _cut(data, file):
    content = file.read_bytes()
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])


def _swap(data, file):
    other = data.draw(
        st.sampled_from(_files(file.parents[2] if ".synthgen" in str(file) else file.parent))
    )
    first, second = file.read_bytes(), other.read_bytes()
    file.write_bytes(second)
    other.write_bytes(first)


def _replace(data, file):
    file.write_bytes(data.draw(st.binary(max_size=200)))


def _remove(data, file):
    file.unlink()
    if data.draw(st.booleans()):
        file.mkdir()


def _edit(data, file):
    """Put another value, or none, into a JSON file."""
    if file.suffix != ".json":
        return
    try:
        values = json.loads(file.read_bytes())
    except ValueError:
        return
    inside = values
    while isinstance(inside, dict) and inside:
        key = data.draw(st.sampled_from(sorted(inside)))
        if not isinstance(inside[key], dict) or data.draw(st.booleans()):
            inside[key] = data.draw(VALUES)
            break
        inside = inside[key]
    file.write_text(json.dumps(values))


def _vouch(data, file):
    """Make the markers agree with what a shard's file is now."""
    if file.suffix != ".parquet" or not file.is_file():
        return
    name = f"{file.parent.name}/{file.name}"
    content = file.read_bytes()
    for marker in (file.parents[1] / ".synthgen/shards").glob("*.json"):
        try:
            values = json.loads(marker.read_bytes())
            if name in values["files"]:
                values["files"][name] = {
                    "sha256": hashlib.sha256(content).hexdigest(),
                    "bytes": len(content),
                }
                marker.write_text(json.dumps(values))
        except (OSError, ValueError, LookupError, TypeError):
            return


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_whatever_became_of_its_files_a_dataset_is_inspected(whole, tmp_path, data):
    folder = Path(tmp_path) / "out"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    for _ in range(data.draw(st.integers(1, 3))):
        file = data.draw(st.sampled_from(_files(folder)))
        data.draw(st.sampled_from([_flip, _cut, _swap, _replace, _remove, _edit]))(data, file)
        if data.draw(st.booleans()):
            _vouch(data, file)
    try:
        found = inspect_dataset(str(folder))
    except (DatasetError, OutputError) as error:
        sentences = [str(error)]
    else:
        sentences = list(found.problems)
        describe_inspection(found).encode()
    for sentence in sentences:
        assert "\n" not in sentence
        assert len(sentence) <= LONGEST, sentence
