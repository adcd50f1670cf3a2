import pickle
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplers import build_plan
from samplers.spec import Shard
from synthgen.config import dump_config, parse_config
from synthgen.config.yaml_text import read_yaml
from synthgen.errors import ConfigError

PRIORS = ["emotions", "weighted", "independent"]
priors = st.sampled_from(PRIORS)


@pytest.mark.parametrize("prior", PRIORS)
def test_a_spec_is_the_same_alone_in_bulk_and_by_index(configuration, prior):
    plan = build_plan(configuration(prior=prior))
    for split, size in plan.sizes.items():
        bulk = plan.specs(split, 0, size)
        assert bulk == [plan.spec(split, position) for position in range(size)]
        assert bulk == [plan.sample(spec.index) for spec in bulk]
        assert bulk[3:5] == plan.specs(split, 3, 5)


@given(priors, st.integers(1, 60), st.integers(0, 60), st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_more_samples_keep_the_earlier_specs(configuration, prior, samples, more, group):
    plan = build_plan(configuration(samples, group, prior))
    longer = build_plan(configuration(samples + more, group, prior))
    for index in range(0, samples, 7):
        assert plan.sample(index) == longer.sample(index)
        spec = plan.sample(index)
        assert plan.attempt(spec, 2) == longer.attempt(spec, 2)


def test_a_sample_has_the_place_it_says(configuration):
    plan = build_plan(configuration(samples=200))
    for index in range(200):
        spec = plan.sample(index)
        assert spec.index == index
        assert plan.spec(spec.split, spec.position) == spec
        assert plan.find(spec.sample_id) == index
        shard = plan.shard_of(spec.split, spec.position)
        assert shard.start <= spec.position < shard.stop


def test_splits_share_no_identity_and_no_tuple(configuration):
    plan = build_plan(configuration(samples=600))
    owner = {}
    for index in range(600):
        spec = plan.sample(index)
        for key in (spec.identity_id, tuple(spec.identity.values()), spec.identity_seed):
            assert owner.setdefault(key, spec.split) == spec.split
    assert set(owner.values()) == {"train", "validation", "test"}


def test_samples_of_an_identity_differ_in_expression_alone(configuration):
    plan = build_plan(configuration(group=3))
    three = [plan.sample(index) for index in (3, 4, 5)]
    assert len({spec.identity_id for spec in three}) == 1
    assert len({spec.prompt for spec in three}) == 1
    assert three[0].identity_id == f"id-{configuration(group=3).run_id()}-00000001"
    assert three[0].prompt.removeprefix("an ").removeprefix("a ") == (
        "{age} {person}, {hair}".format(**three[0].identity)
    )
    assert len({spec.aus for spec in three}) == 3


def test_each_split_is_balanced_in_every_block(configuration):
    plan = build_plan(configuration(samples=480, prior="weighted"))
    for split, size in plan.sizes.items():
        emotions = [spec.emotion for spec in plan.specs(split, 0, size)]
        for start in range(0, size - 2, 3):
            assert Counter(emotions[start : start + 3]) == {"happy": 2, "sad": 1}


@pytest.mark.parametrize("prior", PRIORS)
def test_a_replacement_keeps_identity_and_stratum_and_redraws_the_rest(configuration, prior):
    plan = build_plan(configuration(samples=120, prior=prior))
    for index in range(0, 120, 11):
        specs = [plan.sample(index, replacement) for replacement in range(3)]
        kept = [
            (s.index, s.position, s.stratum, s.emotion, s.identity_id, s.prompt, s.identity_seed)
            for s in specs
        ]
        assert len(set(kept)) == 1
        assert [spec.replacement for spec in specs] == [0, 1, 2]
        if any(specs[0].aus):
            assert len({spec.aus for spec in specs}) == 3
    assert plan.sample(4, 0) == plan.sample(4)


def test_independent_replacements_keep_the_active_aus(configuration):
    plan = build_plan(configuration(prior="independent"))
    for index in range(60):
        first, second = plan.sample(index), plan.sample(index, 1)
        assert [bool(value) for value in first.aus] == [bool(value) for value in second.aus]


def test_attempts_differ_in_their_noise_alone(configuration):
    plan = build_plan(configuration())
    specs = [plan.sample(index, replacement) for index in (0, 1) for replacement in (0, 1)]
    attempts = [plan.attempt(spec, number) for spec in specs for number in range(4)]
    assert len({attempt.seed for attempt in attempts}) == 16
    assert all(0 <= attempt.seed < 2**63 for attempt in attempts)
    assert attempts[1].spec == attempts[0].spec
    assert [attempt.number for attempt in attempts[:4]] == [0, 1, 2, 3]


def test_shards_cut_each_split_without_a_gap(configuration):
    plan = build_plan(configuration(samples=61))
    shards = list(plan.shards())
    for split, size in plan.sizes.items():
        cut = [shard for shard in shards if shard.split == split]
        assert [shard.number for shard in cut] == list(range(len(cut)))
        places = [place for shard in cut for place in range(shard.start, shard.stop)]
        assert places == list(range(size))
    assert shards[0] == Shard("train", 0, 0, 7)
    assert sum(plan.sizes.values()) == 61


def test_a_split_may_be_empty_in_a_small_run(configuration):
    plan = build_plan(configuration(samples=2))
    assert plan.sizes == {"train": 2, "validation": 0, "test": 0}
    assert list(plan.shards()) == [Shard("train", 0, 0, 2)]


def test_a_plan_names_its_columns(configuration):
    plan = build_plan(configuration())
    assert plan.categories == ("neutral", "happy", "sad", "awed")
    assert plan.slots == ("age", "person", "hair")
    assert build_plan(configuration(prior="independent")).categories == ()


def test_a_plan_of_one_split_draws_what_its_prior_samples(configuration):
    plan = build_plan(configuration(splits={"train": 1.0}))
    vectors = plan.prior.sample(60, seed=11)
    assert [spec.aus for spec in plan.specs("train", 0, 60)] == list(map(tuple, vectors.tolist()))


def test_the_seed_decides(configuration):
    config = configuration()
    other = build_plan(config.model_copy(update={"seed": 12}))
    plan = build_plan(config)
    assert [plan.sample(n).aus for n in range(9)] != [other.sample(n).aus for n in range(9)]
    assert [plan.sample(n).prompt for n in range(9)] != [other.sample(n).prompt for n in range(9)]


def test_a_plan_is_pickled_small(configuration):
    plan = build_plan(configuration())
    copy = pickle.dumps(plan)
    assert len(copy) < 10_000
    assert pickle.loads(copy).sample(17, 1) == plan.sample(17, 1)


@pytest.mark.parametrize("ids", ["run", "plain"])
@pytest.mark.parametrize(
    "name",
    ["RUN00000060", "RUN0000001", "RUN000000001", "1", "", "RUN" + "9" * 99, "sample-abc-00000001"],
)
def test_an_unknown_sample_is_refused(configuration, name, ids):
    config = configuration(ids=ids)
    run = f"sample-{config.run_id()}-" if ids == "run" else "sample-"
    name = name.replace("RUN", run)
    with pytest.raises(ConfigError) as caught:
        build_plan(config).find(name)
    assert str(caught.value) == (
        f"there is no sample {name!r}; the run has {run}00000000 to {run}00000059"
    )


def test_ids_carry_the_run_and_stay_when_it_is_extended_or_moved(configuration):
    config = configuration()
    run = config.run_id()
    assert re.fullmatch("[0-9a-f]{8}", run)
    spec = build_plan(config).sample(7)
    assert (spec.sample_id, spec.identity_id) == (f"sample-{run}-00000007", f"id-{run}-00000002")
    assert configuration(samples=900, path="s3://elsewhere/out").run_id() == run
    pipeline = config.pipeline.model_copy(update={"batch_size": "auto"})
    assert config.model_copy(update={"pipeline": pipeline}).run_id() == run
    assert parse_config(read_yaml(dump_config(config))).run_id() == run
    others = [{"seed": 12}, {"name": "other"}, {"output": configuration(shard_size=8).output}]
    ids = {run, *(config.model_copy(update=other).run_id() for other in others)}
    assert len(ids) == 4


def test_two_runs_have_no_sample_and_no_identity_in_common(configuration):
    config = configuration()
    plans = [build_plan(config.model_copy(update={"seed": seed})) for seed in (1, 2)]
    names = [
        {name for n in range(60) for s in [plan.sample(n)] for name in (s.sample_id, s.identity_id)}
        for plan in plans
    ]
    assert not names[0] & names[1]
    assert [len(found) for found in names] == [80, 80]


def test_plain_ids_are_those_of_earlier_versions(configuration):
    config = configuration(ids="plain")
    spec = build_plan(config).sample(7)
    assert (spec.sample_id, spec.identity_id) == ("sample-00000007", "id-00000002")
    assert "ids" not in config.identity()["output"]
    assert build_plan(config).find("sample-00000007") == 7


def test_places_beyond_the_run_are_refused(configuration):
    plan = build_plan(configuration())
    with pytest.raises(IndexError, match="sample 60 is not among the 60 of the run"):
        plan.sample(60)
    with pytest.raises(IndexError, match="positions 6 to 7 are not among the 6 of test"):
        plan.spec("test", 6)
    with pytest.raises(IndexError, match="positions 5 to 9 are not among the 6 of test"):
        plan.specs("test", 5, 9)


def test_too_few_tuples_are_refused(configuration):
    with pytest.raises(
        ConfigError, match="192 different tuples of values for the split 'train', but"
    ):
        build_plan(configuration(samples=241, group=1))
