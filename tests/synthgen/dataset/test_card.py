import io
import shutil
import uuid
from dataclasses import replace

import datasets
import pytest
import yaml
from PIL import Image
from tiny_dataset import (
    COLUMNS,
    CONFIG,
    HAPPY,
    PLAN,
    SCHEMA,
    Range,
    make_dataset,
    make_record,
    make_reject,
    make_result,
    make_row,
)

from synthgen.action_units import AU_COUNT
from synthgen.config.run import run_id_of
from synthgen.dataset import (
    RunRecord,
    Storage,
    commit_shard,
    open_run,
    read_statistics,
    render_card,
    write_card,
)
from synthgen.dataset.card.origin import bibtex
from synthgen.dataset.labels import label_names
from synthgen.dataset.markers import ShortStratum
from synthgen.dataset.schema import DatasetSchema

DIGITS = "[0-9]" * 5


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def _header(storage):
    return yaml.safe_load(storage.read("README.md").decode().split("---\n")[1])


def _write(folder, results, schema=SCHEMA):
    storage = Storage(str(folder))
    open_run(storage, make_record(8), CONFIG, PLAN)
    for result in results:
        commit_shard(storage, schema, result)
    write_card(storage)
    return storage


@pytest.mark.parametrize("streaming", [False, True])
def test_a_dataset_loads(tmp_path, streaming):
    make_dataset(str(tmp_path / "out"))
    loaded = datasets.load_dataset(str(tmp_path / "out"), streaming=streaming)
    assert list(loaded) == ["train", "test"]
    rows = list(loaded["train"])
    assert [row["sample_id"] for row in rows] == [f"sample-{index:08d}" for index in range(6)]
    expected = make_row(5)
    assert isinstance(rows[5]["image"], Image.Image)
    assert rows[5]["image"].getpixel((3, 3)) == (5, 60, 120)
    assert rows[5]["aus"] == list(expected.aus)
    assert rows[5]["aus_measured"] == list(expected.columns["aus_measured"])
    assert rows[5]["seed"] == expected.seed
    assert rows[5]["identity"] == {"age": "old", "hair": "red"}
    features = loaded["train"].features
    assert features["emotion"].int2str(rows[5]["emotion"]) == "happy"
    assert features["aus"] == datasets.List(datasets.Value("float32"), length=AU_COUNT)
    assert isinstance(features["image"], datasets.Image)


@pytest.mark.parametrize("streaming", [False, True])
def test_rejects_load(tmp_path, streaming):
    make_dataset(str(tmp_path / "out"))
    loaded = datasets.load_dataset(str(tmp_path / "out"), "rejects", streaming=streaming)
    assert [row["sample_id"] for row in loaded["train"]] == ["sample-00000000", "sample-00000004"]
    (row,) = loaded["test"]
    assert row["reason"] == "no_face"
    assert row["aus_measured"] == [None] * AU_COUNT
    assert "image" not in row


@pytest.mark.parametrize("streaming", [False, True])
def test_splits_and_shards_without_rows_do_no_harm(tmp_path, streaming):
    rows = [make_row(0, aus_measured=None), *(make_row(index) for index in (1, 2, 3))]
    results = [
        make_result(PLAN[0], rejects=[], rows=rows),
        make_result(PLAN[1], missing=2, rejects=[make_reject(4), make_reject(5)]),
        make_result(PLAN[2], missing=2, rejects=[]),
    ]
    _write(tmp_path / "out", results)
    loaded = datasets.load_dataset(str(tmp_path / "out"), streaming=streaming)
    assert list(loaded) == ["train"]
    found = list(loaded["train"])
    assert len(found) == 4
    assert found[0]["aus_measured"] == [None] * AU_COUNT
    rejects = datasets.load_dataset(str(tmp_path / "out"), "rejects", streaming=streaming)
    assert list(rejects) == ["train"]
    assert len(list(rejects["train"])) == 2


def test_rejects_of_a_run_that_rejected_nothing_stream_without_rows(tmp_path):
    _write(tmp_path / "out", [make_result(shard, rejects=[]) for shard in PLAN])
    rejects = datasets.load_dataset(str(tmp_path / "out"), "rejects", streaming=True)
    assert {split: list(rows) for split, rows in rejects.items()} == {"train": [], "test": []}


