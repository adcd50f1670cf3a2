import hashlib
import json
import shutil
import uuid
from dataclasses import replace

import pytest
from tiny_dataset import CONFIG, PLAN, SCHEMA, Range, make_dataset, make_record, make_result

from synthgen.dataset import Storage, check_output, commit_shard, layout, open_run, read_record
from synthgen.dataset.layout import shard_of
from synthgen.dataset.markers import parse_marker
from synthgen.errors import DatasetError, OutputError
from synthgen.report.comparison import stored_config

ALL = frozenset((shard.split, shard.number) for shard in PLAN)
MARKER = ".synthgen/shards/train-00001.json"


def _tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _timeless_tree(folder):
    """Return the tree with markers that do not say when they were made."""
    tree = _tree(folder)
    for name in tree:
        if shard_of(name) and name.endswith(".json"):
            marker = parse_marker(name, tree[name])
            tree[name] = replace(marker, finished="", seconds={}).to_json()
    return tree


@pytest.fixture
def dataset(tmp_path):
    make_dataset(str(tmp_path))
    return tmp_path


def _open(folder, samples=8, plan=PLAN, overwrite=False, **configuration):
    record = make_record(samples, **configuration)
    return open_run(Storage(str(folder)), record, CONFIG, plan, overwrite=overwrite).keys()


def _check(folder, samples=8, overwrite=False, **configuration):
    wanted = make_record(samples, **configuration).configuration
    check_output(Storage(str(folder)), wanted, samples, overwrite=overwrite)


def _refused(folder, error, *, early=True, **arguments):
    """Return why a run is refused, early too, having seen that nothing was touched."""
    before = _tree(folder)
    with pytest.raises(error) as caught:
        _open(folder, **arguments)
    if early:
        with pytest.raises(error) as caught_early:
            _check(folder, **arguments)
        assert str(caught_early.value) == str(caught.value)
    assert _tree(folder) == before
    return str(caught.value)


@pytest.mark.parametrize("make", [True, False])
def test_an_empty_or_absent_folder_becomes_a_dataset(tmp_path, make):
    folder = tmp_path / "deep" / "out"
    if make:
        folder.mkdir(parents=True)
    assert _open(folder) == set()
    storage = Storage(str(folder))
    assert read_record(storage) == make_record()
    assert storage.read(".synthgen/config.yaml").decode() == CONFIG
    assert sorted(_tree(folder)) == [".synthgen/config.yaml", ".synthgen/run.json"]


def test_a_run_begins_and_continues_in_memory():
    url = f"memory://{uuid.uuid4()}/out"
    storage = make_dataset(url)
    assert open_run(storage, make_record(), CONFIG, PLAN).keys() == ALL


def test_an_equal_run_continues_and_keeps_its_record(dataset):
    before = _tree(dataset)
    later = replace(make_record(), created="2027-01-01T00:00:00+00:00", git_revision=None)
    assert open_run(Storage(str(dataset)), later, CONFIG, PLAN).keys() == ALL
    assert _tree(dataset) == before


def test_other_weights_or_versions_are_refused(dataset):
    other = replace(make_record(), identity={**make_record().identity, "weights": {}})
    with pytest.raises(OutputError, match=r"otherwise \(weights\.au_net\.safetensors: \"aaa"):
        open_run(Storage(str(dataset)), other, CONFIG, PLAN)


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_early_check_lets_pass_what_can_be_opened(dataset, overwrite):
    _check(dataset, overwrite=overwrite)
    _check(dataset, samples=9, overwrite=overwrite)
    _check(dataset / "new", overwrite=overwrite)
    _check(dataset, samples=1, seed=8, overwrite=True)


def test_more_samples_continue_and_shards_that_grew_are_not_finished(dataset):
    plan = (PLAN[0], Range("train", 1, 4, 8), Range("train", 2, 8, 9), PLAN[2])
    assert _open(dataset, samples=11, plan=plan) == ALL - {("train", 1)}
    assert not (dataset / MARKER).exists()
    assert read_record(Storage(str(dataset))).samples == 11
    assert read_record(Storage(str(dataset))).created == make_record().created


def test_rows_stay_where_a_run_is_extended(dataset):
    first = (dataset / "data/train-00000.parquet").read_bytes()
    plan = (PLAN[0], Range("train", 1, 4, 8), PLAN[2])
    _open(dataset, samples=10, plan=plan)
    commit_shard(Storage(str(dataset)), SCHEMA, make_result(plan[1]))
    assert _open(dataset, samples=10, plan=plan) == ALL
    assert (dataset / "data/train-00000.parquet").read_bytes() == first


