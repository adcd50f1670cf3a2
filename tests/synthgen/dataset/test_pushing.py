"""Pushes to a Hub on loopback by huggingface_hub's own client: whole, resumed, refused."""

import hashlib
import itertools
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading

import datasets
import huggingface_hub
import pytest
from commands import run
from hub_server import READS, WRITES, hub_server
from tiny_dataset import CONFIG, SCHEMA, Range, make_dataset, make_record, make_result

from synthgen.dataset import (
    Storage,
    commit_shard,
    inspect_dataset,
    layout,
    open_run,
    write_card,
)
from synthgen.dataset.merging import Merging, merge
from synthgen.dataset.pushing import Pushing, push, pushing
from synthgen.errors import DatasetError, OutputError, RunError

MANY = tuple(Range("train", number, 2 * number, 2 * number + 2) for number in range(12))
FILES = 14
"""Files of the tiny dataset: three shards of two files and a marker, and five beside."""


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """Start a Hub that the client of this process and of others takes for the real one."""
    with hub_server() as hub:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
        pages = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", pages)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
        monkeypatch.setenv("HF_TOKEN", WRITES)
        yield hub


@pytest.fixture
def dataset(tmp_path):
    make_dataset(str(tmp_path / "dataset"))
    return tmp_path / "dataset"


def go(dataset, repo="acme/faces", **options):
    return push(Pushing(dataset=str(dataset), repo=repo, **options))


def own_files(dataset):
    """Return name → content of what belongs on the Hub, but for the card."""
    return {
        name: path.read_bytes()
        for path in dataset.rglob("*")
        if path.is_file() and (name := path.relative_to(dataset).as_posix()) != layout.CARD
    }


def assert_there(hub, dataset, repo="acme/faces", revision="main"):
    there = hub.files(repo, revision)
    card = (dataset / layout.CARD).read_text().replace("path/of/this/folder", repo)
    assert there == {**own_files(dataset), layout.CARD: card.encode()}


def test_a_dataset_goes_up_whole_in_one_commit_the_card_last(hub, dataset, tmp_path):
    found = go(dataset)
    assert (found.files, found.sent, found.rows) == (FILES, FILES, {"train": 6, "test": 2})
    assert found.address == f"{hub.url}/datasets/acme/faces"
    assert found.load == 'datasets.load_dataset("acme/faces")'
    assert hub.repos["acme/faces"].private
    assert_there(hub, dataset)
    assert len(hub.commits) == 1
    ranks = [name.split("/")[0] for name in hub.commits[0]]
    assert [name for name, _ in itertools.groupby(ranks)] == [
        *("data", "rejects", "assets", ".synthgen"),
        *(layout.CROISSANT, layout.CARD),
    ]
    assert hub.commits[0][-4:-2] == [layout.CONFIG, layout.RUN]
    back = hub.save("acme/faces", tmp_path / "back")
    assert inspect_dataset(str(back)).problems == ()
    loaded = datasets.load_dataset(str(back), cache_dir=str(tmp_path / "cache"))
    assert {split: len(loaded[split]) for split in loaded} == {"train": 6, "test": 2}


READ = """
import datasets
from synthgen.dataset import inspect_dataset

loaded = datasets.load_dataset("acme/faces")
print({split: (len(rows), rows[0]["image"].size) for split, rows in loaded.items()})
print(len(datasets.load_dataset("acme/faces", "rejects", split="train")))
print(inspect_dataset("hf://datasets/acme/faces").problems)
"""


def test_what_was_pushed_is_read_from_the_hub(hub, dataset, tmp_path):
    go(dataset)
    variables = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", READ],
        env={**os.environ, **variables, "HF_DATASETS_OFFLINE": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "{'train': (6, (8, 8)), 'test': (2, (8, 8))}",
        "2",
        "()",
    ], done.stderr


def test_what_is_there_is_not_sent_again(hub, dataset):
    go(dataset)
    before = len(hub.seen)
    found = go(dataset)
    assert (found.sent, found.size, found.deleted) == (0, 0, ())
    assert not [request for request in hub.seen[before:] if "preupload" in request]
    (dataset / layout.PICTURE).write_bytes(b"another picture")
    sent = len(hub.sent)
    assert go(dataset).sent == 1
    assert hub.commits[1:] == [[layout.PICTURE]]
    assert hub.sent[sent:] == [hashlib.sha256(b"another picture").hexdigest()]


