import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthgen.action_units import (
    AU_NAMES,
    AUS,
    DEFAULT_AUS,
    FACS,
    ActionUnitSet,
    au_index,
    au_vector,
    canonical,
    describe,
)
from synthgen.errors import ActionUnitError

sets = st.lists(st.sampled_from(list(FACS)), min_size=1, unique=True).map(ActionUnitSet.of)
HERE = "AU1, AU2, AU4, AU5, AU6, AU9, AU12, AU15, AU17, AU20, AU25, AU26"


def test_the_default_set_is_disfas():
    assert ", ".join(AUS) == HERE
    assert (len(DEFAULT_AUS), AU_NAMES["AU26"], au_index("AU26")) == (12, "jaw drop", 11)
    assert describe(au_vector({"AU12": 5, "AU6": 2.5})) == "AU6=2.5 AU12=5.0"


def test_the_table_is_in_the_order_of_the_numbers():
    numbers = [int(re.fullmatch(r"AU([1-9][0-9]?)", name)[1]) for name in FACS]
    assert numbers == sorted(set(numbers))
    assert FACS["AU45"] == "blink"


@given(sets, st.randoms())
def test_a_set_is_the_same_in_any_order(aus, random):
    names = list(aus.names)
    random.shuffle(names)
    assert ActionUnitSet.of(names) == aus
    assert [aus.index(name) for name in aus.names] == list(range(len(aus)))


@given(sets, st.data())
def test_a_vector_holds_what_was_named(aus, data):
    intensities = st.floats(allow_nan=False, allow_infinity=False)
    asked = data.draw(st.dictionaries(st.sampled_from(aus.names), intensities))
    vector = aus.vector(asked)
    assert dict(zip(aus.names, vector, strict=True)) == dict.fromkeys(aus.names, 0.0) | asked
    named = [part.split("=")[0] for part in aus.describe(vector).split()]
    assert named == ([n for n in aus.names if asked.get(n)] or ["neutral"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: au_index("AU3"), f"unknown Action Unit 'AU3'; the AUs in use are {HERE}"),
        (
            lambda: au_index("AU7"),
            "AU7 (lid tightener) exists in FACS, but it is none of the 12 that FineFace, LibreFace "
            f"and drawn faces know ({HERE}); runs of models that know others name theirs as "
            "expressions.action_units",
        ),
        (
            lambda: ActionUnitSet.of(["AU7", "AU1"]).vector({"AU12": 1}),
            "AU12 (lip corner puller) exists in FACS, but the AUs in use are AU1, AU7",
        ),
        (
            lambda: ActionUnitSet.of(["AU1", "12"]),
            f"unknown Action Unit '12'; FACS has {', '.join(FACS)}",
        ),
        (lambda: ActionUnitSet.of(["AU1", "AU1"]), "AU1 stands there twice"),
        (lambda: ActionUnitSet.of(["AU1", "au01"]), "AU1 stands there twice"),
        (
            lambda: au_vector({"au12": 1, "AU12": 2}),
            "au12 and AU12 are the same; leave one out",
        ),
        (lambda: ActionUnitSet.of([]), "no Action Unit is named; name one at least"),
        (
            lambda: au_vector({"AU1": float("nan")}),
            "intensity of AU1 is nan; it must be a finite number",
        ),
    ],
)
def test_what_no_set_holds_is_refused(make, message):
    with pytest.raises(ActionUnitError) as caught:
        make()
    assert str(caught.value) == message


@pytest.mark.parametrize("written", ["AU12", "au12", "Au12", "AU012"])
def test_an_au_is_read_in_each_way_of_writing_it(written):
    assert canonical(written) == "AU12"
    assert au_index(written) == AUS.index("AU12")
    assert au_vector({written: 3}) == au_vector({"AU12": 3})
    assert ActionUnitSet.of([written, "AU1"]) == ActionUnitSet.of(["AU1", "AU12"])


@pytest.mark.parametrize("other", ["12", "AU", "AU 12", "AU_12", "AU12L", "AU120", "happy", ""])
def test_other_text_stays(other):
    assert canonical(other) == other
