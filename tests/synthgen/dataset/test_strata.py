import pytest
from tiny_dataset import (
    CONFIG,
    HAPPY,
    PLAN,
    SCHEMA,
    make_record,
    make_reject,
    make_result,
    make_row,
)

from synthgen.action_units import AUS
from synthgen.dataset import Storage, commit_shard, open_run, read_statistics, write_card
from synthgen.dataset.strata import Stratum, drifts

BROW = (0.0, 0.0, 3.0, *HAPPY[3:])


def stratum(name="happy", drawn=10, delivered=10, before=0.5, after=0.5):
    rates = [(share, *[0.0] * 11) for share in (before, after)]
    return Stratum(
        name=name,
        asked=None,
        drawn=drawn,
        delivered=delivered,
        drawn_rates=rates[0],
        delivered_rates=rates[1],
    )


def write(folder, rows, rejects, **configuration):
    storage = Storage(str(folder))
    open_run(storage, make_record(4, **configuration), CONFIG, PLAN[:1])
    commit_shard(storage, SCHEMA, make_result(PLAN[0], rows=rows, rejects=rejects))
    return storage


def test_drawn_are_first_specs_and_delivered_are_rows(tmp_path):
    rows = [
        make_row(0),
        make_row(1, attempt=1),
        make_row(2, replacement=1, emotion="sad", aus=BROW),
        make_row(3, accepted=False),
    ]
    rejects = [
        make_reject(1),
        make_reject(2, emotion="sad"),
        make_reject(2, attempt=1, emotion="sad"),
        make_reject(3),
        make_reject(3, attempt=1),
    ]
    storage = write(tmp_path, rows, rejects)
    neutral, happy, sad = read_statistics(storage).strata
    assert (neutral.name, neutral.asked, neutral.drawn, neutral.delivered) == (
        "neutral",
        None,
        0,
        0,
    )
    assert (happy.drawn, happy.delivered) == (3, 3)
    assert (sad.drawn, sad.delivered) == (1, 1)
    assert (sad.drawn_rates[2], sad.delivered_rates[2]) == (0, 1)
    assert [(drift.stratum, drift.au, drift.change) for drift in drifts((happy, sad), AUS)] == [
        ("sad", "AU4", 1.0)
    ]
    write_card(storage)
    assert "| sad | AU4 | 0.0 % | 100.0 % | +100.0 % |" in storage.read("README.md").decode()


def test_quota_cells_are_the_strata_where_there_are_quotas(tmp_path):
    quotas = {"category": {}, "aus": {"AU4": 0.25}, "joint": []}
    rows = [make_row(index) for index in range(3)] + [make_row(3, aus=BROW)]
    slots = {"quotas": {"hair": {"red": 0.9}}}
    configuration = {"expressions": {"quotas": quotas}, "identities": slots}
    storage = write(tmp_path, rows, [], **configuration)
    statistics = read_statistics(storage)
    found = [(s.name, s.asked, s.drawn, s.delivered) for s in statistics.strata]
    assert found == [("AU4 active", 0.25, 1, 1), ("AU4 0", 0.75, 3, 3)]
    assert statistics.slots == {"hair": {"red": 4}}
    write_card(storage)
    card = storage.read("README.md").decode()
    assert "| AU4 active | 25.0 % | 25.0 % | 25.0 % | 1 |" in card
    assert "No AU's rate changed by 0.5 % or more." in card
    assert "| hair | red | 90.0 % | 100.0 % |" in card


def test_drifts_are_sorted_and_small_ones_left_out():
    strata = [
        stratum("a", after=0.504),
        stratum("b", after=0.4),
        stratum("c", after=0.7),
        stratum("d", delivered=0, after=0.0),
    ]
    assert [drift.stratum for drift in drifts(strata, AUS)] == ["c", "b"]
    assert drifts(strata, AUS)[1].change == pytest.approx(-0.1)
