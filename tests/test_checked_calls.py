"""Types and shapes that the tests check at each call of our functions."""

from dataclasses import dataclass

import pytest
import torch
from beartype import beartype
from beartype.roar import BeartypeCallHintViolation
from checked_calls import checked
from jaxtyping import Float
from torch import Tensor

from pipelines.procedural import random_identity
from pipelines.training.clip.train import top1
from samplers.randomness import uniforms


def test_a_type_that_is_not_the_one_told_is_refused():
    for call in (lambda: random_identity("3"), lambda: uniforms(1, 2, 0, 1, 1)):
        with pytest.raises(BeartypeCallHintViolation):
            call()


def test_shapes_that_do_not_fit_one_another_are_refused():
    assert top1(torch.eye(2, 3), torch.eye(2, 3)) == 1
    with pytest.raises(BeartypeCallHintViolation):
        top1(torch.eye(2, 3), torch.eye(2, 4))


def test_each_way_of_checking_refuses():
    @checked(typechecker=beartype)
    def returned(given: object) -> Float[Tensor, "n 2"]:
        return given

    @checked(typechecker=beartype)
    def by_name(given: "int") -> None:
        return None

    @checked(typechecker=beartype)
    @dataclass(frozen=True, slots=True)
    class Fields:
        number: int
        vector: Float[Tensor, " n"]
        other: Float[Tensor, " n"]

    assert returned(torch.eye(2)).shape == (2, 2)
    fine = Fields(1, torch.zeros(2), torch.zeros(2))
    assert fine.number == 1
    for call in (
        lambda: returned(torch.eye(3)),
        lambda: by_name("1"),
        lambda: Fields("1", fine.vector, fine.other),
        lambda: Fields(1, fine.vector, torch.zeros(3)),
    ):
        with pytest.raises((BeartypeCallHintViolation, TypeError)):
            call()
