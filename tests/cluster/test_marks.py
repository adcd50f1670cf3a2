"""Marks in the images of a run: part of its bytes, and of its identity where they are written."""

import hashlib
import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from cluster.driver import generate
from synthgen.config import RunConfig
from synthgen.dataset import Storage, describe_inspection, inspect_dataset, layout, read_record
from synthgen.dataset.marks.containers import read_mark, without_marks
from synthgen.dataset.marks.xmp import Mark, save_options
from synthgen.errors import OutputError
from synthgen.report.reproduction import reproduce


def with_mark(config: RunConfig, mark: object) -> RunConfig:
    return with_output(config, mark=mark)


def with_output(config: RunConfig, **keys: object) -> RunConfig:
    output = type(config.output).model_validate({**config.output.model_dump(), **keys})
    return config.model_copy(update={"output": output})


def images(config: RunConfig) -> dict[str, bytes]:
    files = sorted((Path(config.output.path) / "data").glob("*.parquet"))
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    return {row["sample_id"]: row["image"]["bytes"] for row in rows}


def at(config: RunConfig, path: Path) -> RunConfig:
    return with_output(config, path=str(path))


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
def test_each_image_names_its_source_and_its_sample_and_shows_the_same(
    image_format, make_config, tmp_path
):
    config = with_output(make_config(samples=4), image_format=image_format)
    marked, plain = (at(with_mark(config, mark), tmp_path / str(mark)) for mark in ("auto", False))
    for run in (marked, plain):
        generate(run, "inline")
    found, bare = images(marked), images(plain)
    assert {name: read_mark(data) for name, data in found.items()} == {
        name: Mark("algorithmicMedia", name) for name in bare
    }
    assert {name: without_marks(data) for name, data in found.items()} == bare
    assert read_mark((tmp_path / "auto" / layout.PICTURE).read_bytes()) == Mark("algorithmicMedia")
    assert read_mark((tmp_path / "False" / layout.PICTURE).read_bytes()) is None
    assert reproduce(marked.output.path, next(iter(found))).same


def test_a_dataset_without_marks_is_extended_without_them(make_config, tmp_path):
    """Versions that knew no marks stored no such key: the bytes stay what they would have been."""
    begun, long = make_config(samples=4), make_config(samples=8)
    generate(with_mark(begun, False), "inline")
    stored = Path(begun.output.path) / layout.CONFIG
    text = stored.read_text()
    assert text.count("  mark: false\n") == 1
    stored.write_text(text.replace("  mark: false\n", ""))
    assert "mark" not in read_record(Storage(begun.output.path)).configuration["output"]
    with pytest.raises(OutputError) as caught:
        generate(with_mark(long, True), "inline")
    assert str(caught.value) == (
        f"{begun.output.path} was begun with output.mark: false; continue it so, choose another "
        "output.path, or start anew with --overwrite"
    )
    generate(long, "inline")
    assert reproduce(begun.output.path, list(images(begun))[-1]).same
    whole = at(with_mark(long, False), tmp_path / "whole")
    generate(whole, "inline")
    assert images(begun) == images(whole)
    generate(long, "inline", overwrite=True)
    assert {read_mark(data) is not None for data in images(long).values()} == {True}


def test_a_marked_dataset_is_not_continued_without_marks(make_config):
    config = make_config(samples=4)
    generate(config, "inline")
    stored = yaml.safe_load((Path(config.output.path) / layout.CONFIG).read_text())
    assert stored["output"]["mark"] is True
    with pytest.raises(OutputError, match=r"output\.mark: true → nothing"):
        generate(with_mark(config, False), "inline")


def test_marks_change_no_ids(make_config):
    config = make_config()
    assert with_mark(config, True).run_id() == with_mark(config, False).run_id() == config.run_id()
    assert with_mark(config, True).identity() == config.identity()
    assert "mark" not in with_mark(config, False).identity()["output"]


def test_equal_pictures_of_different_samples_are_found_in_spite_of_their_marks(make_config):
    config = make_config(samples=4)
    generate(config, "inline")
    (shard,) = (Path(config.output.path) / "data").glob("*.parquet")
    table = pq.read_table(shard)
    rows = table.to_pylist()
    other = read_mark(rows[1]["image"]["bytes"])
    buffer = io.BytesIO()
    Image.open(io.BytesIO(rows[0]["image"]["bytes"])).save(
        buffer, "PNG", **save_options(other, "PNG")
    )
    rows[1]["image"]["bytes"] = buffer.getvalue()
    before = hashlib.sha256(shard.read_bytes()).hexdigest(), shard.stat().st_size
    pq.write_table(table.from_pylist(rows, schema=table.schema), shard)
    after = hashlib.sha256(shard.read_bytes()).hexdigest(), shard.stat().st_size
    (marker,) = (Path(config.output.path) / layout.MARKERS).glob("*.json")
    text = marker.read_text()
    for old, new in zip(before, after, strict=True):
        text = text.replace(str(old), str(new))
    marker.write_text(text)
    said = describe_inspection(inspect_dataset(config.output.path))
    equal = f"{rows[0]['sample_id']} = {rows[1]['sample_id']}"
    assert f"images that are equal, byte by byte: {equal}" in said
