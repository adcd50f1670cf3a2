import logging

from tiny_markers import marker_of

from cluster.progress import Progress


def _events(caplog):
    keys = ("samples_settled", "samples_asked", "shards_whole", "shards")
    return [
        (record.event, *(getattr(record, key) for key in keys))
        for record in caplog.records
        if hasattr(record, "samples_settled")
    ]


def test_progress_is_a_bar_for_people(capsys):
    with Progress(20, 5) as progress:
        progress.start(4, 1)
        progress.committed(marker_of(1))
        progress.tick({"judged": 8, "accepted": 6})
    last = capsys.readouterr().err.rpartition("\r")[2]
    assert last.startswith("2/5 shards:  40%|")
    assert "8/20" in last
    assert "75% of images kept" in last


def test_progress_is_events_for_programs(capsys, caplog):
    with caplog.at_level(logging.INFO, "cluster"), Progress(8, 2, "json") as progress:
        progress.start(4, 1)
        progress.tick({"judged": 8, "accepted": 6})
        progress.committed(marker_of(1, worker="node-1:7"))
    assert capsys.readouterr().err == ""
    assert _events(caplog) == [("run_started", 4, 8, 1, 2), ("run_finished", 8, 8, 2, 2)]
    (committed,) = (record for record in caplog.records if record.event == "shard_committed")
    assert (committed.shard, committed.rows, committed.worker) == ("train-00001", 4, "node-1:7")
    assert committed.getMessage() == "train-00001 is committed: 4 samples from 5 images"


def test_a_run_that_ends_early_is_stopped(caplog):
    with caplog.at_level(logging.INFO, "cluster"), Progress(8, 2, "json") as progress:
        progress.start(0, 0)
    assert [event[0] for event in _events(caplog)] == ["run_started", "run_stopped"]
