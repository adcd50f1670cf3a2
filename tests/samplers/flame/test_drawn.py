import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.procedural import DRAWN_AUS, SIDED_AUS, Expression
from pipelines.procedural.flame import expression_of, flame_of
from samplers.flame.drawn import (
    CARRIED,
    CODE,
    CODED_AUS,
    MOVEMENTS,
    NAMES,
    REST,
    drawn_intensities,
    drawn_numbers,
)
from samplers.flame.expression import EYELIDS, JAW
from synthgen.errors import ActionUnitError, BankError

INTENSITY = st.floats(0, 5, width=32)


@st.composite
def expressions(draw):
    both = {name: draw(INTENSITY) for name in DRAWN_AUS.names}
    left, right = ({name: draw(INTENSITY) for name in SIDED_AUS} for _ in range(2))
    return Expression.of(both, left, right)


@given(expression=expressions())
@settings(max_examples=50)
def test_the_code_is_invertible_on_what_it_carries(expression):
    back = expression_of(flame_of(expression))
    np.testing.assert_allclose(back.left, expression.left, atol=1e-6)
    np.testing.assert_allclose(back.right, expression.right, atol=1e-6)


@given(first=expressions(), second=expressions(), share=st.floats(0, 1))
@settings(max_examples=25)
def test_a_mix_of_numbers_is_the_mix_of_the_expressions(first, second, share):
    mixed = share * flame_of(first) + (1 - share) * flame_of(second)
    sides = [np.array([one.left, one.right]) for one in (first, second)]
    wanted = share * sides[0] + (1 - share) * sides[1]
    np.testing.assert_allclose(drawn_intensities(mixed)[0], wanted, atol=1e-5)


def test_the_code_is_what_its_page_says():
    assert CODED_AUS == DRAWN_AUS
    assert len(MOVEMENTS) == 30
    assert {move.au for move in MOVEMENTS if move.side} == set(SIDED_AUS)
    assert (CODE.T @ CODE)[~np.eye(30, dtype=bool)].sum() == 0
    assert set(NAMES) == set(CARRIED)
    numbers = flame_of(Expression.of({"AU26": 5}, left={"AU43": 5}, right={"AU12": 4}))
    assert numbers[EYELIDS].tolist() == [1, 0]
    assert numbers[JAW].tolist() == [0.3125, 0, 0]
    shown = {NAMES.get(place, place): numbers[place] for place in np.flatnonzero(numbers)}
    assert shown == {
        "shut left": 2.5, "smile right": 2.0, "jaw": 2.5, 30: 2.5, "eyelid left": 1.0,
        "jaw opening": 0.3125,
    }  # fmt: skip


def test_a_face_at_rest_is_not_zero():
    assert flame_of([0.0] * 12).tolist() == REST.tolist()
    assert REST.nonzero()[0].tolist() == [30]


def test_rows_alone_and_together_have_the_same_bits():
    rows = np.random.default_rng(1).uniform(0, 5, (40, len(CODED_AUS)))
    whole = drawn_numbers(rows)
    for row, numbers in zip(rows, whole, strict=True):
        assert (drawn_numbers(row[None])[0] == numbers).all()


@pytest.mark.parametrize(
    ("intensities", "text"),
    [
        (
            np.zeros((1, 12)),
            "drawn expressions are numbers of shape [rows, 18] or [rows, 2, 18], AU1 to AU43; "
            "these have [1, 12] and the type float64",
        ),
        (
            np.full((1, 18), np.nan),
            "row 0 (from 0) has AU1 at nan; the code of drawn expressions carries [0, 5]",
        ),
        (
            np.full((2, 18), 6),
            "row 0 (from 0) has AU1 at 6; the code of drawn expressions carries [0, 5]",
        ),
        (
            np.stack([np.zeros((1, 18)), np.ones((1, 18))], axis=1),
            "row 0 (from 0) has AU9 at 0 on the left and 1 on the right; only AU1, AU2, AU4, AU5, "
            "AU7, AU43, AU6, AU10, AU12, AU14, AU15, AU20 can differ",
        ),
    ],
)
def test_what_the_code_does_not_carry_is_refused(intensities, text):
    with pytest.raises(ActionUnitError) as refused:
        drawn_numbers(intensities)
    assert str(refused.value) == text


def test_one_expression_is_one_row():
    with pytest.raises(BankError) as refused:
        expression_of(np.zeros((2, 55)))
    assert str(refused.value) == ("an expression has one row of 55 numbers, and these are 2 rows")
