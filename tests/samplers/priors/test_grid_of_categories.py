"""Grids of emotion categories at intensities."""

import numpy as np
import pytest

from samplers import build_plan, load_prior
from synthgen.action_units import AUS, au_vector
from synthgen.config import parse_expressions
from synthgen.errors import ConfigError

SEVEN = ["neutral", "happy", "sad", "fearful", "angry", "surprised", "disgusted"]
GRID = {"prior": "grid", "categories": SEVEN, "intensities": [1, 3, 5]}
CELLS = [("neutral", 0.0), *((name, level) for name in SEVEN[1:] for level in (1.0, 3.0, 5.0))]


def test_each_category_comes_at_each_intensity_in_order_and_neutral_once():
    prior = load_prior(GRID)
    assert prior.listed() == 19
    strata = prior.strata(5, "train", 0, 38).tolist()
    shown = [(prior.category(stratum), prior.level(stratum)) for stratum in strata]
    assert shown == CELLS * 2
    assert [prior.expression(stratum) for stratum in strata] == [name for name, _ in shown]
    assert prior.expressions == prior.categories == tuple(SEVEN)
    assert prior.has_levels
    assert [prior.stratum_name(stratum) for stratum in (0, 1, 3)] == [
        "neutral", "happy at 1", "happy at 5",
    ]  # fmt: skip


def test_the_aus_of_a_prototype_are_all_at_the_intensity():
    vectors = load_prior(GRID).sample(19, seed=0)
    assert not vectors[0].any()
    assert tuple(vectors[2]) == au_vector({"AU12": 3, "AU25": 3})
    assert tuple(vectors[9]) == au_vector({"AU1": 5, "AU4": 5, "AU20": 5, "AU25": 5})


def test_shares_and_rates_are_those_of_the_cells():
    prior = load_prior(GRID)
    vectors = prior.sample(19, seed=0)
    assert prior.category_shares() == {"neutral": 1 / 19, **dict.fromkeys(SEVEN[1:], 3 / 19)}
    assert np.allclose(prior.rates(), (vectors != 0).mean(axis=0))
    assert prior.mean_intensities()[AUS.index("AU12")] == pytest.approx(3)
    assert prior.ambiguous() == ()


def test_intensities_are_1_to_5_where_nothing_is_said_and_other_aus_are_shown():
    prior = load_prior(
        {"prior": "grid", "categories": ["angry"], "action_units": ["AU4", "AU7", "AU24"]}
    )
    assert prior.sample(6, seed=0).tolist() == [[n] * 3 for n in (1, 2, 3, 4, 5, 1)]


def test_each_person_shows_the_grid_in_order(configuration):
    config = configuration(samples=38)
    people = config.identities.model_copy(update={"expressions_per_identity": "grid"})
    changes = {"expressions": parse_expressions(GRID), "identities": people}
    plan = build_plan(config.model_copy(update=changes))
    specs = [plan.sample(index) for index in range(38)]
    assert [(spec.emotion, spec.level) for spec in specs] == CELLS * 2
    assert [len({spec.identity_id for spec in specs[start : start + 19]}) for start in (0, 19)] == [
        1, 1,
    ]  # fmt: skip


def test_a_grid_of_aus_is_stored_as_ever():
    stored = parse_expressions({"prior": "grid", "levels": [2]}).model_dump()
    assert not stored.keys() & {"categories", "intensities", "allow_ambiguous"}
    assert parse_expressions(parse_expressions(GRID).model_dump()) == parse_expressions(GRID)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"levels": [1, 3]},
            ": a grid of categories has no levels; leave one of categories and levels out, and say "
            "the strengths of categories by intensities",
        ),
        (
            {"aus": ["AU1"]},
            ": a grid of categories has no aus; leave one of categories and aus out, and say the "
            "strengths of categories by intensities",
        ),
        (
            {"protocol": "fineface"},
            ": protocol fineface is about AUs; leave one of protocol and categories out",
        ),
        ({"intensities": [1, 1]}, ": intensities holds a value twice: 1.0, 1.0"),
        (
            {"intensities": [0, 3]},
            ": intensities holds 0; the neutral face is the category neutral",
        ),
        (
            {"intensities": [6]},
            ": intensity 6 is outside [0, 5]; set allow_out_of_range: true to allow it",
        ),
        ({"categories": ["sad", "sad"]}, ": categories holds a value twice: sad, sad"),
        (
            {"categories": None},
            ": intensities is about categories; name these, too, or leave it out",
        ),
        (
            {"categories": ["angry", "hatred"]},
            ".categories: 'angry' and 'hatred' have the same prototype on the 12 AUs (AU4); leave "
            "one out, or set allow_ambiguous: true",
        ),
        (
            {"quotas": {"aus": {"AU1": 0.5}}},
            ": a grid shows its cells in a fixed order; leave quotas out",
        ),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(ConfigError) as caught:
        load_prior({**GRID, **changes})
    assert str(caught.value) == f"expressions{message}"


def test_ambiguous_categories_may_be_allowed():
    prior = load_prior({**GRID, "categories": ["angry", "hatred"], "allow_ambiguous": True})
    assert prior.ambiguous() == (("angry", "hatred"),)