def test_a_resolved_configuration_that_changed_elsewhere_is_stored(dataset):
    open_run(Storage(str(dataset)), make_record(), "cluster: {actors: 2}\n", PLAN)
    assert (dataset / ".synthgen/config.yaml").read_text() == "cluster: {actors: 2}\n"


def test_another_identity_is_refused_with_its_differences(dataset):
    text = _refused(dataset, OutputError, seed=8, pipeline={"name": "procedural", "batch_size": 8})
    assert text == (
        f"{dataset} holds a dataset that was made otherwise (seed: 7 → 8; "
        "pipeline.batch_size: 16 → 8); choose another output.path, or start anew with --overwrite"
    )


def test_a_dataset_of_an_earlier_version_is_not_continued(dataset):
    record = json.loads((dataset / layout.RUN).read_bytes())
    del record["data_version"]
    (dataset / layout.RUN).write_text(json.dumps(record))
    for samples in (8, 12):
        assert _refused(dataset, OutputError, samples=samples) == (
            f"{dataset} was begun by an earlier version (synthgen 0.1.0, revision 0123abc), which "
            "orders labels and deals people of prompts out to splits in another way; continue it "
            "with that one, choose another output.path, or start anew with --overwrite"
        )
    assert _open(dataset, overwrite=True) == set()
    assert json.loads((dataset / layout.RUN).read_bytes())["data_version"] == 2


def test_a_run_of_plain_ids_is_continued_by_asking_for_them(dataset):
    old = make_record().configuration["output"]
    assert _refused(dataset, OutputError, output={**old, "ids": "run"}) == (
        f"{dataset} was begun with output.ids: plain; continue it so, choose another output.path, "
        "or start anew with --overwrite"
    )
    assert _open(dataset, output=old) == ALL


def test_only_the_first_differences_are_shown(dataset):
    text = _refused(dataset, OutputError, **{f"key{number}": number for number in range(7)})
    assert "key4: nothing → 4; and 2 more);" in text
    assert "key5" not in text


def test_fewer_samples_are_refused_with_both_numbers(dataset):
    assert _refused(dataset, OutputError, samples=6) == (
        f"{dataset} holds a run of 8 samples and samples is 6; a run can be extended but not cut: "
        "raise samples, or start anew with --overwrite"
    )


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "name", ["notes.txt", "data/train-00000.parquet", ".synthgen/config.yaml", ".synthgen/x/y"]
)
def test_a_folder_that_is_not_ours_is_refused(tmp_path, name, overwrite):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("mine")
    shown = {"data/train-00000.parquet": "data", ".synthgen/x/y": ".synthgen/x"}.get(name, name)
    assert _refused(tmp_path, OutputError, overwrite=overwrite) == (
        f"{tmp_path} holds files that are not a synthgen dataset (such as {shown}); "
        "choose another output.path"
    )


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError) as caught:
        _open(tmp_path / "file")
    assert str(caught.value) == f"{tmp_path}/file is a file; choose a folder for output.path"
    with pytest.raises(OutputError) as caught:
        _open(tmp_path / "file" / "out")
    assert str(caught.value) == (
        f"cannot write .synthgen/run.json in {tmp_path}/file/out: not a directory"
    )


def test_overwriting_deletes_our_files_and_no_others(dataset):
    mine = ["notes.txt", "data/notes.txt", "data/sub/train-00000.parquet", ".synthgen/shards/mine"]
    for name in mine:
        (dataset / name).parent.mkdir(exist_ok=True)
        (dataset / name).write_text("mine")
    (dataset / "data/.tmp-0123456789abcdef-train-00000.parquet").write_text("half")
    assert _open(dataset, overwrite=True, seed=8) == set()
    assert sorted(_tree(dataset)) == sorted([*mine, ".synthgen/run.json", ".synthgen/config.yaml"])
    assert read_record(Storage(str(dataset))).configuration["seed"] == 8


def test_overwriting_mends_a_corrupt_record(dataset):
    (dataset / ".synthgen/run.json").write_text("{")
    assert _refused(dataset, DatasetError).startswith(".synthgen/run.json is corrupt (")
    assert _open(dataset, overwrite=True) == set()
    assert _open(dataset) == set()


def test_what_a_crash_left_is_removed(dataset):
    leftovers = [
        ".tmp-0123456789abcdef-README.md",
        "data/.tmp-0123456789abcdef-train-00001.parquet",
        "rejects/.tmp-0123456789abcdef-train-00001.parquet",
        ".synthgen/.tmp-0123456789abcdef-run.json",
        ".synthgen/shards/.tmp-0123456789abcdef-train-00001.json",
    ]
    before = _tree(dataset)
    for name in leftovers:
        (dataset / name).write_text("half")
    assert _open(dataset) == ALL
    assert _tree(dataset) == before


