import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from datasets import load_dataset

from cluster.driver import Summary, generate
from pipelines.procedural.source import ProceduralSource
from synthgen import __version__, to_pandas
from synthgen.config import OutputConfig
from synthgen.dataset import (
    Storage,
    describe_inspection,
    inspect_dataset,
    layout,
    read_markers,
)
from synthgen.dataset import markers as marker_index
from synthgen.dataset.markers import ShortStratum
from synthgen.errors import DatasetError, OutputError
from synthgen.report.comparison import compare, describe_comparison
from synthgen.report.reproduction import reproduce
from synthgen.report.run_summary import describe_run
from synthgen.report.status import read_status


def test_a_run_gives_what_was_asked_for(make_config, tmp_path):
    config = make_config()
    summary = generate(config, "inline")
    assert summary.rows == 40
    assert summary.rejected
    assert summary.attempts == 40 + sum(summary.rejected.values())
    dataset = load_dataset(config.output.path, cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in dataset.items()} == {"train": 20, "test": 20}
    assert not set(dataset["train"]["identity_id"]) & set(dataset["test"]["identity_id"])
    rejects = load_dataset(config.output.path, "rejects", cache_dir=str(tmp_path / "cache"))
    assert sum(len(rows) for rows in rejects.values()) == sum(summary.rejected.values())
    assert inspect_dataset(config.output.path).problems == ()


def test_the_summary_tells_what_is_unaccepted_missing_and_failed(make_config):
    sad = ShortStratum(
        asked=5, accepted=1, images=14, rejected={"error": 1, "inactive": 4, "active_error": 8}
    )
    summary = Summary(8, 5, 2, 1, 20, {"inactive": 4, "active_error": 10}, short={"sad": sad})
    config = make_config()
    assert describe_run(config, summary).splitlines()[:-1] == [
        "less than asked: 8 of 10 samples; these strata fell short:",
        "  sad: 4 short; 1 of 14 images accepted (8 active_error, 4 inactive, 1 error)",
        "  strata not recorded: 1 short",
        "what helps: a looser policy or more verify.max_attempts, and to begin anew "
        "(--overwrite, or another output.path); the same configuration gives the same again",
        f"{config.output.path}: 8 samples from 20 images (40% kept)",
        "rejected: 10 active_error, 4 inactive",
        "unaccepted: 3 samples hold the best of their attempts (accepted=false)",
        "missing: 2 samples found no accepted image",
        "failed: 1 sample raised; see reason 'error' in rejects",
        f"look at it: synthgen report {config.output.path} --html report.html",
    ]


def test_running_again_changes_nothing(make_config, digests):
    config = make_config()
    first = generate(config, "inline")
    stamps = {path: path.stat().st_mtime_ns for path in Path(config.output.path).glob("data/*")}
    assert generate(config, "inline") == first
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def test_an_extended_run_equals_a_long_one_and_keeps_the_first_rows(make_config, digests):
    short = make_config("short", samples=20)
    generate(short, "inline")
    before = load_rows(short)
    longer = make_config("short", samples=40)
    generate(longer, "inline")
    fresh = make_config("fresh", samples=40)
    generate(fresh, "inline")
    assert digests(longer) == digests(fresh)
    after = load_rows(longer)
    assert {key: after[key] for key in before} == before


def load_rows(config):

    tables = (pq.read_table(path) for path in Path(config.output.path).glob("data/*"))
    return {row["sample_id"]: row for table in tables for row in table.to_pylist()}


def test_a_run_of_plain_ids_is_extended_and_reproduced_under_them(make_config):
    """Datasets of versions that knew no other ids have no key `ids` in what is stored."""
    output = {"shard_size": 12, "splits": {"train": 1.0}, "ids": "plain"}
    for samples in (2, 4):
        config = make_config(samples=samples)
        config = config.model_copy(
            update={"output": OutputConfig(path=config.output.path, **output)}
        )
        generate(config, "inline")
    assert sorted(load_rows(config)) == [f"sample-{n:08d}" for n in range(4)]
    stored = (Path(config.output.path) / layout.CONFIG).read_text()
    assert "ids" not in yaml.safe_load(stored)["output"]
    assert reproduce(config.output.path, "sample-00000003").same


