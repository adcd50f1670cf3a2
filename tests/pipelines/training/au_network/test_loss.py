import torch

from pipelines.libreface.network import DETECTED_AUS
from pipelines.training.au_network.learner import au_loss, presence
from synthgen.action_units import AUS, au_vector

SMILE = torch.tensor([au_vector({"AU6": 0.5, "AU12": 3.0})])
EQUAL = torch.ones(12)


def test_presence_is_in_the_order_of_the_detection_head():
    present = dict(zip(DETECTED_AUS, presence(SMILE)[0].tolist(), strict=True))
    assert present == {name: float(name == "AU12") for name in DETECTED_AUS}


def test_the_loss_is_zero_where_both_heads_are_right():
    assert au_loss(SMILE / 5, presence(SMILE), SMILE, EQUAL, 1.0) == 0


def test_each_head_adds_to_the_loss_on_its_own():
    wrong = torch.full_like(SMILE, 0.5)
    assert au_loss(wrong, presence(SMILE), SMILE, EQUAL, 1.0) > 0
    assert au_loss(SMILE / 5, wrong, SMILE, EQUAL, 1.0) > 0
    assert au_loss(SMILE / 5, wrong, SMILE, EQUAL, 0.0) == 0


def test_a_weight_multiplies_the_error_of_its_au():
    weights = torch.ones(12)
    weights[AUS.index("AU12")] = 3.0
    wrong = SMILE.clone()
    wrong[0, AUS.index("AU12")] = 0.0
    plain = au_loss(wrong / 5, presence(SMILE), SMILE, EQUAL, 1.0)
    torch.testing.assert_close(au_loss(wrong / 5, presence(SMILE), SMILE, weights, 1.0), 3 * plain)