def test_measurements_become_nan_in_arrays(tmp_path):
    rows = [make_row(0, aus_measured=None), *(make_row(index) for index in (1, 2, 3))]
    _write(tmp_path / "out", [make_result(PLAN[0], rows=rows)])
    loaded = datasets.load_dataset(str(tmp_path / "out"), split="train").with_format("numpy")
    measured = loaded[:]["aus_measured"]
    assert measured.shape == (4, AU_COUNT)
    assert measured.dtype == "float32"
    assert (measured != measured).any(axis=1).tolist() == [True, False, False, False]


def test_foreign_and_half_files_are_not_loaded(tmp_path):
    make_dataset(str(tmp_path / "out"))
    data = tmp_path / "out" / "data"
    for name in (".tmp-0123456789abcdef-train-00009.parquet", "notes.txt"):
        (data / name).write_text("half")
    for name in ("train-copy.parquet", "train-00000 (1).parquet", "train-00000-copy.parquet"):
        shutil.copy(data / "train-00000.parquet", data / name)
    assert len(datasets.load_dataset(str(tmp_path / "out"), split="train")) == 6


def test_shards_with_more_digits_are_loaded(tmp_path):
    plan = (PLAN[0], Range("train", 100_000, 4, 6))
    storage = make_dataset(str(tmp_path / "out"), plan)
    assert _header(storage)["configs"][0]["data_files"] == [
        {
            "split": "train",
            "path": [f"data/train-{DIGITS}.parquet", f"data/train-{DIGITS}[0-9].parquet"],
        }
    ]
    loaded = datasets.load_dataset(str(tmp_path / "out"), split="train")
    assert loaded["sample_id"][:] == [f"sample-{index:08d}" for index in range(6)]


def test_columns_that_are_absent_are_absent_when_loaded(tmp_path):
    schema = DatasetSchema((), (), "png", COLUMNS)
    record = RunRecord(identity={}, samples=4, schema=schema, synthgen_version="0.1.0")
    storage = Storage(str(tmp_path / "out"))
    open_run(storage, record, CONFIG, PLAN)
    rows = [make_row(index, emotion=None, identity={}) for index in range(4)]
    rejects = [make_reject(0, emotion=None)]
    commit_shard(storage, schema, make_result(PLAN[0], rows=rows, rejects=rejects))
    write_card(storage)
    loaded = datasets.load_dataset(str(tmp_path / "out"), split="train")
    assert not {"emotion", "identity"} & set(loaded.column_names)


def test_other_rows_in_the_same_folder_are_not_taken_from_the_cache(tmp_path):
    for prompt in ("a face", "another face"):
        rows = [make_row(index, prompt=prompt) for index in range(4)]
        rejects = [make_reject(0, seed=len(prompt))]
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        _write(tmp_path / "out", [make_result(PLAN[0], rows=rows, rejects=rejects)])
        loaded = datasets.load_dataset(str(tmp_path / "out"), split="train")
        assert set(loaded["prompt"]) == {prompt}
        loaded = datasets.load_dataset(str(tmp_path / "out"), "rejects", split="train")
        assert list(loaded["seed"]) == [len(prompt)]


def test_the_header_names_the_dataset_for_the_hub(tmp_path):
    header = _header(make_dataset(str(tmp_path / "out")))
    assert header["pretty_name"] == "tiny"
    assert header["license"] == "apache-2.0"
    assert header["task_categories"] == ["image-classification"]
    assert header["size_categories"] == ["n<1K"]
    assert header["configs"][0] == {
        "config_name": "default",
        "default": True,
        "data_files": [
            {"split": "train", "path": f"data/train-{DIGITS}.parquet"},
            {"split": "test", "path": f"data/test-{DIGITS}.parquet"},
        ],
    }


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        ({"a": "MIT", "b": "mit"}, {"license": "mit"}),
        ({}, {"license": "other", "license_name": "licences-of-the-weights"}),
        (
            {"a": "MIT", "b": "USC research"},
            {"license": "other", "license_name": "licences-of-the-weights"},
        ),
    ],
)
def test_a_licence_is_named_only_when_there_is_one(tmp_path, licences, expected):
    storage = make_dataset(str(tmp_path / "out"))
    record = RunRecord(
        identity={}, samples=8, schema=SCHEMA, synthgen_version="0.1.0", licences=licences
    )
    card = render_card(record, read_statistics(storage))
    header = yaml.safe_load(card.split("---\n")[1])
    assert {key: header[key] for key in header if key.startswith("license")} == expected


