import torch

from pipelines.libreface.network import DETECTED_AUS
from pipelines.training.au_loss import au_loss, presence
from synthgen.action_units import au_vector

SMILE = torch.tensor([au_vector({"AU6": 0.5, "AU12": 3.0})])


def test_presence_is_in_the_order_of_the_detection_head():
    present = dict(zip(DETECTED_AUS, presence(SMILE)[0].tolist(), strict=True))
    assert present == {name: float(name == "AU12") for name in DETECTED_AUS}


def test_the_loss_is_zero_where_both_heads_are_right():
    assert au_loss(SMILE / 5, presence(SMILE), SMILE, 1.0) == 0


def test_each_head_adds_to_the_loss_on_its_own():
    wrong = torch.full_like(SMILE, 0.5)
    assert au_loss(wrong, presence(SMILE), SMILE, 1.0) > 0
    assert au_loss(SMILE / 5, wrong, SMILE, 1.0) > 0
    assert au_loss(SMILE / 5, wrong, SMILE, 0.0) == 0