def test_only_the_datasets_own_files_go_up(hub, dataset):
    (dataset / "data/train-00000.c2pa").write_bytes(b"signed")
    before = own_files(dataset)
    for name in (
        *("notes.txt", "data/copy of train-00000.parquet", "mine/train-00000.parquet"),
        *("data/.tmp-0123456789abcdef-train-00002.parquet", "data/train-00007.parquet"),
        *("data/train-00007.c2pa", layout.INDEX, ".synthgen/shards/notes.json", ".env"),
    ):
        (dataset / name).parent.mkdir(exist_ok=True)
        (dataset / name).write_bytes(b"none of the dataset")
    go(dataset)
    assert {*hub.files("acme/faces")} == {*before, layout.CARD}


def test_a_push_that_is_refused_in_the_middle_leaves_nothing_and_goes_on(hub, tmp_path):
    make_dataset(str(tmp_path / "dataset"), MANY)
    hub.gate = lambda what, number: 403 if what == "file" and number >= 8 else None
    with pytest.raises(RunError, match=r"; what was sent stays, and the same command sends the r"):
        go(tmp_path / "dataset")
    assert (hub.files("acme/faces"), hub.commits) == ({}, [])
    before = len(hub.sent)
    assert before >= 8
    hub.gate = lambda what, number: None
    go(tmp_path / "dataset")
    assert_there(hub, tmp_path / "dataset")
    assert len(hub.sent) == len(set(hub.sent)) == len(hub.large) > before


def test_a_push_that_is_killed_leaves_nothing_and_goes_on(hub, tmp_path):
    make_dataset(str(tmp_path / "dataset"), MANY)
    reached, killed = threading.Event(), threading.Event()

    def stop(what, number):
        if number >= 9:
            reached.set()
            killed.wait(60)
            return 403  # whoever sent it is gone
        return None

    hub.gate = stop
    command = ["-m", "synthgen", "push", str(tmp_path / "dataset"), "acme/faces"]
    variables = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
    with subprocess.Popen(
        [sys.executable, *command], env={**os.environ, **variables}, stderr=subprocess.DEVNULL
    ) as process:
        assert reached.wait(60)
        process.send_signal(signal.SIGKILL)
    killed.set()
    assert (hub.files("acme/faces"), hub.commits) == ({}, [])
    sent = list(hub.sent)
    hub.gate = lambda what, number: None
    go(tmp_path / "dataset")
    assert_there(hub, tmp_path / "dataset")
    assert sent
    assert len(hub.sent) == len(hub.large)


def test_ctrl_c_ends_in_a_sentence(hub, dataset):
    waits = threading.Lock()

    def stop(what, number):
        if waits.acquire(blocking=False):
            os.kill(os.getpid(), signal.SIGINT)
        return 403

    hub.gate = stop
    code, said, error = run("push", dataset, "acme/faces")
    assert (code, said) == (130, "")
    assert error.endswith("stopped; what was sent stays, the same command sends the rest\n")
    assert hub.files("acme/faces") == {}


def test_many_files_are_committed_in_order_and_the_card_with_the_last(hub, dataset, monkeypatch):
    monkeypatch.setattr(pushing, "_COMMIT_FILES", 5)
    hub.gate = lambda what, number: 500 if what == "commit" and number == 2 else None
    with pytest.raises(RunError) as refused:
        go(dataset)
    assert str(refused.value) == (
        "the Hub refuses to take files of acme/faces (500: not today); what was sent stays, and "
        "the same command sends the rest"
    )
    assert [len(names) for names in hub.commits] == [5, 5]
    assert not {layout.CARD, layout.RUN} & {*hub.files("acme/faces")}
    hub.gate = lambda what, number: None
    sent = len(hub.sent)
    assert go(dataset).sent == 4
    assert hub.commits[2] == [layout.CONFIG, layout.RUN, layout.CROISSANT, layout.CARD]
    assert len(hub.sent) == sent
    assert_there(hub, dataset)


def test_what_a_later_dataset_has_no_more_is_deleted_and_what_others_put_there_stays(
    hub, dataset, tmp_path
):
    other = tmp_path / "other"
    make_dataset(str(other), (*MANY[:3], Range("test", 0, 0, 2)))
    go(other)
    hub.repos["acme/faces"].branches["main"][-1]["data/mine.parquet"] = ("regular", b"mine")
    found = go(dataset)
    gone = (".synthgen/shards/train-00002.json", *_shard_files("train", 2))
    assert sorted(found.deleted) == sorted(gone)
    assert hub.files("acme/faces").pop("data/mine.parquet") == b"mine"
    assert {*gone} <= {*hub.commits[-1]}
    assert {*hub.files("acme/faces")} == {*own_files(dataset), layout.CARD, "data/mine.parquet"}


