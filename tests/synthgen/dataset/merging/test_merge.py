import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import datasets
import fsspec
import pytest
from s3_server import s3_server
from tiny_dataset import (
    COLUMNS,
    CONFIG,
    SCHEMA,
    Range,
    make_record,
    make_reject,
    make_result,
    make_row,
    png,
)

from synthgen.config.run import run_id_of
from synthgen.dataset import (
    Storage,
    commit_shard,
    inspect_dataset,
    layout,
    open_run,
    read_markers,
    read_record,
    write_card,
)
from synthgen.dataset.labels import BASIC
from synthgen.dataset.merging import Merging, merge
from synthgen.dataset.merging import joining as merge_writing
from synthgen.dataset.schema import (
    Column,
    DatasetSchema,
    columns_of_earlier_versions,
    value_feature,
)
from synthgen.errors import ConfigError, DatasetError, OutputError

OTHER = DatasetSchema(("happy", "awed"), ("age", "skin"), "png", COLUMNS)
FACES = DatasetSchema(
    (), (), "png", columns_of_earlier_versions(("faceid_embedding", "identity_similarity"))
)


def rows_of(run, shades, **changes):
    """Return rows whose ids name a run, of categories in turn, two of each identity."""
    emotions = changes.pop("emotions", ["happy", "neutral"])
    return [
        make_row(
            shade,
            sample_id=f"sample-{run}-{shade:08d}",
            identity_id=changes.get("identity_id", f"id-{run}-{shade // 2:08d}"),
            emotion=emotions[place % len(emotions)] if emotions else None,
            active_error=place / 8,
            **{key: value for key, value in changes.items() if key != "identity_id"},
        )
        for place, shade in enumerate(shades)
    ]


def write(url, splits, schema=SCHEMA, rejects=None, **configuration):
    """Write a dataset: split → rows, a shard each."""
    storage = Storage(str(url))
    plan = [Range(split, 0, 0, len(rows)) for split, rows in splits.items()]
    shares = {"output": {"splits": dict.fromkeys(splits, 0.5), "ids": "run"}}
    record = make_record(sum(map(len, splits.values())), **{**shares, **configuration})
    open_run(storage, replace(record, schema=schema), CONFIG, plan)
    for shard in plan:
        found = (rejects or {}).get(shard.split, [])
        result = make_result(shard, rows=splits[shard.split], rejects=found)
        commit_shard(storage, schema, result)
    write_card(storage)
    return str(url)


@pytest.fixture
def first(tmp_path):
    rows = rows_of("a", range(6)), rows_of("a", range(6, 10), identity_id="id-a-9")
    rejects = {"train": [make_reject(2, sample_id="sample-a-00000002", identity_id="id-a-1")]}
    return write(
        tmp_path / "first", {"train": rows[0], "test": rows[1]}, rejects=rejects, name="first"
    )


@pytest.fixture
def second(tmp_path):
    changes = {"emotions": ["happy", "awed"], "identity": {"age": "old", "skin": "pale"}}
    rows = rows_of("b", range(20, 24), **changes), rows_of("b", range(30, 33), **changes)
    rejects = {"test": [make_reject(5, sample_id="sample-b-00000031", identity_id="x", seed=9)]}
    url = tmp_path / "second"
    return write(url, {"test": rows[0], "other": rows[1]}, OTHER, rejects, name="second", seed=8)


def load(url, name="default"):
    """Load a dataset as a user does, with names for labels."""
    loaded = datasets.load_dataset(str(url), name, cache_dir=f"{url}-cache")
    found = {}
    for split, rows in loaded.items():
        names = rows.features["emotion"].names
        raw = rows.cast_column("image", datasets.Image(decode=False)) if name == "default" else rows
        found[split] = [
            {**row, "emotion": None if row["emotion"] is None else names[row["emotion"]]}
            for row in raw
        ]
    return found


