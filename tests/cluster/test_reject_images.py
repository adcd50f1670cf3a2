"""Pictures of rejected attempts that a run keeps, beside what `load_dataset` reads."""

import io
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from commands import run
from datasets import load_dataset
from PIL import Image
from tiny_dataset import PLAN, SCHEMA, make_dataset, make_reject, make_result

from cluster.driver import generate
from cluster.rounds import Outcome
from cluster.worst import WorstRejects
from samplers.spec import Attempt
from synthgen.action_units import AUS
from synthgen.config import parse_config
from synthgen.dataset import Storage, commit_shard, inspect_dataset, layout
from synthgen.dataset.marks.containers import without_marks
from synthgen.dataset.merging import Merging, merge
from synthgen.report.pictures import one_sample
from synthgen.report.reproduction import reproduce

SPEC = one_sample("a face", (0.0,) * len(AUS), 0)

STRICT = {
    "policy": {"max_active_error": 0.35, "max_inactive": 0.6},
    "on_exhausted": "keep_best",
}


def kept_in(config):
    """Return shard → its kept pictures as they stand in the file."""
    files = sorted((Path(config.output.path) / layout.REJECT_IMAGES).glob("*.parquet"))
    return {file.stem: pq.read_table(file).to_pylist() for file in files}


def digests_of(config, digests):
    folder = Path(config.output.path)
    pictures = {file.name: file.read_bytes() for file in folder.glob("reject_images/*")}
    return digests(config), pictures


def test_each_shard_keeps_the_worst_of_each_reason_and_they_are_made_again(make_config, tmp_path):
    config = make_config(samples=8, verify={**STRICT, "keep_reject_images": 1})
    generate(config, "inline")
    every = make_config("every", samples=8, verify={**STRICT, "keep_reject_images": 1000})
    generate(every, "inline")
    few, all_of_them = kept_in(config), kept_in(every)
    assert few.keys() == all_of_them.keys()
    for shard, pictures in all_of_them.items():
        rejects = pq.read_table(Path(every.output.path) / layout.REJECTS / f"{shard}.parquet")
        assert len(pictures) == rejects.num_rows
        assert Counter(rejects["reason"].to_pylist()) == Counter(p["reason"] for p in pictures)
        distances = defaultdict(list)
        for picture in pictures:
            distances[picture["reason"]].append(picture["distance"])
        assert all(found == sorted(found, reverse=True) for found in distances.values())
        worst = {picture["reason"]: picture for picture in reversed(pictures)}
        assert [p["reason"] for p in few[shard]] == sorted(worst)
        for picture in few[shard]:
            # Both runs keep another number of pictures, so that their ids, and marks, differ.
            both = (picture, worst[picture["reason"]])
            one, other = (without_marks(each["image"]["bytes"]) for each in both)
            assert one == other
            assert Image.open(io.BytesIO(picture["image"]["bytes"])).size == (128, 128)
    loaded = load_dataset(config.output.path, cache_dir=str(tmp_path / "cache"))
    assert sum(len(rows) for rows in loaded.values()) == 8
    card = (Path(config.output.path) / layout.CARD).read_text()
    assert "`reject_images/` holds pictures of" in card
    first = next(iter(few.values()))[0]
    where = first["sample_id"], None, first["attempt"], first["replacement"]
    again = reproduce(config.output.path, *where)
    assert (again.same, again.picture) == (True, True)
    assert again.text().endswith("all values the same, and the kept image too")
    assert inspect_dataset(config.output.path).problems == ()


def test_an_extended_run_keeps_the_pictures_of_a_long_one_and_mends_lost_ones(make_config, digests):
    verify = {**STRICT, "keep_reject_images": 2}
    generate(make_config(samples=4, verify=verify), "inline")
    longer = make_config(samples=8, verify=verify)
    generate(longer, "inline")
    fresh = make_config("fresh", samples=8, verify=verify)
    generate(fresh, "inline")
    before = digests_of(longer, digests)
    assert before[1]
    assert before == digests_of(fresh, digests)
    name = sorted(before[1])[0]
    lost = Path(longer.output.path) / layout.REJECT_IMAGES / name
    lost.unlink()
    assert inspect_dataset(longer.output.path).problems == (
        f"{layout.REJECT_IMAGES}/{name} is missing in {longer.output.path}",
    )
    generate(longer, "inline")
    assert digests_of(longer, digests) == before


def test_a_merged_dataset_holds_no_pictures_of_rejects(make_config, tmp_path):
    storage = make_dataset(str(tmp_path / "one"))
    worst = WorstRejects(make_config(verify={"keep_reject_images": 1}))
    worst.add(outcomes([1.0]))
    commit_shard(storage, SCHEMA, make_result(PLAN[0], reject_images=worst.kept()))
    assert storage.names(layout.REJECT_IMAGES)
    merged = tmp_path / "merged"
    merge(Merging(sources=[storage.url], to=str(merged)))
    assert not (merged / layout.REJECT_IMAGES).exists()
    assert inspect_dataset(str(merged)).problems == ()


def test_without_the_key_a_configuration_is_what_it_was(make_config):
    plain, zero = make_config(), make_config(verify={"keep_reject_images": 0})
    assert plain.identity() == zero.identity()
    assert "keep_reject_images" not in plain.model_dump(mode="json")["verify"]
    kept = make_config(verify={"keep_reject_images": 3})
    stored = kept.model_dump(mode="json")
    assert stored["verify"]["keep_reject_images"] == 3
    assert parse_config(stored).verify.keep_reject_images == 3
    assert kept.run_id() != plain.run_id()


def test_the_key_is_bounded(tmp_path):
    path = tmp_path / "config.yaml"
    assert run("init", "drawn", "-o", path)[0] == 0
    code, _, error = run("plan", path, "--set", "verify.keep_reject_images=-1")
    key = "verify.keep_reject_images"
    assert (code, error) == (2, f"error: --set {key}=-1: {key} is -1; it must be at least 0\n")


def outcomes(distances):
    picture = Image.new("RGB", (8, 8))
    return [
        Outcome(Attempt(SPEC, 0, 0), {}, None, make_reject(number), distance, picture)
        for number, distance in enumerate(distances)
    ]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_what_is_kept_depends_on_no_batches_and_ties_go_by_name(make_config, size):
    config = make_config(verify={"keep_reject_images": 3})
    made = outcomes([1.0, float("inf"), 2.0, 2.0, 2.0])
    worst = WorstRejects(config)
    for start in reversed(range(0, len(made), size)):
        worst.add(made[start : start + size])
    assert [kept.reject.sample_id[-1] for kept in worst.kept()] == ["1", "2", "3"]


def test_a_marker_vouches_for_the_pictures(make_config, tmp_path):
    config = make_config(verify={"keep_reject_images": 1})
    worst = WorstRejects(config)
    worst.add(outcomes([float("inf")]))
    storage = Storage(str(tmp_path / "store"))
    result = make_result(PLAN[0], rejects=[make_reject(0)], reject_images=worst.kept())
    marker = commit_shard(storage, SCHEMA, result)
    name = layout.reject_image_file("train", 0)
    assert (marker.reject_images, name in marker.files) == (1, True)
    (row,) = pq.read_table(tmp_path / "store" / name).to_pylist()
    assert row["distance"] is None
    assert row["image"]["path"] == "sample-00000000-0-0.png"
