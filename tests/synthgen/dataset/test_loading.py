import shutil
import uuid
from pathlib import Path

import datasets
import pytest
from tiny_dataset import make_dataset

from pipelines.training.data.examples import open_rows
from samplers.identities.store_tables import read_dataset
from synthgen.dataset import Storage, check_output
from synthgen.dataset.loading import load_call
from synthgen.errors import DatasetError, OutputError, StoreError

DIGITS = "[0-9]" * 5


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def _loaded(call):
    return {split: rows["sample_id"][:] for split, rows in eval(call).items()}


def _ids(*indices):
    return [f"sample-{index:08d}" for index in indices]


@pytest.mark.parametrize(
    "name",
    [
        *("deep/out", "./out", "a[1]b", "run*", "run?", "[!x]", "~", "~no-such-user", "sp ace"),
        *("it's", 'say "so"', "C:\\data\\out", "ünï-顔-😀", "{a,b}", "%41"),
        *("$nobody", "parquet", "out.py"),
    ],
)
def test_what_is_printed_loads_this_dataset_alone(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for sibling in {"run*": ["run1"], "run?": ["run2"], "a[1]b": ["a1b"]}.get(name, []):
        make_dataset(sibling)
    call = load_call(make_dataset(name))
    assert _loaded(call) == {"train": _ids(*range(6)), "test": _ids(1000, 1001)}


def test_patterns_in_the_folder_above_and_behind_a_link_are_seen(tmp_path, monkeypatch):
    (tmp_path / "set [1]").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "set [1]")
    make_dataset(str(tmp_path / "set [1]" / "out"))
    escaped = f"{tmp_path}/set [[]1]/out/data"
    call = (
        f'datasets.load_dataset("parquet", data_files={{"train": "{escaped}/train-{DIGITS}.parquet"'
        f', "test": "{escaped}/test-{DIGITS}.parquet"}})'
    )
    monkeypatch.chdir(tmp_path / "set [1]")
    assert load_call(Storage("out")) == call
    assert load_call(Storage(str(tmp_path / "link" / "out"))) == call
    assert len(_loaded(call)["train"]) == 6


def test_a_dataset_behind_a_url_is_loaded_by_its_files(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)  # it asks nobody outside
    url = f"memory://{uuid.uuid4()}/out"
    call = load_call(make_dataset(url))
    assert f'"train": "{url}/data/train-{DIGITS}.parquet"' in call
    assert _loaded(call)["test"] == _ids(1000, 1001)


def test_plain_paths_are_shown_as_they_were_given(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert load_call(Storage("out/faces")) == 'datasets.load_dataset("out/faces")'
    assert load_call(Storage("faces")) == f'datasets.load_dataset("{tmp_path}/faces")'
    assert load_call(Storage("/a/b")) == 'datasets.load_dataset("/a/b")'
    monkeypatch.setenv("HOME", "/home/me")
    assert load_call(Storage("~/faces")) == 'datasets.load_dataset("/home/me/faces")'


@pytest.mark.parametrize(
    "card", [None, b"", b"---\n- 1\n---\n", b"---\n: [\n---\n", b"---\nconfigs: []\n---\n", b"\xff"]
)
def test_a_card_that_names_no_files_is_told(tmp_path, card):
    storage = make_dataset(str(tmp_path / "a*b"))
    storage.delete("README.md")
    told = f"README.md is missing in {storage.url}"
    if card is not None:
        storage.write("README.md", card)
        told = (
            f"README.md of {storage.url} names no data files; run `synthgen generate` with its "
            "configuration, which writes the card again"
        )
    with pytest.raises(DatasetError) as caught:
        load_call(storage)
    assert str(caught.value) == told


def test_shards_that_are_links_count_as_files(tmp_path):
    """As in the cache of the Hub, whose files are links."""
    make_dataset(str(tmp_path / "out"))
    for file in [path for path in Path(tmp_path / "out").rglob("*") if path.is_file()]:
        blob = tmp_path / uuid.uuid4().hex
        shutil.move(file, blob)
        file.symlink_to(blob)
    storage = Storage(str(tmp_path / "out"))
    assert storage.names("data") == [
        "data/test-00000.parquet",
        "data/train-00000.parquet",
        "data/train-00001.parquet",
    ]
    (tmp_path / "out" / "data" / "gone.parquet").symlink_to(tmp_path / "nowhere")
    assert "data/gone.parquet" not in storage.names("data")


@pytest.mark.parametrize("name", ["$SET", "a ${SET} b", "x$SET/out"])
def test_a_folder_that_nothing_loads_is_refused_before_work(tmp_path, monkeypatch, name):
    monkeypatch.setenv("SET", "value")
    with pytest.raises(OutputError) as caught:
        check_output(Storage(str(tmp_path / name)), {}, 8)
    assert str(caught.value) == (
        f"datasets.load_dataset could not load what is written to {tmp_path}/{name}: it puts "
        "variables of the environment in place of their names there; choose another output.path"
    )


def test_two_colons_are_refused_in_a_path_and_above_it(tmp_path, monkeypatch):
    with pytest.raises(OutputError) as caught:
        Storage("a::b")
    assert str(caught.value) == (
        "cannot open 'a::b': '::' chains URLs, and a dataset lies in one place; give a folder or a "
        "URL without it"
    )
    (tmp_path / "a::b").mkdir()
    monkeypatch.chdir(tmp_path / "a::b")
    with pytest.raises(OutputError) as caught:
        check_output(Storage("out"), {}, 8)
    assert str(caught.value) == (
        f"datasets.load_dataset could not load what is written to {tmp_path}/a::b/out: it takes "
        "'::' for a chain of URLs there; choose another output.path"
    )


def test_other_readers_refuse_a_folder_whose_path_is_a_pattern(tmp_path):
    folder = tmp_path / "run*"
    make_dataset(str(folder))
    make_dataset(str(tmp_path / "run1"))
    fault = (
        f"`datasets` takes '*' in the full path {folder} for a pattern, and would read other "
        "folders' files; move it, or give the folder above another name"
    )
    with pytest.raises(DatasetError) as caught:
        open_rows(str(folder), None, "train")
    assert str(caught.value) == f"the dataset {folder} (train) cannot be opened: {fault}"
    with pytest.raises(StoreError) as caught:
        read_dataset(folder, None)
    assert str(caught.value) == f"{folder} cannot be read as a dataset: {fault}"
    assert len(open_rows(str(tmp_path / "run1"), None, "train")) == 6