def test_a_dataset_of_an_earlier_version_is_looked_at_but_neither_continued_nor_repeated(
    make_config,
):
    config = make_config(samples=4)
    generate(config, "inline")
    record = Path(config.output.path) / layout.RUN
    values = json.loads(record.read_bytes())
    assert values.pop("data_version") == 2
    record.write_text(json.dumps(values | {"git_revision": None}))
    begun = (
        f"{config.output.path} was begun by an earlier version (synthgen {__version__}), which "
        "orders labels and deals people of prompts out to splits in another way; "
    )
    with pytest.raises(OutputError) as caught:
        generate(config, "inline")
    assert str(caught.value) == begun + (
        "continue it with that one, choose another output.path, or start anew with --overwrite"
    )
    with pytest.raises(DatasetError) as caught:
        reproduce(config.output.path, next(iter(load_rows(config))))
    assert str(caught.value) == begun + "reproduce its samples with that one"
    assert inspect_dataset(config.output.path).problems == ()
    stored = Path(config.output.path) / layout.CONFIG
    stored.write_text(stored.read_text().replace("samples: 4\n", "samples: 4000\n"))
    assert describe_comparison(compare(config.output.path))  # though there are too few people now
    assert read_status(config.output.path).rows == 4


def test_labels_have_the_same_numbers_whatever_the_order_of_the_file(make_config):
    numbers = {}
    for folder, categories in (("one", ["sad", "neutral"]), ("other", ["neutral", "sad"])):
        config = make_config(
            folder, samples=8, expressions={"prior": "emotions", "categories": categories}
        )
        generate(config, "inline")
        rows = load_rows(config).values()
        numbers[folder] = {(row["emotion"], row["emotion_name"]) for row in rows}
        assert {row["split"] for row in rows} == {"train", "test"}
        found = describe_inspection(inspect_dataset(config.output.path))
        assert "emotions: neutral 4, sad 4\n" in found
    assert numbers["one"] == numbers["other"] == {(0, "neutral"), (2, "sad")}


def test_rows_and_rejects_say_names_levels_and_aus_of_their_own(make_config):
    smiles = [
        {"aus": {"AU6": 1, "AU12": 2}, "name": "smile", "level": 1},
        {"aus": {"AU6": 3, "AU12": 5}, "name": "smile", "level": 3},
        {"aus": {"AU9": 5, "AU20": 5}},
    ]
    config = make_config(samples=12, expressions={"prior": "combinations", "combinations": smiles})
    output = config.output.model_copy(update={"au_columns": True})
    config = config.model_copy(update={"output": output})
    generate(config, "inline")
    table = to_pandas(config.output.path)
    shown = set(zip(table["expression"], table["level"].fillna(0), table["AU12"], strict=True))
    assert shown == {("smile", 1.0, 2.0), ("smile", 3.0, 5.0), ("AU9+AU20", 0.0, 0.0)}
    rejects = pq.read_table(Path(config.output.path) / "rejects").to_pandas()
    assert set(rejects["expression"]) <= {"smile", "AU9+AU20"}
    assert (rejects["AU12_measured"] == rejects["aus_measured"].str[6]).all()
    assert reproduce(config.output.path, table["sample_id"][0]).same
    assert inspect_dataset(config.output.path).problems == ()


def test_a_lost_shard_is_made_again_to_the_bit(make_config, digests):
    config = make_config()
    generate(config, "inline")
    before = digests(config)
    folder = Path(config.output.path)
    (folder / ".synthgen/shards/test-00001.json").unlink()
    (folder / "data/test-00001.parquet").unlink()
    generate(config, "inline")
    assert digests(config) == before


