from pipelines.training.data.loader import Order


def test_what_has_no_end_comes_in_its_own_order():
    assert [Order(None, 1, "x")(place) for place in (0, 7)] == [(0, 0), (7, 0)]


def test_an_epoch_is_a_permutation_whatever_was_asked_before():
    order = Order(7, 1, "x")
    places = [order(place) for place in range(21)]
    for epoch in range(3):
        part = places[7 * epoch : 7 * epoch + 7]
        assert sorted(row for row, _ in part) == list(range(7))
        assert {number for _, number in part} == {epoch}
    assert [Order(7, 1, "x")(place) for place in (20, 3)] == [places[20], places[3]]
