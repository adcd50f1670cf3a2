from pipelines.training.data.drawing import face_number


def test_views_of_a_face_come_a_round_later():
    numbers = [face_number(index, views=2) for index in range(4 * 1024)]
    assert numbers == [*range(1024)] * 2 + [*range(1024, 2048)] * 2
    assert [face_number(index, views=1) for index in range(5000)] == list(range(5000))
