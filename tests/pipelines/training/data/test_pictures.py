from pipelines.procedural import random_identity
from pipelines.training.data.drawing import OF_THE_PICTURE, in_another_picture


def test_a_person_stays_while_the_picture_changes():
    person = random_identity(7)
    other = in_another_picture(person, 8)
    changed = {name for name in person.__slots__ if getattr(person, name) != getattr(other, name)}
    assert changed <= set(OF_THE_PICTURE)
    assert {"yaw", "light", "background"} <= changed
    assert all(getattr(other, name) == getattr(random_identity(8), name) for name in OF_THE_PICTURE)
