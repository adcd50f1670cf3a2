import pytest

from cluster.rounds import Outcome, ShardRounds
from cluster.rows import make_reject, make_row
from pipelines.policy import judge
from samplers.plan import build_plan
from samplers.spec import Shard
from synthgen.errors import RunError

NAMES = ("procedural", "libreface-mini")


def outcome(config, attempt, measured):
    verdict = judge(attempt.spec.aus, measured, 1, config.verify.policy)
    row = make_row(attempt, b"image", measured, verdict, NAMES)
    reject = None if verdict.accepted else make_reject(attempt, measured, verdict, NAMES)
    return Outcome(attempt, measured, row, reject, verdict.distance)


def right(config, attempt):
    return outcome(config, attempt, attempt.spec.aus)


def wrong(config, attempt):
    return outcome(config, attempt, tuple(5.0 - au for au in attempt.spec.aus))


def start(config, shard):
    return ShardRounds(build_plan(config), shard, config.verify)


SHARD = Shard("train", 0, 0, 3)


def test_accepted_samples_leave_and_rejected_ones_come_again_with_other_noise(make_config):
    config = make_config()
    rounds = start(config, SHARD)
    first = rounds.attempts()
    rounds.record([right(config, first[0]), wrong(config, first[1]), right(config, first[2])])
    (again,) = rounds.attempts()
    assert again.spec == first[1].spec
    assert (again.number, first[1].number) == (1, 0)
    assert again.seed != first[1].seed
    rounds.record([right(config, again)])
    assert rounds.attempts() == []
    assert [row.sample_id for row in rounds.rows] == [a.spec.sample_id for a in first]
    assert rounds.attempted == 4
    assert [reject.attempt for reject in rounds.rejects] == [0]


def test_an_exhausted_sample_gets_another_spec_of_its_stratum(make_config):
    config = make_config()
    rounds = start(config, SHARD)
    first = rounds.attempts()
    for _ in range(config.verify.max_attempts):
        rounds.record([wrong(config, attempt) for attempt in rounds.attempts()])
    replaced = rounds.attempts()
    assert [a.spec.replacement for a in replaced] == [1, 1, 1]
    assert [a.spec.stratum for a in replaced] == [a.spec.stratum for a in first]
    assert [a.spec.identity_id for a in replaced] == [a.spec.identity_id for a in first]
    assert [a.number for a in replaced] == [0, 0, 0]


def exhaust(config, rounds):
    while attempts := rounds.attempts():
        rounds.record([wrong(config, attempt) for attempt in attempts])


def test_replacements_are_bounded_and_then_the_sample_is_missing(make_config):
    config = make_config(verify={"max_replacements": 2})
    rounds = start(config, SHARD)
    exhaust(config, rounds)
    assert rounds.rows == []
    assert len(rounds.missing) == 3
    assert rounds.attempted == len(rounds.rejects) == 3 * 2 * 3


def test_drop_leaves_the_sample_out_at_once(make_config):
    config = make_config(verify={"on_exhausted": "drop"})
    rounds = start(config, SHARD)
    exhaust(config, rounds)
    assert (len(rounds.missing), rounds.attempted) == (3, 6)


def test_keep_best_keeps_the_nearest_image_unaccepted_and_its_reject(make_config):
    config = make_config(verify={"on_exhausted": "keep_best", "max_attempts": 3})
    rounds = start(config, Shard("train", 0, 0, 1))
    for shift in (2.0, 1.2, 3.0):
        (attempt,) = rounds.attempts()
        measured = tuple(min(au + shift, 5.0) for au in attempt.spec.aus)
        rounds.record([outcome(config, attempt, measured)])
    (row,) = rounds.rows
    assert (row.attempt, row.accepted, row.image) == (1, False, b"image")
    assert len(rounds.rejects) == 3
    assert rounds.missing == []


def test_fail_ends_the_run_with_the_sample_named(make_config):
    config = make_config(verify={"on_exhausted": "fail"})
    rounds = start(config, Shard("train", 0, 0, 1))
    with pytest.raises(RunError) as error:
        exhaust(config, rounds)
    spec = build_plan(config).spec("train", 0)
    assert str(error.value) == (
        f"{spec.sample_id} ({spec.stratum}) has no accepted image after 2 attempts, "
        "and verify.on_exhausted is 'fail'"
    )
