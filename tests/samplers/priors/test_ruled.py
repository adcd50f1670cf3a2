import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prior_sections import INDEPENDENT, RULED, RULES

from samplers import load_prior
from samplers.priors.rules import build_rule
from synthgen.action_units import AU_COUNT, AUS, DEFAULT_AUS
from synthgen.config import parse_expressions

EMOTIONS = {"prior": "emotions", "categories": ["happy", "sad", "surprised"]}
PATTERNS = (np.arange(1 << AU_COUNT)[:, None] >> np.arange(AU_COUNT) & 1).astype(bool)

aus = st.sampled_from(sorted(INDEPENDENT["aus"]))
rules = st.one_of(
    st.builds(
        lambda pair, bound: {"if": pair[0], "then": pair[1], "at_least": bound},
        st.lists(aus, min_size=2, max_size=2, unique=True),
        st.floats(0, 2),
    ),
    st.builds(lambda names: {"exclude": names}, st.lists(aus, min_size=2, max_size=3, unique=True)),
    st.builds(lambda number: {"at_most": number}, st.integers(2, 5)),
    st.builds(lambda number: {"at_least": number}, st.integers(0, 1)),
    st.builds(lambda name, bound: {"cap": name, "at": bound}, aus, st.floats(1, 5)),
)
penalties = st.one_of(st.none(), st.floats(0.1, 0.9))


def _broken(rule: dict, vectors: np.ndarray) -> np.ndarray:
    """Return which vectors are against a rule, as the configuration words it."""
    active = dict(zip(AUS, (vectors != 0).T, strict=True))
    value = dict(zip(AUS, vectors.T, strict=True))
    number = (vectors != 0).sum(axis=1)
    match rule:
        case {"if": one, "then": other, **rest}:
            return active[one] & ~(active[other] & (value[other] >= rest.get("at_least", 0)))
        case {"exclude": names}:
            return np.sum([active[name] for name in names], axis=0) > 1
        case {"at_most": most}:
            return number > most
        case {"at_least": least}:
            return number < least
        case {"cap": name, "at": bound}:
            return value[name] > bound
    raise AssertionError(rule)


@given(st.lists(rules, max_size=3, unique_by=str), rules, penalties, st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_a_rule_is_kept_and_changes_only_the_vectors_against_it(others, rule, penalty, seed):
    others = [other for other in others if other != rule]
    before = load_prior({**INDEPENDENT, "rules": others}).sample(200, seed)
    added = {**rule, "penalty": penalty}
    after = load_prior({**INDEPENDENT, "rules": [*others, added]}).sample(200, seed)
    broken = _broken(rule, before)
    assert after[~broken].tobytes() == before[~broken].tobytes()
    for hard in [*others, rule] if penalty is None else others:
        assert not _broken(hard, after).any()


@pytest.mark.parametrize("penalty", [None, 0.6])
def test_the_law_is_the_conditional_one(penalty):
    soft = [{**rule, "penalty": penalty} for rule in RULES[:3]]
    prior = load_prior({**INDEPENDENT, "rules": soft})
    chances = load_prior(INDEPENDENT).rates()
    weights = np.where(PATTERNS, chances, 1 - chances).prod(axis=1)
    # An intensity of 0.5 to 5 is at 1 or more in 8 of 9 cases.
    weak = PATTERNS[:, AUS.index("AU26")] & PATTERNS[:, AUS.index("AU25")]
    strong = np.where(PATTERNS, 1.0, 0.0)
    kept = 1 - (penalty or 1.0)
    for rule in soft:
        broken = _broken({**rule, "at_least": 0} if "if" in rule else rule, strong)
        weights *= np.where(broken, kept, 1.0)
    weights *= np.where(weak, 8 / 9 + kept / 9, 1.0)
    expected = weights @ PATTERNS / weights.sum()
    vectors = prior.sample(40_000, seed=1)
    assert np.abs((vectors != 0).mean(axis=0) - expected).max() < 0.012
    if penalty is None:
        assert np.abs(prior.rates() - expected).max() < 0.005
    assert prior.asked_rates().tolist() == chances.tolist()


def test_without_at_least_any_active_au_will_do():
    section = {**INDEPENDENT, "rules": [{"if": "AU26", "then": "AU25"}]}
    vectors = load_prior(section).sample(4_000, seed=0)
    jaws = vectors[vectors[:, AUS.index("AU26")] != 0]
    assert jaws[:, AUS.index("AU25")].min() > 0
    assert jaws[:, AUS.index("AU25")].min() < 0.6


def test_a_replacement_keeps_the_rules_and_the_active_aus():
    prior = load_prior(RULED)
    strata = prior.strata(7, "train", 0, 300)
    first = prior.vectors(7, "train", 0, strata)
    again = prior.vectors(7, "train", 0, strata, replacement=2)
    assert np.array_equal(first != 0, again != 0)
    assert (first != again).any()
    assert not any(_broken(rule, again).any() for rule in RULES[:3])


def test_categories_keep_their_shares_under_rules():
    free = load_prior(EMOTIONS)
    ruled = load_prior(
        {**EMOTIONS, "rules": [{"exclude": ["AU1", "AU17"]}, {"cap": "AU4", "at": 3}]}
    )
    assert np.array_equal(ruled.strata(0, "test", 5, 95), free.strata(0, "test", 5, 95))
    assert ruled.category_shares() == free.category_shares()
    vectors = ruled.sample(3_000, seed=0)
    assert vectors[:, AUS.index("AU4")].max() <= 3
    # A sad face shows AU1 in 60 % and AU17 in 67 % of cases: 0.4 · 0.67 of 1 − 0.6 · 0.67.
    chins = (vectors[ruled.strata(0, "train", 0, 3_000) == 1, AUS.index("AU17")] != 0).mean()
    assert chins == pytest.approx(0.4 * 0.67 / (1 - 0.6 * 0.67), abs=0.06)


def test_a_larger_penalty_changes_only_vectors_against_the_rule():
    rule = {"at_most": 1}
    draws = [
        load_prior({**INDEPENDENT, "rules": [{**rule, "penalty": penalty}]}).sample(3_000, seed=0)
        for penalty in (0.2, 0.8)
    ]
    moved = (draws[0] != draws[1]).any(axis=1)
    assert moved.any()
    assert _broken(rule, draws[0])[moved].all()
    shares = [_broken(rule, draw).mean() for draw in draws]
    free = _broken(rule, load_prior(INDEPENDENT).sample(3_000, seed=0)).mean()
    for penalty, share in zip((0.2, 0.8), shares, strict=True):
        kept = free * (1 - penalty)
        assert share == pytest.approx(kept / (kept + 1 - free), abs=0.03)


def test_the_words_of_a_rule():
    config = parse_expressions(RULED)
    assert [build_rule(rule, DEFAULT_AUS).text for rule in config.rules] == [
        "AU26 implies AU25 at 1 or more",
        "AU12 and AU15 exclude each other",
        "at most 3 active",
        "AU9 at most at 3",
    ]
