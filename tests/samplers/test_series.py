from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samplers import build_plan
from samplers.plan import Series
from synthgen.config import parse_expressions
from synthgen.errors import ConfigError

CATEGORIES = ["neutral", "happy", "sad", "awed"]


def plan_of(configuration, samples=60, prior="emotions", expressions=None, **identities):
    config = configuration(samples=samples, prior=prior)
    section = config.identities.model_copy(update=identities)
    changes = {"identities": section}
    if expressions is not None:
        changes["expressions"] = expressions
    return build_plan(config.model_copy(update=changes))


@given(st.integers(1, 9), st.booleans(), st.integers(0, 100))
def test_positions_count_the_expressions_before_them(expressions, neutral, position):
    series = Series(expressions, neutral)
    before = [not series.is_neutral(place) for place in range(position)]
    assert series.expression(position) == sum(before)


def test_a_neutral_image_opens_each_identity(configuration):
    plan = plan_of(configuration, 60, neutral_image=True, expressions_per_identity=3)
    for index in range(60):
        spec = plan.sample(index)
        assert spec.identity_id == f"id-{plan.run_id}-{index // 4:08d}"
        if index % 4 == 0:
            assert (spec.aus, spec.emotion, spec.stratum) == ((0.0,) * 12, "neutral", "neutral")
    assert plan.identities.count == 15


@pytest.mark.parametrize("prior", ["emotions", "weighted", "independent"])
def test_neutral_images_change_no_expression(configuration, prior):
    plain = plan_of(configuration, 60, prior, expressions_per_identity=3)
    plan = plan_of(configuration, 80, prior, expressions_per_identity=3, neutral_image=True)
    for index in range(60):
        identity, place = divmod(index, 3)
        here, there = plain.sample(index), plan.sample(4 * identity + place + 1)
        assert (here.aus, here.stratum, here.emotion) == (there.aus, there.stratum, there.emotion)
        assert here.prompt == there.prompt
    neutral = plan.sample(0)
    assert neutral.emotion == ("neutral" if prior == "emotions" else None)
    assert plan.sample(0, 2).aus == neutral.aus
    size = plan.sizes["train"]
    assert plan.specs("train", 0, size) == [plan.spec("train", place) for place in range(size)]


def test_shares_count_the_neutral_images(configuration):
    plan = plan_of(configuration, 60, expressions_per_identity=3, neutral_image=True)
    assert plan.category_shares()["neutral"] == pytest.approx(0.25 + 0.75 / 4)
    assert sum(plan.category_shares().values()) == pytest.approx(1)
    assert plan.rates() == pytest.approx(0.75 * plan.prior.rates())


def test_a_grid_shows_each_expression_once_to_each_identity(configuration):
    plan = plan_of(configuration, 60, expressions_per_identity="grid")
    assert plan.partition.group == 4
    for start in range(0, 60, 4):
        specs = [plan.sample(index) for index in range(start, start + 4)]
        assert len({spec.identity_id for spec in specs}) == 1
        assert Counter(spec.emotion for spec in specs) == Counter(CATEGORIES)


def test_a_grid_needs_a_list(configuration):
    for prior, name in (("weighted", "emotions"), ("independent", "independent")):
        with pytest.raises(ConfigError) as caught:
            plan_of(configuration, 60, prior, expressions_per_identity="grid")
        assert str(caught.value) == (
            "identities.expressions_per_identity: grid needs a prior that lists expressions, each "
            "as often as every other: grid, or emotions or combinations without weights and "
            f"quotas; this one is {name!r}"
        )


def test_an_identity_starts_from_its_own_noise(configuration):
    plan = plan_of(configuration, 60, expressions_per_identity=3, noise="identity")
    attempts = [[plan.attempt(plan.sample(n), number) for number in range(8)] for n in range(60)]
    shared = [row[0].shared_seed for row in attempts]
    assert len(set(shared)) == 20
    assert all(len(set(shared[start : start + 3])) == 1 for start in range(0, 60, 3))
    assert [attempt.own_share for attempt in attempts[5]] == pytest.approx(
        [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5]
    )
    assert len({attempt.seed for row in attempts for attempt in row}) == 480
    assert {attempt.shared_seed for attempt in attempts[5]} == {shared[5]}


def test_equal_specs_of_an_identity_have_noise_of_their_own(configuration):
    """Four neutral faces of one person: one by the identity's noise alone, three that differ."""
    expressions = parse_expressions({"prior": "emotions", "categories": ["neutral"]})
    options = {"expressions_per_identity": 3, "neutral_image": True, "noise": "identity"}
    plan = plan_of(configuration, 8, expressions=expressions, **options)
    for person in (0, 4):
        specs = [plan.sample(n, r) for r in (0, 1, 2) for n in range(person, person + 4)]
        assert {spec.aus for spec in specs} == {(0.0,) * 12}
        attempts = [plan.attempt(spec, 0) for spec in specs]
        assert [attempt.own_share for attempt in attempts] == [0.0] + [0.1] * 11
        assert len({attempt.noise_seed for attempt in attempts}) == 12
        assert attempts[0].noise_seed == attempts[0].shared_seed
    longer = plan_of(configuration, 80, expressions=expressions, **options)
    for index in range(8):
        for replacement in (0, 1):
            one, other = (p.attempt(p.sample(index, replacement), 0) for p in (plan, longer))
            assert (one.own_share, one.noise_seed) == (other.own_share, other.noise_seed)


def test_a_pipeline_without_noise_is_told_what_a_person_shows_again(configuration):
    """The test configuration draws portraits without noise; its grid shows nothing twice."""
    plan = plan_of(configuration, 60, expressions_per_identity=8)
    for start in range(0, 48, 8):
        specs = [plan.sample(index) for index in range(start, start + 8)]
        attempts = [plan.attempt(spec, number) for spec in specs for number in (0, 1)]
        repeated = [spec.aus in [one.aus for one in specs[:n]] for n, spec in enumerate(specs)]
        assert [attempt.repeats for attempt in attempts] == [r for r in repeated for _ in (0, 1)]
        assert sum(repeated) >= 1
    grid = plan_of(configuration, 60, expressions_per_identity="grid")
    assert not any(grid.attempt(grid.sample(n), 0).repeats for n in range(60))
    noisy = replace(plan, noiseless=False)
    assert not any(noisy.attempt(noisy.sample(n), 0).repeats for n in range(60))


@pytest.mark.parametrize("prior", ["emotions", "independent"])
def test_no_two_images_of_an_identity_come_from_equal_specs_and_noise(configuration, prior):
    plan = plan_of(configuration, 60, prior, expressions_per_identity=12, noise="identity")
    for person in range(5):
        made = Counter()
        for replacement in range(3):
            specs = [plan.sample(12 * person + place, replacement) for place in range(12)]
            tried = [plan.attempt(spec, number) for spec in specs for number in range(2)]
            made.update((attempt.spec.aus, attempt.noise_seed) for attempt in tried)
        assert max(made.values()) == 1
        first = [plan.attempt(plan.sample(12 * person + place), 0) for place in range(12)]
        assert sum(attempt.own_share == 0 for attempt in first) == len(
            {attempt.spec.aus for attempt in first}
        )


def test_by_default_each_sample_starts_from_its_own_noise(configuration):
    plan = plan_of(configuration)
    attempt = plan.attempt(plan.sample(4), 2)
    assert (attempt.shared_seed, attempt.own_share) == (None, 1.0)