def test_a_crash_before_the_record_leaves_a_folder_that_can_be_used(tmp_path):
    (tmp_path / ".synthgen").mkdir()
    (tmp_path / ".synthgen/.tmp-0123456789abcdef-run.json").write_text("{")
    assert _open(tmp_path) == set()
    assert sorted(_tree(tmp_path)) == [".synthgen/config.yaml", ".synthgen/run.json"]


def test_a_crash_before_the_configuration_leaves_a_run_that_continues(tmp_path):
    _open(tmp_path)
    (tmp_path / ".synthgen/config.yaml").unlink()
    assert _open(tmp_path) == set()
    assert (tmp_path / ".synthgen/config.yaml").read_text() == CONFIG


def test_a_shard_without_marker_is_not_finished(dataset):
    (dataset / MARKER).unlink()
    assert _open(dataset) == ALL - {("train", 1)}


def _mended(folder, caplog, **arguments):
    """Continue a run; return the shards that are finished, and what is logged."""
    caplog.clear()
    finished = open_run(Storage(str(folder)), make_record(), CONFIG, PLAN, **arguments)
    return finished.keys(), [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("name", ["data/train-00001.parquet", "rejects/train-00001.parquet"])
def test_a_finished_shard_without_its_files_is_made_again(dataset, caplog, name):
    marker = (dataset / MARKER).read_bytes()
    size = (dataset / name).stat().st_size
    (dataset / name).write_bytes(b"short")
    assert _mended(dataset, caplog) == (
        ALL - {("train", 1)},
        [f"a finished shard is made again: {name} has 5 bytes; its marker says {size}"],
    )
    assert not (dataset / MARKER).exists()
    (dataset / MARKER).write_bytes(marker)
    (dataset / name).unlink()
    assert _mended(dataset, caplog) == (
        ALL - {("train", 1)},
        [f"a finished shard is made again: {name} is missing"],
    )


def test_all_that_was_deleted_is_told_and_made_again_at_once(dataset, caplog):
    before = _timeless_tree(dataset)
    shutil.rmtree(dataset / "data")
    (dataset / "rejects/train-00000.parquet").unlink()
    assert _mended(dataset, caplog) == (
        set(),
        [
            "3 finished shards are made again: data/test-00000.parquet is missing; "
            "data/train-00000.parquet is missing; rejects/train-00000.parquet is missing; "
            "data/train-00001.parquet is missing"
        ],
    )
    for shard in PLAN:
        commit_shard(Storage(str(dataset)), SCHEMA, make_result(shard))
    assert _mended(dataset, caplog) == (ALL, [])
    assert _timeless_tree(dataset) == before


def test_a_changed_footer_is_found_by_itself_and_any_byte_by_its_checksum(dataset, caplog):
    file = dataset / "data/train-00001.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:-12] + b"\xff\xff\xff\xff" + whole[-8:])
    said = hashlib.sha256(whole).hexdigest()[:12]
    found = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    finished, (told,) = _mended(dataset, caplog)
    assert finished == ALL - {("train", 1)}
    assert told == (
        f"a finished shard is made again: data/train-00001.parquet has sha256 {found}…; its "
        f"marker says {said}…"
    )
    commit_shard(Storage(str(dataset)), SCHEMA, make_result(PLAN[1]))
    file.write_bytes(b"PAR2" + whole[4:])
    assert _mended(dataset, caplog) == (ALL, [])
    assert _mended(dataset, caplog, verify=True)[0] == ALL - {("train", 1)}


def test_a_failing_store_is_no_damage(dataset, monkeypatch):
    def fail(storage, name):
        raise DatasetError(f"cannot read {name} in {storage.url}: connection refused")

    monkeypatch.setattr(Storage, "sha256", fail)
    before = _tree(dataset)
    with pytest.raises(DatasetError, match="connection refused"):
        open_run(Storage(str(dataset)), make_record(), CONFIG, PLAN, verify=True)
    assert _tree(dataset) == before


def test_the_shards_of_corrupt_markers_are_made_again(dataset, caplog):
    (dataset / MARKER).write_text("")
    (dataset / ".synthgen/shards/test-00000.json").write_text('{"split": "test"}')
    assert _mended(dataset, caplog) == (
        {("train", 0)},
        [
            "2 finished shards are made again: marker .synthgen/shards/test-00000.json is corrupt "
            f"(no 'number'); marker {MARKER} is corrupt (Expecting value: line 1 column 1 (char 0))"
        ],
    )
    assert not (dataset / MARKER).exists()


@pytest.mark.parametrize("shard", [Range("train", 1, 5, 7), Range("train", 1, 4, 5)])
def test_a_shard_that_disagrees_with_the_plan_is_made_again(dataset, caplog, shard):
    plan = (PLAN[0], shard, PLAN[2])
    finished = open_run(Storage(str(dataset)), make_record(), CONFIG, plan)
    assert finished.keys() == ALL - {("train", 1)}
    assert [record.getMessage() for record in caplog.records] == [
        f"a finished shard is made again: marker {MARKER} says samples 4 to 6 and the plan "
        f"{shard.start} to {shard.stop}"
    ]


def test_shards_that_are_not_planned_are_refused(dataset):
    plan = (PLAN[0], Range("train", 2, 4, 6), PLAN[2])
    shutil.copy(dataset / "data/train-00000.parquet", dataset / "data/train-00099.parquet")
    assert _refused(dataset, OutputError, early=False, plan=plan) == (
        f"{dataset} has shards that the plan does not have ({MARKER} says samples 4 to 6; "
        f"data/train-00099.parquet has no marker); let `synthgen repair {dataset}` set them aside"
    )


def test_files_beside_the_shards_are_named(dataset, caplog):
    shutil.copy(dataset / "data/train-00000.parquet", dataset / "data/train-copy.parquet")
    (dataset / "rejects/notes.txt").write_text("mine")
    (dataset / "data/.DS_Store").write_text("hidden")
    assert _mended(dataset, caplog) == (
        ALL,
        [
            "no part of the dataset, though programs that read all files of a folder read it: "
            "data/train-copy.parquet; rejects/notes.txt"
        ],
    )


class _PowerCutError(Exception):
    pass


class _FailingStorage(Storage):
    """A machine that loses power before its n-th change."""

    left = 0

    def write(self, name, data):
        self._use()
        super().write(name, data)

    def delete(self, name):
        self._use()
        super().delete(name)

    def _use(self):
        self.left -= 1
        if self.left < 0:
            raise _PowerCutError


def _run(storage, overwrite=False):
    finished = open_run(storage, make_record(4), CONFIG, PLAN[1:], overwrite=overwrite)
    for shard in PLAN[1:]:
        if (shard.split, shard.number) not in finished:
            commit_shard(storage, SCHEMA, make_result(shard))


def _loses_power(folder, changes, overwrite):
    storage = _FailingStorage(str(folder))
    storage.left = changes
    try:
        _run(storage, overwrite=overwrite)
    except _PowerCutError:
        return True
    return False


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_that_loses_power_anywhere_continues_to_the_same_files(tmp_path, overwrite):
    whole = tmp_path / "whole"
    _run(Storage(str(whole)))
    for changes in range(100):
        folder = tmp_path / str(changes)
        if overwrite:
            shutil.copytree(whole, folder)
        if not _loses_power(folder, changes, overwrite):
            break
        _run(Storage(str(folder)))
        assert _timeless_tree(folder) == _timeless_tree(whole)
    assert _timeless_tree(folder) == _timeless_tree(whole)
    assert changes == (14 if overwrite else 8)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_dataset_that_lost_its_record_is_told_as_such(dataset, overwrite):
    (dataset / ".synthgen/run.json").unlink()
    assert _refused(dataset, OutputError, overwrite=overwrite) == (
        f"the dataset in {dataset} has lost its record .synthgen/run.json; put it back from a "
        f"copy, or let `synthgen repair {dataset}` make it again where it can prove it"
    )


def test_a_copy_without_the_hidden_folder_is_told_as_such(dataset, tmp_path):
    copy = tmp_path / "a copy"
    for name in ("data", "rejects", "assets"):
        shutil.copytree(dataset / name, copy / name)
    shutil.copy(dataset / "README.md", copy)
    told = (
        f"{copy} holds the rows and the card of a dataset without its folder .synthgen (record, "
        "configuration, checksums), which a copy of 'SOURCE/*' leaves out: load_dataset reads it "
        f"as it is; for all else copy the whole folder, as with `cp -a SOURCE/. '{copy}'` or "
        f"`rsync -a SOURCE/ '{copy}'`"
    )
    assert _refused(copy, OutputError) == told
    with pytest.raises(DatasetError) as caught:
        read_record(Storage(str(copy)))
    assert str(caught.value) == told
    with pytest.raises(DatasetError) as caught:
        stored_config(Storage(str(copy)))
    assert str(caught.value) == told


def test_a_lost_configuration_is_told_as_such(dataset):
    (dataset / ".synthgen/config.yaml").unlink()
    with pytest.raises(DatasetError) as caught:
        stored_config(Storage(str(dataset)))
    assert str(caught.value) == (
        f"the dataset in {dataset} has lost .synthgen/config.yaml; `synthgen repair {dataset}` "
        "writes it again from .synthgen/run.json"
    )
