from pathlib import Path

from tiny_markers import CONFIG, marker_of

from cluster.driver import summarise
from synthgen.config import parse_config
from synthgen.report.run_summary import describe_run


def test_the_summary_names_the_stage_that_held_the_run_back():
    marker = marker_of(
        0,
        started="2026-11-21T09:00:00+00:00",
        finished="2026-11-21T09:00:10+00:00",
        worker="node-1:7",
        seconds={"paint": 4.0, "measure": 9.6},
    )
    assert describe_run(parse_config(CONFIG), summarise([marker])).splitlines() == [
        "out: 4 samples from 5 images (80% kept)",
        "rejected: 1 inactive",
        "speed: 0.5 images/s, 0.00278 worker hours",
        "held back by: measure (busy: paint 40%, measure 96% of the workers' time)",
        f'load it: datasets.load_dataset("{Path.cwd()}/out")',
    ]