def test_loading_two_folders_reads_labels_by_the_names_of_the_first(first, tmp_path):
    """See the fault that `merge` is for; where `datasets` mends it, docs/joining.md must change."""
    schema = replace(SCHEMA, categories=("happy", "sad"))
    rows = rows_of("c", range(40, 43), emotions=["happy"])
    third = write(tmp_path / "third", {"train": rows}, schema, name="third")
    loaded = datasets.load_dataset(
        "parquet",
        data_files=[f"{url}/data/train-00000.parquet" for url in (first, third)],
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    label = loaded.features["emotion"].int2str(loaded[6]["emotion"])
    assert (loaded[6]["sample_id"], label) == ("sample-c-00000040", "neutral")
    assert load(third)["train"][0]["emotion"] == "happy"
    merge(Merging(sources=[first, third], to=str(tmp_path / "both")))
    assert load(tmp_path / "both")["train"][6]["emotion"] == "happy"


def test_rows_keep_their_meaning_and_their_images(first, second, tmp_path):
    merged = merge(Merging(sources=[first, second], to=str(tmp_path / "both")))
    before = {
        row["sample_id"]: (split, row)
        for url in (first, second)
        for split, rows in load(url).items()
        for row in rows
    }
    after = load(tmp_path / "both")
    assert {split: len(rows) for split, rows in after.items()} == {
        "train": 6,
        "test": 8,
        "other": 3,
    }
    for split, rows in after.items():
        for row in rows:
            home, own = before.pop(row["sample_id"])
            assert home == split
            assert row.pop("source") == ("first" if "-a-" in row["sample_id"] else "second")
            slots = {slot: own["identity"].get(slot) for slot in ("age", "hair", "skin")}
            assert row == {**own, "identity": slots}
    assert before == {}
    assert merged.statistics.total == 17
    assert merged.notes == (
        "identity.skin: null in the rows of first, which has none",
        "identity.hair: null in the rows of second, which has none",
    )
    rejects = load(tmp_path / "both", "rejects")
    assert [(r["sample_id"], r["source"]) for r in rejects["train"]] == [
        ("sample-a-00000002", "first")
    ]
    assert [(r["sample_id"], r["source"]) for r in rejects["other"]] == [
        ("sample-b-00000031", "second")
    ]
    inspection = inspect_dataset(str(tmp_path / "both"))
    assert (inspection.problems, inspection.name, inspection.samples) == ((), "both", 17)
    assert Counter(
        {name: sum(n.values()) for name, n in inspection.statistics.categories.items()}
    ) == {"neutral": 5, "happy": 9, "sad": 0, "awed": 3}
    assert sorted(os.listdir(tmp_path / "both")) == [
        ".synthgen",
        "README.md",
        "assets",
        "croissant.json",
        "data",
        "rejects",
    ]


def test_datasets_of_earlier_versions_join_by_the_names_of_labels(tmp_path):
    earlier = DatasetSchema(("happy", "merry", "neutral"), (), "png", COLUMNS, data_version=1)
    today = DatasetSchema(BASIC, (), "png", COLUMNS, asked=("neutral", "happy"), au_columns=True)
    rows = rows_of("a", range(3), emotions=["neutral", "merry", None]), rows_of("b", range(5, 7))
    old = write(tmp_path / "old", {"train": rows[0]}, earlier, name="old")
    rejects = {"train": [make_reject(5, emotion="neutral")]}
    new = write(tmp_path / "new", {"train": rows[1]}, today, rejects, name="new")
    merged = merge(Merging(sources=[old, new], to=str(tmp_path / "both")))
    assert merged.notes == ()
    assert {name: n["train"] for name, n in merged.statistics.categories.items()} == {
        "neutral": 2,
        "happy": 1,
        "merry": 1,
    }
    loaded = datasets.load_dataset(
        str(tmp_path / "both"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded.features["emotion"].names == [*BASIC, "merry"]
    assert loaded["emotion"][:] == [0, 8, None, 1, 0]
    assert loaded["emotion_name"][:] == ["neutral", "merry", None, "happy", "neutral"]
    assert set(loaded["split"]) == {"train"}
    assert loaded["AU12"][:] == [4.0] * 5
    assert loaded["AU12_measured"][:] == [2.0] * 5
    (reject,) = load(tmp_path / "both", "rejects")["train"]
    assert (reject["emotion"], reject["emotion_name"]) == ("neutral", "neutral")
    asked = Merging(sources=[old, new], to=str(tmp_path / "some"))
    merge(replace(asked, where="emotion_name == 'neutral' and split == 'train' and AU25 > 2"))
    assert [row["emotion"] for row in load(tmp_path / "some")["train"]] == ["neutral"] * 2


def test_rows_that_move_say_their_new_split(first, tmp_path):
    rows = rows_of("c", range(50, 52), identity_id="id-a-9")
    third = write(tmp_path / "third", {"train": rows}, name="third")
    to = str(tmp_path / "both")
    assert merge(Merging(sources=[first, third], to=to, on_conflict="move")).moved == 2
    for split, rows in load(to).items():
        assert {row["split"] for row in rows} == {split}


def test_record_and_card_tell_sources_and_licences(first, second, tmp_path):
    to = tmp_path / "both"
    merge(Merging(sources=[first, second], to=str(to), name="joined"))
    record = read_record(Storage(str(to)))
    assert [(s["name"], s["url"], s["rows"]) for s in record.sources] == [
        ("first", first, 10),
        ("second", second, 7),
    ]
    assert record.sources[1]["identity"]["configuration"]["seed"] == 8
    assert record.licences == {"au_net": "Apache-2.0"}
    card = (to / "README.md").read_text()
    assert "# joined\n" in card
    assert "| first | " in card
    assert "Join datasets with `synthgen merge" in (Path(first) / "README.md").read_text()


def test_what_sources_say_differently_under_one_name_is_told_of_each(first, tmp_path):
    third = write(tmp_path / "third", {"train": rows_of("c", range(50, 54))}, name="third")
    storage = Storage(third)
    record = replace(read_record(storage), licences={"au_net": "CC-BY-NC-4.0", "base": "MIT"})
    storage.write(layout.RUN, record.to_json())
    merge(Merging(sources=[first, third], to=str(tmp_path / "both")))
    assert read_record(Storage(str(tmp_path / "both"))).licences == {
        "au_net (of first)": "Apache-2.0",
        "au_net (of third)": "CC-BY-NC-4.0",
        "base": "MIT",
    }


def test_columns_of_checks_join_with_nulls_and_of_one_kind_alone(first, tmp_path):
    def schema(dtype):
        column = Column("brightness", value_feature(dtype), "Brightness")
        return DatasetSchema((), (), "png", (*COLUMNS, column))

    rows = rows_of("f", range(60, 62), emotions=None, identity={}, brightness=64.5)
    bright = write(tmp_path / "bright", {"train": rows}, schema("float32"), name="bright")
    merged = merge(Merging(sources=[first, bright], to=str(tmp_path / "both")))
    assert merged.notes[0] == "brightness: null in the rows of first, which has none"
    rows = load(tmp_path / "both")["train"]
    assert [rows[0]["brightness"], rows[-1]["brightness"]] == [None, 64.5]

    rows = rows_of("g", range(70, 72), emotions=None, identity={}, brightness=64)
    other = write(tmp_path / "other", {"train": rows}, schema("int32"), name="other")
    with pytest.raises(DatasetError) as caught:
        merge(Merging(sources=[bright, other], to=str(tmp_path / "neither")))
    assert str(caught.value) == (
        "cannot merge: the column brightness is float32 in bright and int32 in other; merge "
        "datasets whose columns of one name hold one kind of values"
    )


def test_datasets_of_other_columns_join_with_nulls(first, tmp_path):
    vector = (1.0,) + (0.0,) * 511
    rows = rows_of("f", range(60, 64), emotions=None, identity={}, faceid_embedding=vector)
    faces = write(tmp_path / "faces", {"train": rows}, FACES, name="faces")
    merged = merge(Merging(sources=[first, faces], to=str(tmp_path / "both")))
    assert merged.notes == (
        "faceid_embedding, identity_similarity: null in the rows of first, which has none",
        "emotion, identity: null in the rows of faces, which has none",
    )
    rows = load(tmp_path / "both")["train"]
    assert [row["emotion"] for row in rows[-4:]] == [None] * 4
    assert rows[-1]["faceid_embedding"][:2] == [1.0, 0.0]
    assert rows[0]["faceid_embedding"] == [None] * 512
    assert rows[-1]["identity"] == {"age": None, "hair": None}
    assert inspect_dataset(str(tmp_path / "both")).problems == ()


def test_recognisers_of_several_kinds_are_told(tmp_path):
    urls = []
    for number, embedder in enumerate(("antelope", "mini", "mini")):
        vector = (0.0,) * number + (1.0,) + (0.0,) * (511 - number)
        changes = {"emotions": None, "identity": {}, "faceid_embedding": vector}
        rows = rows_of(f"f{number}", range(4 * number, 4 * number + 4), **changes)
        name = f"faces{number}"
        urls.append(write(tmp_path / name, {"train": rows}, FACES, name=name))
        record = read_record(Storage(urls[-1]))
        licences = {f"face embeddings ({embedder})": f"licence {number}"}
        Storage(urls[-1]).write(layout.RUN, replace(record, licences=licences).to_json())
    both = merge(Merging(sources=urls[1:], to=str(tmp_path / "both")))
    assert both.notes == ()
    merged = merge(Merging(sources=[str(tmp_path / "both"), urls[0]], to=str(tmp_path / "all")))
    assert merged.notes == (
        "people are described by recognisers of 2 kinds (mini in both; antelope in faces0): "
        "compare embeddings and similarities within a source alone",
    )


def test_doubled_samples_and_images_are_refused_with_counts_or_dropped(first, tmp_path):
    same = rows_of("a", range(4))
    alike = [replace(row, sample_id=f"sample-c-{n}") for n, row in enumerate(rows_of("c", (4, 5)))]
    third = write(tmp_path / "third", {"train": [*same, *alike]}, name="third")
    asked = Merging(sources=[first, third], to=str(tmp_path / "both"))
    with pytest.raises(DatasetError) as caught:
        merge(asked)
    assert str(caught.value) == (
        "cannot merge: 4 rows have the sample id of an earlier one (such as sample-a-00000000 of "
        "third: sample-a-00000000 of first) and 6 rows have the image of an earlier one (such as "
        "sample-a-00000000 of third: sample-a-00000000 of first); keep the first of each with "
        "--on-duplicate drop"
    )
    assert not (tmp_path / "both").exists()
    found = merge(replace(asked, on_duplicate="drop"))
    assert (found.statistics.total, found.left_out) == (10, {"--on-duplicate drop": 6})


def test_plain_ids_are_told_apart_by_their_runs(tmp_path):
    def plain(url, seed, shades):
        rows = [make_row(n, image=png(shade)) for n, shade in enumerate(shades)]
        return write(url, {"train": rows}, output={"splits": {"train": 1.0}}, seed=seed)

    one, other = plain(tmp_path / "1", 7, (1, 2)), plain(tmp_path / "2", 8, (3, 4))
    asked = Merging(sources=[one, other], to=str(tmp_path / "both"))
    with pytest.raises(DatasetError) as caught:
        merge(asked)
    runs = [f"tiny-{source}" for source in _runs(one, other)]
    assert str(caught.value) == (
        f"cannot merge: 2 rows have the sample id of an earlier one (such as sample-00000000 of "
        f"{runs[1]}: sample-00000000 of {runs[0]}); tell ids that do not name their run apart with "
        "--rename, or keep the first of each with --on-duplicate drop"
    )
    merge(replace(asked, rename=True))
    rows = load(tmp_path / "both")["train"]
    assert [row["sample_id"] for row in rows] == [
        f"sample-{run}-{n:08d}" for run in _runs(one, other) for n in (0, 1)
    ]


def _runs(*urls):
    return [run_id_of(read_record(Storage(url)).configuration) for url in urls]


def test_an_identity_in_two_splits_is_refused_moved_or_dropped(first, tmp_path):
    rows = rows_of("c", range(70, 74), identity_id="id-a-00000000")
    more = rows_of("c", range(74, 76), identity_id="id-c")
    rejects = {"test": [make_reject(70, sample_id=rows[0].sample_id, identity_id="id-a-00000000")]}
    third = write(tmp_path / "third", {"test": rows, "train": more}, rejects=rejects, name="third")
    asked = Merging(sources=[first, third], to=str(tmp_path / "both"))
    with pytest.raises(DatasetError) as caught:
        merge(asked)
    assert str(caught.value) == (
        "cannot merge: 1 identity is in more than one split (id-a-00000000 in train and in test of "
        "third); choose --on-conflict move (all rows of an identity go where the first dataset has "
        "it) or --on-conflict drop (its rows elsewhere are left out)"
    )
    moved = merge(replace(asked, on_conflict="move"))
    assert (moved.moved, moved.statistics.rows) == (4, {"train": 12, "test": 4})
    assert moved.statistics.rejects == {"train": 2, "test": 0}
    dropped = merge(replace(asked, on_conflict="drop", to=str(tmp_path / "less")))
    assert (dropped.left_out, dropped.statistics.total) == ({"--on-conflict drop": 4}, 12)
    assert dropped.statistics.rejects == {"train": 1, "test": 0}
    for url in ("both", "less"):
        assert inspect_dataset(str(tmp_path / url)).problems == ()


def test_people_of_one_seed_and_prompt_are_one_person_under_two_names(tmp_path):
    """Two runs that differ in their prior alone draw the same faces."""

    def drawn(url, splits, **configuration):
        configuration = {"identities": {"source": "prompts"}, "name": url, **configuration}
        output = {"splits": dict.fromkeys(splits, 0.5), "ids": "run"}
        made = make_record(4, output=output, **configuration).configuration
        run = run_id_of(made)
        rows = {
            split: [
                replace(row, sample_id=f"s-{run}-{n}", identity_id=f"id-{run}-{n:08d}")
                for n, row in ((n, make_row(shade)) for n, shade in shades.items())
            ]
            for split, shades in splits.items()
        }
        return write(tmp_path / url, rows, output=output, **configuration), run

    first, run = drawn("first", {"train": {0: 1, 1: 2}, "test": {2: 3}})
    second, other = drawn(
        "second", {"test": {0: 11, 2: 13}, "train": {1: 12}}, expressions={"prior": "grid"}
    )
    third, _ = drawn("third", {"test": {0: 21, 1: 22}, "train": {2: 23}}, seed=8)
    with pytest.raises(DatasetError) as caught:
        merge(Merging(sources=[first, second], to=str(tmp_path / "both")))
    assert str(caught.value).startswith(
        f"cannot merge: 1 identity is in more than one split (id-{run}-00000000 in train and, as "
        f"id-{other}-00000000, in test of second); choose "
    )
    asked = Merging(sources=[first, third], to=str(tmp_path / "both"))
    assert merge(asked).statistics.total == 6
    with pytest.raises(DatasetError, match=f"and, as id-{other}-00000000, in test of second"):
        merge(Merging(sources=[str(tmp_path / "both"), second], to=str(tmp_path / "all")))
    asked = Merging(sources=[first, second], to=str(tmp_path / "moved"), on_conflict="move")
    assert (merge(asked).moved, merge(replace(asked, to=str(tmp_path / "x"))).moved) == (1, 1)


def test_a_condition_selects_rows_and_their_rejects(first, second, tmp_path):
    where = "emotion == 'happy' and active_error < 0.3 and identity.hair is not None"
    asked = Merging(sources=[first, second], to=str(tmp_path / "happy"), where=where)
    found = merge(asked)
    assert found.left_out == {"--where": 13}
    rows = load(tmp_path / "happy")
    assert [r["sample_id"][-2:] for r in (*rows["train"], *rows["test"])] == [
        "00",
        "02",
        "06",
        "08",
    ]
    assert found.statistics.rejects == {"train": 1, "test": 0}
    with pytest.raises(DatasetError) as caught:
        merge(replace(asked, to=str(tmp_path / "none"), where="emotion == 'sad'"))
    assert str(caught.value) == (
        "no row is left of 17 (left out: 17 by --where); nothing was written"
    )
    with pytest.raises(ConfigError, match="--where: there is no column 'emotions'"):
        merge(replace(asked, to=str(tmp_path / "none"), where="emotions == 'sad'"))
    assert not (tmp_path / "none").exists()


def test_balance_is_even_in_each_split_and_does_not_depend_on_the_order(tmp_path):
    emotions = ["happy", "happy", "happy", "neutral"]
    urls = [
        write(
            tmp_path / run,
            {"train": rows_of(run, range(start, start + 16), emotions=emotions)},
            name=run,
        )
        for run, start in (("a", 0), ("b", 40))
    ]
    kept = []
    for order, to in ((urls, "ab"), (urls[::-1], "ba")):
        found = merge(Merging(sources=order, to=str(tmp_path / to), balance="emotion"))
        assert found.left_out == {"--balance": 16}
        rows = load(tmp_path / to)["train"]
        assert Counter(row["emotion"] for row in rows) == {"happy": 8, "neutral": 8}
        kept.append({row["sample_id"] for row in rows})
    assert kept[0] == kept[1]
    assert {name.split("-")[1] for name in kept[0]} == {"a", "b"}
    with pytest.raises(ConfigError) as caught:
        merge(Merging(sources=urls, to=str(tmp_path / "x"), balance="active_error"))
    assert str(caught.value) == (
        "--balance: active_error holds numbers; balance a column of categories or texts, such as "
        "emotion, identity.age or source"
    )


def test_balance_says_what_a_split_lacks(first, second, tmp_path):
    found = merge(
        Merging(sources=[first, second], to=str(tmp_path / "both"), balance="identity.skin")
    )
    assert found.notes[2:] == ("10 rows have no identity.skin; --balance left them out",)
    assert found.statistics.rows == {"test": 4, "other": 3}
    found = merge(Merging(sources=[first, second], to=str(tmp_path / "b"), balance="emotion"))
    assert found.notes[2:] == (
        "train has no row with emotion awed",
        "other has no row with emotion neutral",
    )


def test_shards_are_cut_and_sources_may_be_merged_again(first, second, tmp_path, monkeypatch):
    monkeypatch.setattr(merge_writing, "SHARD_ROWS", 3)
    merge(Merging(sources=[first, second], to=str(tmp_path / "both")))
    shards = list(read_markers(Storage(str(tmp_path / "both"))))
    assert [number for split, number in shards if split == "test"] == [0, 1, 2]
    assert inspect_dataset(str(tmp_path / "both")).problems == ()
    third = write(tmp_path / "third", {"train": rows_of("c", range(50, 54))}, name="third")
    again = merge(Merging(sources=[str(tmp_path / "both"), third], to=str(tmp_path / "all")))
    assert again.statistics.total == 21
    rows = load(tmp_path / "all")["train"]
    assert {row["source"] for row in rows} == {"first", "third"}


def test_what_is_occupied_inside_or_no_dataset_is_refused(first, second, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    cases = [
        (
            {"to": "ftp://host/both"},
            OutputError,
            "--to: ftp://host/both is on no store that a run can write; choose a folder, file://, "
            "s3://, gs://, or Azure's abfs://, where a file appears whole or not at all",
        ),
        (
            {"to": f"{tmp_path}/link"},
            OutputError,
            f"{tmp_path}/link is a link to {tmp_path}/gone, which does not exist; make that "
            "folder, or choose another --to",
        ),
        (
            {"to": f"{tmp_path}/full"},
            OutputError,
            f"{tmp_path}/full holds files (such as notes.txt); a merged dataset goes into a new or "
            "empty folder, choose another --to",
        ),
        (
            {"to": f"{first}/joined"},
            OutputError,
            f"{first}/joined lies inside {first}, which is merged; choose another --to",
        ),
        ({"sources": [first, first]}, DatasetError, f"{first} is named twice; name each dataset "
         "once"),
        ({"sources": [first, f"{tmp_path}/no"]}, DatasetError,
         f"there is no synthgen dataset in {tmp_path}/no: no .synthgen/run.json"),
    ]  # fmt: skip
    for changes, error, text in cases:
        asked = {"sources": [first, second], "to": str(tmp_path / "both"), **changes}
        with pytest.raises(error) as caught:
            merge(Merging(**asked))
        assert str(caught.value) == text
    assert sorted(os.listdir(tmp_path)) == ["first", "full", "link", "second"]


def test_a_damaged_source_is_refused(first, second, tmp_path):
    shard = Path(second) / "data/test-00000.parquet"
    content = bytearray(shard.read_bytes())
    content[300] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DatasetError) as caught:
        merge(Merging(sources=[first, second], to=str(tmp_path / "both")))
    assert str(caught.value).startswith(
        f"{second} is not whole: data/test-00000.parquet has sha256 "
    )
    assert str(caught.value).endswith(f"; see `synthgen inspect {second}`")


def test_an_empty_folder_behind_a_link_is_filled(first, tmp_path):
    (tmp_path / "disk" / "both").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "both")
    merge(Merging(sources=[first], to=str(tmp_path / "link")))
    assert (tmp_path / "link").is_symlink()
    assert inspect_dataset(str(tmp_path / "disk" / "both")).problems == ()


def test_a_dataset_is_merged_into_and_out_of_a_store(first, second):
    fsspec.filesystem("memory").rm("/", recursive=True)
    for name, url in (("a", first), ("b", second)):
        fsspec.filesystem("memory").put(f"{url}/", f"/{name}/", recursive=True)
    found = merge(Merging(sources=["memory://a", "memory://b"], to="memory://both"))
    assert found.statistics.total == 17
    assert inspect_dataset("memory://both").problems == ()
    assert not Storage("memory://both").exists(layout.MERGING)


@pytest.mark.parametrize("url", ["{tmp}/both", "memory://broken/both"])
def test_a_failure_leaves_nothing_behind(first, second, tmp_path, monkeypatch, url):
    to = url.format(tmp=tmp_path)

    def fail(storage):
        raise OutputError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("synthgen.dataset.merging.joining.write_card", fail)
        with pytest.raises(OutputError, match="the disk is full"):
            merge(Merging(sources=[first, second], to=to))
    storage = Storage(to)
    assert [name for folder in layout.FOLDERS for name in storage.names(folder)] == []
    assert sorted(os.listdir(tmp_path)) == ["first", "second"]
    assert merge(Merging(sources=[first, second], to=to)).statistics.total == 17


KILLED = """
import os, signal, sys
from synthgen.dataset.merging import Merging, joining

joining.write_card = lambda storage: os.kill(os.getpid(), signal.SIGKILL)
joining.merge(Merging(sources=sys.argv[2:], to=sys.argv[1]))
"""


def test_a_killed_merge_leaves_no_half_dataset_and_is_done_again(first, second, tmp_path):
    to = tmp_path / "both"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(to), first, second], check=False, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL
    assert not to.exists()
    assert sorted(os.listdir(tmp_path)) == [".both.merging", "first", "second"]
    assert merge(Merging(sources=[first, second], to=str(to))).statistics.total == 17
    assert sorted(os.listdir(tmp_path)) == ["both", "first", "second"]
    assert inspect_dataset(str(to)).problems == ()


def test_a_merge_killed_in_a_bucket_is_no_dataset_and_is_done_again(first, second):
    with s3_server() as bucket:
        command = [sys.executable, "-c", KILLED, f"{bucket}/both", first, second]
        done = subprocess.run(command, check=False, capture_output=True)
        assert done.returncode == -signal.SIGKILL
        there = Storage(f"{bucket}/both")
        assert there.exists(layout.MERGING)
        assert not there.exists(layout.CARD)
        problems = inspect_dataset(f"{bucket}/both").problems
        assert (
            "a merge was cut off here; run the same `synthgen merge` again, which begins anew"
            in problems
        )
        fsspec.filesystem("s3").pipe_file(f"{bucket}/both/data/notes.txt", b"mine")
        with pytest.raises(OutputError) as caught:
            merge(Merging(sources=[first, second], to=f"{bucket}/both"))
        assert str(caught.value) == (
            f"{bucket}/both holds data/notes.txt, which no merge has left there; move it away, or "
            "choose another --to"
        )
        fsspec.filesystem("s3").rm_file(f"{bucket}/both/data/notes.txt")
        found = merge(Merging(sources=[first, second], to=f"{bucket}/both"))
        assert found.statistics.total == 17
        assert inspect_dataset(f"{bucket}/both").problems == ()
        assert not there.exists(layout.MERGING)
        again = merge(Merging(sources=[f"{bucket}/both"], to=f"{bucket}/train", where="accepted"))
        assert again.statistics.total == 17