def test_the_text_tells_what_was_made(tmp_path):
    rows = [make_row(index, accepted=index != 1) for index in range(4)]
    rejects = [make_reject(0), make_reject(0, reason="inactive"), make_reject(1, reason="error")]
    lack = ShortStratum(asked=1, accepted=0, images=3, rejected={"no_face": 2, "error": 1})
    short = {"happy": lack}
    results = [
        make_result(PLAN[0], rows=rows, rejects=rejects, short=short),
        make_result(PLAN[1], missing=1),
    ]
    card = _write(tmp_path / "out", results).read("README.md").decode()
    for line in (
        "# tiny",
        "![The first samples, with the AUs asked for and found](assets/samples.png)",
        "| train | 5 | 5 | 4 |",
        "| happy | 5 | 5 |",
        "| AU12 | 100.0 % | 4.00 | 2.00 | – |",
        "| AU4 | 0.0 % | – | – | 0.00 |",
        "9 images were made for 5 samples; 4 kept the policy (44.4 %).",
        "| inactive | 1 |",
        "| no_face | 2 |",
        "| error | 1 |",
        "1 of the samples misses the policy and was kept with `accepted` = false.",
        "1 of the samples is missing, since no attempt was kept: sample-00000005.",
        "Strata that fell short:\n\n- happy: 1 short; 0 of 3 images accepted (2 no_face, 1 error)"
        "\n- strata not recorded: 1 short",
        "Made with synthgen 0.1.0 (revision 0123abc).",
        f"| au_net.safetensors | {'a' * 64} |",
        "| numpy | 1.26.4 |",
        "| au_net | Apache-2.0 |",
        "```yaml\nname: tiny\nseed: 7\nsamples: 8\noutput:\n  splits:",
    ):
        assert f"\n{line}\n" in card
    assert str(tmp_path) not in card


def test_the_card_says_how_to_cite_the_data(tmp_path):
    make_dataset(str(tmp_path / "out"))
    section = (tmp_path / "out" / "README.md").read_text().partition("## How to cite\n\n")[2]
    run = run_id_of(make_record().configuration)
    assert section == (
        f"The data: *tiny, seed 7, run {run}; synthetic, made with synthgen 0.1.0 "
        "(revision 0123abc)*. synthgen: its `CITATION.cff`. Where licences or weights are named "
        "above, cite their papers, too.\n\n"
        "```bibtex\n"
        f"@misc{{tiny-{run},\n"
        "  title = {{tiny}: synthetic faces with FACS Action Units},\n"
        "  year = {2026},\n"
        f"  note = {{tiny, seed 7, run {run}; made with synthgen 0.1.0 (revision 0123abc)}},\n"
        "}\n```\n"
    )


def test_names_become_keys_of_bibtex_and_special_characters_are_escaped():
    record = make_record(name="50 % of {faces}_a & b")
    run = run_id_of(record.configuration)
    lines = bibtex(record).splitlines()
    assert lines[0] == f"@misc{{50-of-faces-a-b-{run},"
    assert lines[1] == (
        r"  title = {{50 \% of faces\_a \& b}: synthetic faces with FACS Action Units},"
    )


def test_the_card_names_limits_that_follow_from_record_and_counts(tmp_path):
    policy = {"max_inactive": 1.0, "per_au_tolerance": {"AU20": 2.0, "AU15": None}}
    record = make_record(4, verify={"verifier": "libreface", "policy": policy})
    storage = Storage(str(tmp_path / "out"))
    open_run(storage, record, CONFIG, PLAN)
    shown = {"aus_measured": (0.2,) * 6 + (2.9,) + (0.2,) * 3 + (0.3, 0.2)}
    sad = {"emotion": "sad"}
    rows = [make_row(index, **shown, **(sad if index > 2 else {})) for index in range(4)]
    commit_shard(storage, SCHEMA, make_result(PLAN[0], rows=rows, rejects=[]))
    write_card(storage)
    card = storage.read("README.md").decode()
    section = card.partition("## Limits\n\n")[2].partition("\n\n## ")[0].splitlines()
    assert section == [
        "- `aus`, and `emotion` where it is there, say what was asked for, `aus_measured` what a "
        "network measured, with its errors; no person has looked at the images.",
        "- The policy does not judge AU15: whether shown is not known.",
        "- Measured intensities may miss what was asked for by more than the other AUs' 1: AU20 by "
        "2.",
        "- happy and sad are ambiguous: all rows of each ask for AU12, AU25, and by these alone "
        "nobody can tell them apart.",
        "- The slots of `identity` (age, hair) are words of a prompt, not traits of anybody; they "
        "are few, and people are more.",
        "- One check, `libreface`, chose the images; what it cannot see was kept.",
        "- Categories are not equally frequent: 3 rows of happy, 0 of neutral.",
    ]


