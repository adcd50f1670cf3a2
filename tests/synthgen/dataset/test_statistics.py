import math

import pytest
from tiny_dataset import (
    CONFIG,
    HAPPY,
    PLAN,
    SCHEMA,
    make_dataset,
    make_record,
    make_reject,
    make_result,
    make_row,
)

from synthgen.action_units import au_index
from synthgen.dataset import Storage, commit_shard, open_run, read_markers, read_statistics
from synthgen.dataset.damage import DamagedShardError

NEUTRAL = (0.0,) * 12


def test_counts_are_those_of_the_shards(tmp_path):
    statistics = read_statistics(make_dataset(str(tmp_path)))
    assert list(statistics.rows.items()) == [("train", 6), ("test", 2)]
    assert statistics.total == 8
    assert statistics.rejects == {"train": 2, "test": 1}
    assert statistics.identities == {"train": 6, "test": 2}
    assert statistics.categories["happy"] == {"train": 6, "test": 2}
    assert statistics.categories["sad"] == {"train": 0, "test": 0}
    assert (statistics.attempts, statistics.accepted, statistics.errors) == (11, 8, 0)
    assert statistics.rejected == {"no_face": 3}
    assert statistics.acceptance == pytest.approx(8 / 11)


def test_intensities_are_averaged_where_they_were_asked_for_and_elsewhere(tmp_path):
    storage = Storage(str(tmp_path))
    open_run(storage, make_record(), CONFIG, PLAN)
    weak = (*HAPPY[:6], 2.0, *HAPPY[7:])
    rows = [
        make_row(0, aus=HAPPY, aus_measured=(1.0,) * 12),
        make_row(1, aus=weak, aus_measured=(0.5,) * 12),
        make_row(2, aus=weak, aus_measured=None),
        make_row(3, aus=NEUTRAL, aus_measured=(0.25,) * 12, emotion="neutral"),
    ]
    commit_shard(storage, SCHEMA, make_result(PLAN[0], rows=rows, rejects=[]))
    aus = read_statistics(storage).aus
    smile, brow = aus[au_index("AU12")], aus[au_index("AU4")]
    assert (smile.name, smile.requested) == ("AU12", 3)
    assert smile.mean_requested == pytest.approx((4 + 2 + 2) / 3)
    assert smile.mean_measured == pytest.approx(0.75)
    assert smile.mean_elsewhere == pytest.approx(0.25)
    assert brow.requested == 0
    assert math.isnan(brow.mean_requested)
    assert math.isnan(brow.mean_measured)
    assert brow.mean_elsewhere == pytest.approx((1 + 0.5 + 0.25) / 3)


def test_a_run_without_shards_counts_nothing(tmp_path):
    storage = Storage(str(tmp_path))
    open_run(storage, make_record(), CONFIG, PLAN)
    statistics = read_statistics(storage)
    assert statistics.total == statistics.attempts == 0
    assert math.isnan(statistics.acceptance)


def test_errors_and_missing_samples_are_kept_apart_from_rejects(tmp_path):
    storage = Storage(str(tmp_path))
    open_run(storage, make_record(), CONFIG, PLAN)
    rejects = [make_reject(3, reason="error"), make_reject(1)]
    commit_shard(storage, SCHEMA, make_result(PLAN[0], rejects=rejects, missing=1))
    statistics = read_statistics(storage)
    assert statistics.errors == 1
    assert statistics.rejected == {"no_face": 1}
    assert statistics.rejects == {"train": 2}
    assert statistics.missing == ("sample-00000003",)


def test_a_corrupt_data_file_is_named(tmp_path):
    storage = make_dataset(str(tmp_path))
    storage.write("data/train-00000.parquet", b"not Parquet at all")
    said = read_markers(storage)["train", 0].files["data/train-00000.parquet"].sha256[:12]
    with pytest.raises(DamagedShardError) as caught:
        read_statistics(storage)
    found = storage.sha256("data/train-00000.parquet")[:12]
    assert str(caught.value) == (
        f"data/train-00000.parquet has sha256 {found}…; its marker says {said}…; `synthgen "
        "generate` with the dataset's configuration makes the shard again"
    )
