import pytest

from samplers.priors.emotions import prototype_table
from synthgen.dataset.labels import BASIC, COMPOUND, au_column, label_names


def test_known_categories_are_those_of_the_table_and_contempt():
    assert {*BASIC, *COMPOUND} == {*prototype_table(), "contempt"}
    assert [name for name in prototype_table() if name not in BASIC] == list(COMPOUND)


@pytest.mark.parametrize(
    ("categories", "names"),
    [
        ((), ()),
        (("sad",), BASIC),
        (("angry", "neutral", "happy"), BASIC),
        (("calm", "merry"), ("calm", "merry")),
        (("merry", "sad", "calm"), (*BASIC, "merry", "calm")),
        (("happy+sad", "happy"), (*BASIC, "happy+sad")),
        (("awed",), (*BASIC, *COMPOUND)),
        (("merry", "hatred", "sad"), (*BASIC, *COMPOUND, "merry")),
    ],
)
def test_known_categories_have_the_same_numbers_in_every_dataset(categories, names):
    assert label_names(categories) == names


def test_columns_of_aus_sort_as_aus_do():
    assert au_column("AU1") == "AU01"
    assert au_column("AU26", measured=True) == "AU26_measured"
