import re
from importlib.resources import files

import pytest
import yaml

from samplers.priors.emotions import choose_prototypes, prototype_table
from synthgen.action_units import AUS
from synthgen.errors import ConfigError

LOSE_A_PROTOTYPE_AU = {
    "angry",
    "disgusted",
    "happily disgusted",
    "sadly disgusted",
    "fearfully disgusted",
    "angrily disgusted",
    "disgustedly surprised",
    "appalled",
    "hatred",
}


def test_the_table_holds_neutral_and_21_categories():
    assert len(prototype_table()) == 22
    assert prototype_table()["neutral"].shown == ()


def test_shown_aus_are_among_the_12_and_lost_ones_are_not():
    for prototype in prototype_table().values():
        assert {*prototype.shown, *prototype.variants} <= set(AUS)
        assert not {*prototype.lost, *prototype.lost_variants} & set(AUS)
        assert all(re.fullmatch(r"AU\d+", au) for au in (*prototype.lost, *prototype.lost_variants))
        assert not set(prototype.shown) & set(prototype.variants)


def test_shares_of_variants_are_those_of_a_minority_up_to_70_percent():
    for prototype in prototype_table().values():
        shares = (*prototype.variants.values(), *prototype.lost_variants.values())
        assert all(0.2 <= share <= 0.7 for share in shares)


def test_categories_that_lose_a_prototype_au_are_marked():
    losing = {name for name, prototype in prototype_table().items() if prototype.lost}
    assert losing == LOSE_A_PROTOTYPE_AU


def test_full_sets_are_kept():
    angry = prototype_table()["angry"]
    assert {*angry.shown, *angry.lost} == {"AU4", "AU7", "AU24"}
    assert {**angry.variants, **angry.lost_variants} == {"AU10": 0.26, "AU17": 0.52, "AU23": 0.29}


def test_an_unknown_category_is_refused_with_those_that_exist():
    with pytest.raises(ConfigError) as caught:
        choose_prototypes(["happy", "hapy"], allow_ambiguous=False)
    assert str(caught.value) == (
        "expressions.categories: unknown category 'hapy'; did you mean 'happy'? Those that "
        "exist: neutral, happy, sad, fearful, angry, surprised, disgusted, happily surprised, "
        "happily disgusted, sadly fearful, sadly angry, sadly surprised, sadly disgusted, "
        "fearfully angry, fearfully surprised, fearfully disgusted, angrily surprised, angrily "
        "disgusted, disgustedly surprised, appalled, hatred, awed"
    )


def test_contempt_is_refused_with_the_reason():
    with pytest.raises(ConfigError) as caught:
        choose_prototypes(["contempt"], allow_ambiguous=True)
    assert str(caught.value) == (
        "expressions.categories: 'contempt' cannot be shown: it is R12+R14, one-sided, and an "
        "AU vector has one intensity for both sides"
    )


@pytest.mark.parametrize(
    ("one", "other", "aus"),
    [
        ("fearful", "sadly fearful", "AU1, AU4, AU20, AU25"),
        ("sad", "sadly angry", "AU4, AU15"),
        ("angry", "hatred", "AU4"),
        ("happy", "happily disgusted", "AU12, AU25"),
    ],
)
def test_ambiguous_categories_are_refused_without_leave(one, other, aus):
    with pytest.raises(ConfigError) as caught:
        choose_prototypes([one, other], allow_ambiguous=False)
    assert str(caught.value) == (
        f"expressions.categories: {one!r} and {other!r} have the same prototype on the 12 AUs "
        f"({aus}); leave one out, or set allow_ambiguous: true"
    )
    assert len(choose_prototypes([one, other], allow_ambiguous=True)) == 2


def test_the_table_names_its_source():
    table = yaml.safe_load(files("samplers.priors").joinpath("emotions.yaml").read_text("utf-8"))
    assert set(table["source"]) == {"paper", "table", "prototype", "variants"}
    percentages = [
        percent
        for entry in table["categories"].values()
        for side in entry["variants"].values()
        for percent in side.values()
    ]
    # More than 70 % would make an AU of the prototype.
    assert len(percentages) == 70
    assert 20 <= min(percentages) <= max(percentages) <= 70
