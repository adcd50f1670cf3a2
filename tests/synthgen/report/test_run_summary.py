from pathlib import Path

from tiny_markers import CONFIG, marker_of

from cluster.driver import summarise
from synthgen.config import parse_config
from synthgen.dataset.markers import ShortStratum
from synthgen.dataset.strata import describe_short
from synthgen.report.run_summary import describe_run


def test_where_nothing_was_kept_there_is_nothing_to_load():
    lack = ShortStratum(asked=4, accepted=0, images=8, rejected={"inactive": 8})
    missing = tuple(f"sample-{number:08d}" for number in range(4))
    values = {"rows": 0, "accepted": 0, "attempts": 8, "rejected": {"inactive": 8}}
    markers = [marker_of(n, **values, missing=missing, short={"sad": lack}) for n in range(2)]
    assert describe_run(parse_config(CONFIG), summarise(markers)).splitlines() == [
        "less than asked: 0 of 8 samples; these strata fell short:",
        "  sad: 8 short; 0 of 16 images accepted (16 inactive)",
        "what helps: a looser policy or more verify.max_attempts, and to begin anew "
        "(--overwrite, or another output.path); the same configuration gives the same again",
        "out: 0 samples from 16 images (0% kept)",
        "rejected: 16 inactive",
        "missing: 8 samples found no accepted image",
        "nothing to load: no sample has an image that was kept",
    ]


def test_a_run_that_keeps_the_best_says_first_what_is_not_accepted():
    lack = ShortStratum(asked=2, accepted=0, images=2, rejected={"inactive": 2})
    marker = marker_of(0, accepted=2, attempts=4, rejected={"inactive": 2}, short={"sad": lack})
    assert describe_run(parse_config(CONFIG), summarise([marker])).splitlines()[:4] == [
        "not all accepted: 2 of 4 samples keep the policy; fell short:",
        "  sad: 2 short; 0 of 2 images accepted (2 inactive)",
        "out: 4 samples from 4 images (100% kept)",
        "rejected: 2 inactive",
    ]


def test_few_of_many_strata_are_named():
    lack = ShortStratum(asked=1, accepted=0, images=1, rejected={"inactive": 1})
    lines = describe_short({f"s{number:02d}": lack for number in range(14)}, 14)
    assert (len(lines), lines[-1]) == (13, "… and 2 more strata: 2 short")


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
        "bottleneck: measure (busy: generate 40%, measure 96% of the workers' time)",
        "look at it: synthgen report out --html report.html",
        f'load it: datasets.load_dataset("{Path.cwd()}/out")',
    ]
