import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.batches import make_reject, make_row
from cluster.rounds import NOISES, Outcome, ShardRounds
from pipelines.libreface.check import judge
from pipelines.policy import Verdict
from samplers.plan import build_plan
from samplers.spec import Shard
from synthgen.dataset.markers import ShortStratum
from synthgen.errors import RunError

NAMES = ("procedural", "libreface-mini")


def outcome(config, attempt, measured):
    verdict = judge(attempt.spec.aus, measured, 1, config.verify.checks[0].policy)
    row = make_row(attempt, b"image", {}, verdict.accepted, NAMES)
    reject = None if verdict.accepted else make_reject(attempt, {}, verdict, NAMES)
    return Outcome(attempt, {}, row, reject, verdict.distance)


def right(config, attempt):
    return outcome(config, attempt, attempt.spec.aus)


def wrong(config, attempt):
    return outcome(config, attempt, tuple(5.0 - au for au in attempt.spec.aus))


def raised(attempt):
    verdict = Verdict.error("ValueError: no")
    return Outcome(attempt, {}, None, make_reject(attempt, {}, verdict, NAMES), float("inf"))


def start(config, shard):
    return ShardRounds(build_plan(config), shard, config.verify)


FIXED = {"prior": "combinations", "combinations": [{"aus": {"AU12": 5}}, {"aus": {"AU4": 5}}]}

SHARD = Shard("train", 0, 0, 3)


def test_accepted_samples_leave_and_rejected_ones_come_again_with_other_noise(make_config):
    config = make_config()
    rounds = start(config, SHARD)
    first = rounds.attempts(1)
    rounds.record([right(config, first[0]), wrong(config, first[1]), right(config, first[2])])
    (again,) = rounds.attempts(1)
    assert again.spec == first[1].spec
    assert (again.number, first[1].number) == (1, 0)
    assert again.seed != first[1].seed
    rounds.record([right(config, again)])
    assert rounds.attempts(1) == []
    assert [row.sample_id for row in rounds.rows] == [a.spec.sample_id for a in first]
    assert rounds.attempted == 4
    assert [reject.attempt for reject in rounds.rejects] == [0]


def test_an_exhausted_sample_gets_another_spec_of_its_stratum(make_config):
    config = make_config()
    rounds = start(config, SHARD)
    first = rounds.attempts(1)
    for _ in range(config.verify.max_attempts):
        rounds.record([wrong(config, attempt) for attempt in rounds.attempts(1)])
    replaced = rounds.attempts(1)
    assert [a.spec.replacement for a in replaced] == [1, 1, 1]
    assert [a.spec.stratum for a in replaced] == [a.spec.stratum for a in first]
    assert [a.spec.identity_id for a in replaced] == [a.spec.identity_id for a in first]
    assert [a.number for a in replaced] == [0, 0, 0]


def exhaust(config, rounds):
    while attempts := rounds.attempts(1):
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
        (attempt,) = rounds.attempts(1)
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
        f"{spec.sample_id} ({spec.stratum}) has no accepted image after 2 attempts (2 inactive), "
        "and verify.on_exhausted is 'fail'"
    )


def test_a_stratum_of_one_vector_is_not_redrawn_in_vain(make_config):
    config = make_config(expressions=FIXED, verify={"max_attempts": 4})
    rounds = start(config, SHARD)
    exhaust(config, rounds)
    assert {(r.replacement, r.attempt) for r in rounds.rejects} == {
        (r, n) for r in range(4) for n in range(4)
    }
    assert rounds.attempted == 3 * NOISES


def test_many_attempts_at_one_vector_are_made_but_not_repeated(make_config):
    config = make_config(expressions=FIXED, verify={"max_attempts": NOISES + 1})
    rounds = start(config, SHARD)
    exhaust(config, rounds)
    assert (rounds.attempted, {r.replacement for r in rounds.rejects}) == (3 * (NOISES + 1), {0})


def test_a_shard_tells_what_each_stratum_lacks(make_config):
    config = make_config(verify={"on_exhausted": "drop"})
    rounds = start(config, SHARD)
    first, second, third = rounds.attempts(1)
    rounds.record([right(config, first), wrong(config, second), raised(third)])
    exhaust(config, rounds)
    assert rounds.short() == {
        second.spec.stratum: ShortStratum(
            asked=1, accepted=0, images=2, rejected={"missing_au": 2}
        ),
        third.spec.stratum: ShortStratum(asked=1, accepted=0, images=1, rejected={"error": 1}),
    }


def asked(attempts):
    return [(a.spec.position, a.spec.replacement, a.number) for a in attempts]


def test_a_last_batch_is_filled_with_what_comes_next_of_the_same_samples(make_config):
    rounds = start(make_config(), SHARD)
    assert asked(rounds.attempts(3)) == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]
    own = [(0, 0, 0), (1, 0, 0), (2, 0, 0), (0, 0, 1), (1, 0, 1), (2, 0, 1)]
    assert asked(rounds.attempts(8)) == [*own, (0, 1, 0), (1, 1, 0)]


def test_a_last_batch_stays_short_where_nothing_may_come_next(make_config):
    rounds = start(make_config(verify={"on_exhausted": "drop"}), SHARD)
    assert len(rounds.attempts(16)) == 3 * 2


def test_what_came_in_vain_is_thrown_away(make_config):
    config = make_config()
    rounds = start(config, Shard("train", 0, 0, 1))
    first, second, third = rounds.attempts(3)
    outcomes = [wrong(config, first), right(config, second), wrong(config, third)]
    assert rounds.record(outcomes) == outcomes[:2]
    assert [row.attempt for row in rounds.rows] == [1]
    assert [reject.attempt for reject in rounds.rejects] == [0]
    assert (rounds.attempted, rounds.painted) == (2, 3)


def worked(config, batch, verdicts):
    """Work a shard in such batches; return all that is written of it."""
    rounds = start(config, SHARD)
    while attempts := rounds.attempts(batch):
        rounds.record([verdicts[key](attempt) for attempt, key in keyed(attempts)])
    rejects = sorted((r.sample_id, r.replacement, r.attempt, r.reason) for r in rounds.rejects)
    return rounds.rows, rejects, sorted(rounds.missing), rounds.attempted


def keyed(attempts):
    return zip(attempts, asked(attempts), strict=True)


TRIES = [(p, r, n) for p in range(3) for r in range(3) for n in range(2)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("action", ["replace", "drop", "keep_best"])
def test_a_shard_does_not_depend_on_how_its_batches_are_filled(make_config, action, data):
    config = make_config(verify={"on_exhausted": action, "max_replacements": 2})
    kinds = [lambda a: right(config, a), lambda a: wrong(config, a), raised]
    drawn = data.draw(st.lists(st.sampled_from(kinds), min_size=18, max_size=18))
    verdicts = dict(zip(TRIES, drawn, strict=True))
    alone = worked(config, 1, verdicts)
    for batch in (2, 3, 5, 16):
        assert worked(config, batch, verdicts) == alone