def test_an_au_that_is_read_everywhere_alike_is_named(tmp_path):
    storage = Storage(str(tmp_path / "out"))
    open_run(storage, make_record(8), CONFIG, PLAN)
    nothing = (0.0,) * 12
    read = {"aus_measured": (0.2,) * 10 + (1.5, 0.2)}
    rows = [make_row(n, **read, aus=nothing if n % 2 else HAPPY) for n in range(4)]
    commit_shard(storage, SCHEMA, make_result(PLAN[0], rows=rows, rejects=[]))
    write_card(storage)
    assert (
        "\n- AUs that the images hardly show, or the verifier can hardly judge, by their mean "
        "measured intensities: AU12 (0.2 where 4.0 was asked for, 0.2 elsewhere), AU25 (1.5 where "
        "2.5 was asked for, 1.5 elsewhere).\n"
    ) in storage.read("README.md").decode()


def test_values_whose_images_are_refused_more_often_are_named(tmp_path):
    schema = replace(SCHEMA, slots=("hair",))
    storage = Storage(str(tmp_path / "out"))
    open_run(storage, replace(make_record(80), schema=schema), CONFIG, PLAN)
    rows = [
        make_row(n, attempt=n % 2, identity={"hair": ("red", "gray")[n % 2]}) for n in range(80)
    ]
    rejects = [make_reject(n) for n in range(1, 80, 2)]
    shard = Range("train", 0, 0, 80)
    commit_shard(storage, schema, make_result(shard, rows=rows, rejects=rejects))
    write_card(storage)
    assert (
        "\n- Images of hair 'gray' are refused more often: 0.0 % (0.0 % to 8.8 %) of their first "
        "attempts were kept, 100.0 % (91.2 % to 100.0 %) of the slot's other values.\n"
    ) in storage.read("README.md").decode()


def test_the_card_depends_on_the_data_alone(tmp_path):
    first = make_dataset(str(tmp_path / "a"))
    second = Storage(f"memory://{uuid.uuid4()}")
    open_run(second, make_record(), "cluster: {actors: 2}\n", PLAN)
    for shard in reversed(PLAN):
        commit_shard(second, SCHEMA, make_result(shard, seconds={"paint": 9.0}))
    write_card(second)
    assert first.read("README.md") == second.read("README.md")
    assert first.read("assets/samples.png") == second.read("assets/samples.png")


def test_the_picture_shows_the_first_samples(tmp_path):
    storage = make_dataset(str(tmp_path / "out"))
    picture = Image.open(io.BytesIO(storage.read("assets/samples.png")))
    colours = {colour for _, colour in picture.getcolors(1 << 16)}
    assert {(shade, 60, 120) for shade in range(4)} <= colours


def test_a_dataset_without_rows_has_a_card_without_picture(tmp_path):
    storage = _write(tmp_path / "out", [])
    assert not storage.exists("assets/samples.png")
    assert "0 images were made for 0 samples; 0 kept the policy (–)." in (
        storage.read("README.md").decode()
    )


def test_the_card_lists_kinds_of_hardware_where_there_are_several(tmp_path):
    one, other = make_result(PLAN[0], hardware="B"), make_result(PLAN[1], hardware="A")
    mixed = _write(tmp_path / "mixed", [one, other]).read("README.md").decode()
    line = (
        "Its shards were made on hardware of 2 kinds, whose bits differ: A, B. "
        "Each shard's marker names its own."
    )
    assert f"\n{line}\n" in mixed
    same = _write(tmp_path / "same", [one]).read("README.md").decode()
    assert "hardware" not in same


def test_the_card_counts_the_emotions_that_the_run_shows(tmp_path):
    schema = replace(SCHEMA, categories=label_names(SCHEMA.categories), asked=SCHEMA.categories)
    storage = Storage(str(tmp_path))
    open_run(storage, replace(make_record(), schema=schema), CONFIG, PLAN)
    for shard in PLAN:
        commit_shard(storage, schema, make_result(shard))
    write_card(storage)
    _, header, body = storage.read("README.md").decode().split("---\n", 2)
    assert "'7': contempt" in header
    assert "| sad | 0 | 0 | 0 |" in body
    assert "contempt" not in body
    assert "read tables by `emotion_name` and `split`" in body
