import dataclasses
import pickle

import pytest
from tiny_dataset import SCHEMA, make_reject, make_row

from synthgen.dataset.schema import Reject, Row


def test_a_reject_is_a_row_without_image_and_with_a_reason():
    row_fields = {field.name for field in dataclasses.fields(Row)}
    reject_fields = {field.name for field in dataclasses.fields(Reject)}
    assert row_fields - reject_fields == {
        "image",
        "accepted",
        "identity",
    }
    assert reject_fields - row_fields == {"reason", "detail"}


@pytest.mark.parametrize("value", [make_row(3), make_reject(3), SCHEMA])
def test_values_are_frozen_and_travel_between_processes(value):
    assert pickle.loads(pickle.dumps(value)) == value
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, "other")