def _shard_files(split, number):
    return layout.data_file(split, number), layout.reject_file(split, number)


def test_branches_and_pull_requests(hub, dataset, monkeypatch):
    monkeypatch.setattr(pushing, "_COMMIT_FILES", 5)
    found = go(dataset, revision="v2")
    assert found.load == 'datasets.load_dataset("acme/faces", revision="v2")'
    assert found.address == f"{hub.url}/datasets/acme/faces/tree/v2"
    assert_there(hub, dataset, revision="v2")
    assert hub.files("acme/faces") == {}
    found = go(dataset, create_pr=True)
    assert found.address == f"{hub.url}/datasets/acme/faces/discussions/1"
    assert found.load == 'datasets.load_dataset("acme/faces", revision="refs/pr/1")'
    assert_there(hub, dataset, revision="refs/pr/1")
    assert (hub.files("acme/faces"), hub.repos["acme/faces"].pull_requests) == ({}, 1)
    with pytest.raises(OutputError, match=r"^acme/faces has no revision refs/pr/7$"):
        go(dataset, revision="refs/pr/7")


def test_datasets_behind_urls_and_merged_ones_go_up(hub, dataset, tmp_path, monkeypatch):
    (tmp_path / "copies").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "copies"))
    files = Storage("memory://pushed/dataset")._filesystem
    files.put(f"{dataset}/", "/pushed/dataset/", recursive=True)
    assert go("memory://pushed/dataset").sent == FILES
    assert_there(hub, dataset)
    assert not list((tmp_path / "copies").iterdir())
    name = f"/pushed/dataset/{layout.data_file('train', 0)}"
    whole = files.cat_file(name)
    files.pipe_file(name, whole[:-1] + b"x")
    sent = len(hub.sent)
    with pytest.raises(DatasetError, match=r"^data/train-00000\.parquet of memory://pushed/datase"):
        go("memory://pushed/dataset", "acme/again")
    assert (len(hub.sent), hub.files("acme/again")) == (sent, {})
    merge(Merging(sources=[str(dataset)], to=str(tmp_path / "merged")))
    assert go(tmp_path / "merged", "acme/merged").rows == {"train": 6, "test": 2}
    assert inspect_dataset(str(hub.save("acme/merged", tmp_path / "back"))).problems == ()
    with pytest.raises(OutputError, match=r"^acme/merged holds the dataset of run \w+, and this i"):
        go(dataset, "acme/merged")


def test_an_unfinished_dataset_is_refused_and_pushed_in_part_with_a_card_of_that(hub, tmp_path):
    url = str(tmp_path / "dataset")
    plan = (Range("train", 0, 0, 4), Range("train", 1, 4, 6))
    open_run(Storage(url), make_record(6), CONFIG, plan)
    with pytest.raises(DatasetError, match=r"holds no finished sample; nothing to push$"):
        go(url, partial=True)
    commit_shard(Storage(url), SCHEMA, make_result(plan[0]))
    with pytest.raises(DatasetError) as refused:
        go(url)
    assert str(refused.value) == (
        f"{url} is not finished: its run has 4 of 6 samples; `synthgen generate` with its "
        "configuration makes the others, or --partial pushes what is there"
    )
    assert hub.repos == {}
    assert go(url, partial=True).rows == {"train": 4}
    back = hub.save("acme/faces", tmp_path / "back")
    loaded = datasets.load_dataset(str(back), cache_dir=str(tmp_path / "cache"))
    assert {split: len(loaded[split]) for split in loaded} == {"train": 4}
    assert not (tmp_path / "dataset" / layout.CARD).exists()


