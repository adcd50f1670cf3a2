import pickle
from itertools import permutations

import pytest
from tiny_markers import CONFIG, marker_of

from cluster.driver import generate
from cluster.fuse import FuseError, RunFuse, ShardFuse
from cluster.schedule import Schedule
from samplers.plan import build_plan
from samplers.spec import Shard
from synthgen.config import parse_config
from synthgen.dataset import Storage, layout, read_markers
from synthgen.dataset.markers import ShortStratum

HOPELESS = {"max_active_error": 0.0, "max_inactive": 0.0, "min_active": None}

WHAT_TO_DO = (
    "change the policy, what is asked for or the weights and begin anew (--overwrite, or another "
    "output.path), or go on regardless with verify.fuse: null"
)


def test_a_stratum_that_never_passes_blows_the_fuse_of_its_shard():
    fuse = ShardFuse(4, "shard train-00000")
    fuse.accepted("happy")
    for reason in ("inactive", "no_face", "inactive"):
        fuse.rejected("sad", reason)
        fuse.rejected("happy", "inactive")
    with pytest.raises(FuseError) as error:
        fuse.rejected("sad", "inactive")
    assert str(error.value) == (
        "none of 4 images of 'sad' in shard train-00000 was accepted (3 inactive, 1 no_face), and "
        f"verify.fuse is 4: {WHAT_TO_DO}"
    )
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


def test_many_strata_of_which_none_passes_blow_it_together():
    fuse = ShardFuse(4, "shard train-00000")
    for stratum in "abc":
        fuse.rejected(stratum, "no_face")
    with pytest.raises(FuseError) as error:
        fuse.rejected("d", "inactive")
    assert str(error.value).startswith(
        "none of 4 images in shard train-00000 was accepted (3 no_face, 1 inactive), and "
    )


def test_a_rare_stratum_that_cannot_pass_does_not_end_a_run():
    fuse = ShardFuse(4, "shard train-00000")
    for _ in range(200):
        fuse.accepted("happy")
    for _ in range(10):
        fuse.rejected("sad", "inactive")
    with pytest.raises(FuseError, match="none of 11 images of 'sad'"):
        fuse.rejected("sad", "inactive")


def test_a_stratum_that_passed_once_and_a_fuse_that_is_off_never_blow():
    passing, off = ShardFuse(2, "here"), ShardFuse(None, "here")
    passing.accepted("sad")
    for _ in range(50):
        passing.rejected("sad", "inactive")
        off.rejected("sad", "inactive")


def plan():
    return build_plan(parse_config(CONFIG))


def lacking(number, **accepted):
    """Return the marker of a shard that lacks samples of some strata: name → accepted."""
    short = {
        name: ShortStratum(
            asked=2, accepted=kept, images=4 + kept, rejected={"inactive": 3, "error": 1}
        )
        for name, kept in accepted.items()
    }
    missing = tuple(f"sample-{n:08d}" for n in range(2 * len(short) - sum(accepted.values())))
    rows = 4 - len(missing)
    return marker_of(
        number,
        rows=rows,
        accepted=rows,
        missing=missing,
        attempts=rows + 4 * len(short),
        rejected={"inactive": 3 * len(short)},
        errors=len(short),
        short=short,
    )


def blown(limit, *markers):
    fuse = RunFuse(limit, plan(), plan().shards())
    for marker in markers:
        try:
            fuse.committed([marker])
        except FuseError as error:
            return str(error)
    return None


def test_shards_add_up_whichever_comes_first():
    markers = [lacking(number, neutral=0) for number in range(2)]
    said = {blown(6, *order) for order in permutations(markers)}
    assert said == {
        "none of 6 images of 'neutral' in the first 2 shards was accepted (6 inactive), and "
        f"verify.fuse is 6: {WHAT_TO_DO}"
    }


def test_a_shard_counts_when_those_before_it_do():
    assert blown(3, lacking(1, neutral=0)) is None


def test_a_stratum_that_an_earlier_shard_has_cannot_be_hopeless():
    assert {spec.stratum for spec in plan().specs("train", 0, 4)} >= {"happy"}
    assert blown(3, lacking(0, neutral=0), lacking(1, happy=0)) is not None
    assert blown(4, lacking(0, neutral=1), lacking(1, happy=0), lacking(2, happy=0)) is None
    assert blown(4, lacking(0, neutral=1), lacking(1, neutral=0)) is None


A, B, C, D = (Shard("train", n, 4 * n, 4 * n + 4) for n in range(4))


def test_the_first_shard_that_blows_it_ends_the_run_when_those_before_it_are_finished():
    schedule = Schedule([A, B, C, D], max_failures=2)
    a, b, c = schedule.next(), schedule.next(), schedule.next()
    schedule.blew(c, FuseError("c"))
    assert (schedule.waiting, schedule.done) == (0, False)
    schedule.blew(b, FuseError("b"))
    assert not schedule.done
    schedule.failed(a, ValueError("broken"))
    again = schedule.next()
    assert again.shard == A
    assert schedule.finished(again)
    assert schedule.done
    assert str(schedule.blown) == "b"


def test_a_later_shard_is_not_tried_again_for_a_run_that_ends():
    schedule = Schedule([A, B], max_failures=2)
    a, b = schedule.next(), schedule.next()
    schedule.blew(a, FuseError("a"))
    schedule.failed(b, ValueError("broken"))
    schedule.blew(b, FuseError("late"))
    assert (schedule.waiting, schedule.done, str(schedule.blown)) == (0, True, "a")


def ended(config, executor="inline"):
    with pytest.raises(FuseError) as error:
        generate(config, executor)
    return str(error.value)


def test_a_policy_that_nothing_keeps_ends_the_run_and_a_mended_run_goes_on(make_config):
    config = make_config(verify={"policy": HOPELESS, "fuse": 20, "max_attempts": 1000})
    said = ended(config)
    assert said.startswith("none of 20 images in shard train-00000 was accepted (")
    storage = Storage(config.output.path)
    assert not read_markers(storage)
    assert not storage.exists(layout.CARD)
    assert not storage.exists(layout.LEASE)
    assert ended(config) == said
    drop = {"policy": HOPELESS, "max_attempts": 1000, "fuse": 10**9, "max_replacements": 0}
    assert config.identity() == make_config(verify={**drop, "max_replacements": 10}).identity()


def test_shards_that_end_early_blow_it_together_and_again_at_once(make_config):
    config = make_config(verify={"policy": HOPELESS, "fuse": 40, "on_exhausted": "drop"})
    said = ended(config)
    assert said.startswith("none of 40 images in the first 2 shards was accepted (")
    there = read_markers(Storage(config.output.path))
    assert {("train", 0), ("train", 1)} <= set(there)
    assert ended(config) == said


@pytest.mark.ray
def test_any_number_of_actors_ends_with_the_same_sentence(make_config):
    verify = {"policy": HOPELESS, "fuse": 20, "max_attempts": 1000}
    said = [ended(make_config("inline", verify=verify))]
    for actors in (1, 2):
        config = make_config(f"ray-{actors}", verify=verify, cluster={"actors": actors})
        said.append(ended(config, "ray"))
    assert len(set(said)) == 1