def test_the_batch_size_is_part_of_the_identity_and_the_difference_is_shown(make_config, digests):
    config = make_config()
    generate(config, "inline")
    before = digests(config)
    with pytest.raises(OutputError) as error:
        generate(make_config(pipeline={"batch_size": 6}), "inline")
    assert str(error.value) == (
        f"{config.output.path} holds a dataset that was made otherwise "
        "(pipeline.batch_size: 5 → 6); choose another output.path, or start anew with --overwrite"
    )
    assert digests(config) == before


def test_a_run_of_many_shards_keeps_an_index_of_its_markers(make_config, monkeypatch, digests):
    monkeypatch.setattr(marker_index, "_FEW", 3)
    config = make_config()
    generate(config, "inline")
    storage = Storage(config.output.path)
    indexed = [e["name"] for e in json.loads(storage.read(layout.INDEX))["markers"]]
    assert sorted(indexed) == storage.names(layout.MARKERS)
    longer, fresh = make_config(samples=48), make_config("fresh", samples=48)
    assert generate(longer, "inline") == generate(fresh, "inline")
    assert digests(longer) == digests(fresh)
    shorter = make_config(samples=8)
    generate(shorter, "inline", overwrite=True)
    assert not storage.exists(layout.INDEX)


def test_overwrite_begins_anew_and_leaves_foreign_files(make_config, digests):
    config = make_config()
    generate(config, "inline")
    foreign = Path(config.output.path) / "data" / "notes.txt"
    foreign.write_text("mine")
    other = make_config(samples=12, pipeline={"batch_size": 6})
    assert generate(other, "inline", overwrite=True).rows == 12
    assert foreign.read_text() == "mine"
    assert len(digests(other)) == 5


class Poisoned(ProceduralSource):
    """The real source with one sample that always raises."""

    def generate(self, attempts):
        if any(attempt.spec.index == 7 for attempt in attempts):
            raise ValueError("sample 7 is poison")
        return super().generate(attempts)


def test_a_poison_sample_becomes_a_reject_and_the_rest_is_as_without_it(make_config, monkeypatch):
    clean = make_config("clean")
    generate(clean, "inline")
    poisoned = make_config("poisoned", cluster={"max_failures": 1})
    monkeypatch.setattr("pipelines.procedural.source.ProceduralSource", Poisoned)
    summary = generate(poisoned, "inline")
    assert (summary.rows, summary.errors, summary.missing) == (39, 1, 1)
    rows = load_rows(clean)
    guilty = f"sample-{clean.run_id()}-00000007"
    del rows[guilty]
    assert load_rows(poisoned) == rows
    markers = read_markers(Storage(poisoned.output.path)).values()
    assert [marker.missing for marker in markers if marker.missing] == [(guilty,)]
    rejects = load_dataset(poisoned.output.path, "rejects", cache_dir=poisoned.output.path + ".c")
    (error,) = [row for rows in rejects.values() for row in rows if row["reason"] == "error"]
    assert (error["sample_id"], error["detail"]) == (
        guilty,
        "ValueError: sample 7 is poison",
    )


def test_the_record_says_what_the_data_is_a_function_of(make_config):
    config = make_config()
    generate(config, "inline")
    record = json.loads((Path(config.output.path) / ".synthgen/run.json").read_text())
    assert set(record["identity"]) == {"configuration", "weights", "versions"}
    assert record["identity"]["configuration"] == config.identity()
    assert {"torch", "numpy", "pillow", "skia-python"} <= set(record["identity"]["versions"])
    assert any(len(digest) == 64 for digest in record["identity"]["weights"].values())


def test_a_foreign_folder_is_refused_before_anything_is_loaded(make_config):
    config = make_config(verify={"weights": "/nowhere/weights.safetensors"})
    folder = Path(config.output.path)
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError) as error:
        generate(config, "inline")
    assert str(error.value) == (
        f"{folder} holds files that are not a synthgen dataset (such as thesis.txt); "
        "choose another output.path"
    )
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]