def test_a_damaged_dataset_and_a_card_of_other_data_are_refused(hub, dataset):
    card = (dataset / layout.CARD).read_text()
    (dataset / layout.CARD).write_text(re.sub("checksum .{16}", "checksum 0123456789abcdef", card))
    (dataset / layout.CROISSANT).unlink()
    with pytest.raises(DatasetError) as refused:
        go(dataset)
    assert str(refused.value) == (
        "README.md is of other data (its checksum is 0123456789abcdef); croissant.json is missing; "
        f"`synthgen repair {dataset}` writes both again"
    )
    write_card(Storage(str(dataset)))
    assert (dataset / layout.CARD).read_text() == card
    data = dataset / layout.data_file("test", 0)
    whole = data.read_bytes()
    data.write_bytes(whole[:-1] + b"x")
    with pytest.raises(DatasetError) as refused:
        go(dataset)
    assert str(refused.value) == (
        f"{dataset} is not whole: data/test-00000.parquet has sha256 "
        f"{hashlib.sha256(data.read_bytes()).hexdigest()[:12]}…; its marker says "
        f"{hashlib.sha256(whole).hexdigest()[:12]}…; `synthgen generate` with its configuration "
        "makes the shards again"
    )
    assert hub.seen == []
    data.write_bytes(whole)
    go(dataset)
    assert_there(hub, dataset)


def test_a_dataset_that_changes_meanwhile_is_not_committed(hub, dataset):
    marker = dataset / layout.marker_file("test", 0)
    changed = threading.Lock()

    def change(what, number):
        if changed.acquire(blocking=False):
            marker.write_bytes(marker.read_bytes().replace(b"0.25", b"0.5"))

    hub.gate = change
    with pytest.raises(DatasetError, match=r" changed while it was pushed, by another run or merg"):
        go(dataset)
    assert hub.files("acme/faces") == {}


@pytest.mark.parametrize(
    ("repo", "text"),
    [
        ("faces", "REPO 'faces' does not say whose it is: {give}"),
        ("datasets/acme/faces", "REPO 'datasets/acme/faces': leave out 'datasets/'; {give}"),
        (
            "spaces/acme/faces",
            "REPO 'spaces/acme/faces' names a space; a push writes datasets alone: {give}",
        ),
        ("https://hf.co/a/b", "REPO 'https://hf.co/a/b' is no repository: {give}"),
        (
            "acme/fa--ces",
            "REPO 'acme/fa--ces' is no repository: Cannot have -- or .. in repo_id; {give}",
        ),
    ],
)
def test_a_name_of_no_dataset_is_refused(hub, dataset, repo, text):
    give = "give OWNER/NAME of letters, digits, '-', '_' and '.', such as acme/faces"
    code, _, error = run("push", dataset, repo, "--dry-run")
    assert (code, error) == (2, f"error: {text.format(give=give)}\n")
    assert hub.seen == []


def refused(dataset, *arguments):
    """Return exit code and last line of a push that is refused, which holds no token."""
    code, said, error = run("push", dataset, *arguments)
    assert not {WRITES, READS} & {*(said + error).split()}
    assert said == ""
    return code, error.splitlines()[-1]


def test_who_may_not_write_is_told_in_a_sentence(hub, dataset, monkeypatch):
    assert refused(dataset, "other/faces") == (
        2,
        "error: the Hub does not let the token in HF_TOKEN write to other/faces (you don't have "
        "the rights to write to other); it needs the right to write there",
    )
    hub.add("acme/faces")
    monkeypatch.setenv("HF_TOKEN", READS)
    code, line = refused(dataset, "acme/faces")
    assert (code, line.split(" (")[0]) == (
        3,
        "error: the Hub does not let the token in HF_TOKEN write to acme/faces",
    )
    monkeypatch.setenv("HF_TOKEN", "hf_nobody_has_this_one")
    assert refused(dataset, "acme/faces") == (
        2,
        "error: the Hub does not know the token in HF_TOKEN; log in anew by `hf auth login`",
    )
    monkeypatch.delenv("HF_TOKEN")
    seen = len(hub.seen)
    assert refused(dataset, "acme/faces") == (
        2,
        "error: no token of the Hugging Face Hub is on this machine: log in by `hf auth login`, "
        "or give the token in the environment (HF_TOKEN)",
    )
    assert len(hub.seen) == seen
    assert hub.files("acme/faces") == {}


def test_what_everybody_sees_wants_a_word(hub, dataset):
    hub.add("acme/faces", private=False)
    assert refused(dataset, "acme/faces") == (
        2,
        "error: everybody may see acme/faces; say --public to push there, make it private in its "
        "settings on the Hub, or name another repository",
    )
    assert hub.files("acme/faces") == {}
    code, said, _ = run("push", dataset, "acme/faces", "--public")
    assert (code, said.splitlines()[1:]) == (
        0,
        [
            f"look at it: {hub.url}/datasets/acme/faces",
            'load it: datasets.load_dataset("acme/faces")',
        ],
    )
    go(dataset, "acme/new", public=True)
    assert not hub.repos["acme/new"].private
    hub.add("acme/mine")
    assert go(dataset, "acme/mine", public=True).notes == (
        "acme/mine was private before and stays so; its settings on the Hub publish it",
    )


def test_another_dataset_or_card_is_replaced_only_when_asked(hub, dataset, tmp_path):
    hub.add("acme/faces", **{"README.md": b"# My faces\n"})
    or_else = "name another repository, or say --replace to put this dataset in its place"
    assert refused(dataset, "acme/faces") == (
        2,
        f"error: acme/faces has a README.md that is none of a dataset of synthgen; {or_else}",
    )
    assert run("push", dataset, "acme/faces", "--replace")[0] == 0
    assert_there(hub, dataset)
    other = tmp_path / "other"
    plan = (Range("train", 0, 0, 2),)
    open_run(Storage(str(other)), make_record(2, seed=8), CONFIG, plan)
    commit_shard(Storage(str(other)), SCHEMA, make_result(plan[0]))
    write_card(Storage(str(other)))
    with pytest.raises(OutputError, match=r"^acme/faces holds the dataset of run \w{8}, and this "):
        go(other)


def test_a_commit_of_somebody_else_and_rules_that_keep_files_out_are_told(hub, dataset):
    def interfere(what, number):
        if what == "file":
            hub.repos["acme/faces"].branches["main"].append({"x": ("regular", b"theirs")})

    hub.gate = interfere
    with pytest.raises(RunError) as told:
        go(dataset)
    assert str(told.value) == (
        "somebody else has committed to acme/faces meanwhile; what was sent stays, and the same "
        "command sends the rest"
    )
    hub.gate = lambda what, number: None
    hub.ignored = (layout.CROISSANT,)
    with pytest.raises(RunError) as told:
        go(dataset, "acme/again")
    assert str(told.value) == (
        "the repository lacks croissant.json after the push; a .gitignore or somebody else there "
        "may keep them out"
    )


def test_a_hub_that_does_not_answer_is_told_in_a_sentence(hub, dataset, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    assert refused(dataset, "acme/faces") == (
        2,
        "error: the Hub (http://127.0.0.1:9) does not answer: [Errno 111] Connection refused",
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert refused(dataset, "acme/faces") == (
        2,
        "error: HF_HUB_OFFLINE is set, so that the Hub is not asked; unset it to push",
    )


def test_a_card_that_the_hub_does_not_take_is_told_before_anything_is_sent(hub, dataset):
    card = dataset / layout.CARD
    card.write_text(card.read_text().replace("pretty_name: tiny\n", ""))
    assert refused(dataset, "acme/faces")[1].startswith(
        "error: the Hub does not take the header of README.md: "
    )
    assert hub.repos == {}


def test_a_dry_run_lists_all_and_asks_nothing(hub, dataset, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    (dataset / "notes.txt").write_text("mine")
    code, said, _ = run("push", dataset, "acme/faces", "--dry-run", "--revision", "v2")
    lines = said.splitlines()
    assert code == 0
    assert [line.split()[1] for line in lines[:FILES]] == [
        *(layout.data_file(*key) for key in (("train", 0), ("train", 1), ("test", 0))),
        *(layout.reject_file(*key) for key in (("train", 0), ("train", 1), ("test", 0))),
        layout.PICTURE,
        *(layout.marker_file(*key) for key in (("train", 0), ("train", 1), ("test", 0))),
        *(layout.CONFIG, layout.RUN, layout.CROISSANT, layout.CARD),
    ]
    size = sum(int(line.split()[0].replace(",", "")) for line in lines[:FILES])
    assert lines[FILES].startswith(f"14 files, {size:,} bytes: 8 samples (train 6, test 2) of run ")
    assert lines[FILES + 1 :] == [
        "stays here: notes.txt",
        f"to: dataset acme/faces at {hub.url}, private, branch v2",
        "there: files of these names are replaced, files of an earlier push that the dataset has "
        "no more are deleted, all others stay",
        "nothing was sent: the Hub was not asked what it has already",
    ]
    assert hub.seen == []
    code, _, error = run(
        "push", dataset, "acme/faces", "--dry-run", "--revision", "v2", "--create-pr"
    )
    assert (code, error) == (
        2,
        "error: --create-pr opens a pull request against the main branch, and --revision names v2; "
        "leave one of the two out\n",
    )
