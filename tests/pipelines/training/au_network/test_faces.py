import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pipelines.training.au_network.config import AUNetworkConfig
from pipelines.training.au_network.faces import HeldOutFaces, TrainingFaces
from pipelines.training.data.expression_config import ExpressionShare
from pipelines.training.data.expressions import draw_aus
from pipelines.training.data.views import face_number
from synthgen.action_units import AUS
from synthgen.config.priors import IntensityRange

CONFIG = AUNetworkConfig.model_validate(
    {
        "seed": 3,
        "cycles": [{"steps": 3}],
        "batch_size": 4,
        "input_size": 56,
        "faces": {"size": 64, "expressions": [{"share": 1, "rate": 0.3}]},
    }
)
KINDS = (ExpressionShare(share=0.25, rate=0.0), ExpressionShare(share=0.75, rate=0.4))


def draw(count, stage="test"):
    span = IntensityRange(low=1.0, high=4.0)
    return np.stack([draw_aus(5, stage, index, KINDS, span) for index in range(count)])


def test_a_face_is_the_same_alone_and_in_any_batch():
    faces = TrainingFaces(CONFIG)
    assert len(faces) == 12
    batch = next(iter(DataLoader(faces, 4, sampler=range(8, 12), num_workers=1)))
    alone = faces[10]
    assert torch.equal(batch.pixels[2], alone.pixels)
    assert torch.equal(batch.aus[2], alone.aus)
    assert alone.pixels.shape == (3, 56, 56)


def test_views_of_a_face_come_a_round_later():
    numbers = [face_number(index, views=2) for index in range(4 * 1024)]
    assert numbers == [*range(1024)] * 2 + [*range(1024, 2048)] * 2
    assert [face_number(index, views=1) for index in range(5000)] == list(range(5000))


def test_held_out_faces_are_others_and_do_not_depend_on_their_number():
    few, many = HeldOutFaces(CONFIG, 2), HeldOutFaces(CONFIG, 9)
    assert (len(few), len(many)) == (2, 9)
    assert torch.equal(few[1].pixels, many[1].pixels)
    assert not torch.equal(few[1].aus, TrainingFaces(CONFIG)[1].aus)


def test_shares_rates_and_intensities_are_what_was_asked_for():
    aus = draw(3000)
    active = aus > 0
    assert (aus[active].min(), aus[active].max()) == pytest.approx((1, 4), abs=0.01)
    assert active.mean() == pytest.approx(0.3, abs=0.01)
    neutral = 0.25 + 0.75 * 0.6**12
    assert (~active.any(axis=1)).mean() == pytest.approx(neutral, abs=0.03)


def test_stages_draw_on_their_own():
    assert not np.array_equal(draw(20), draw(20, "another"))
    assert np.array_equal(draw(20)[7:9], draw(9)[7:])


def test_emotions_are_prototypes_with_variants():
    span, kinds = IntensityRange(low=1.0, high=4.0), (ExpressionShare(share=1, rate="emotions"),)
    aus = np.stack([draw_aus(5, "test", index, kinds, span) for index in range(600)])
    assert 0.02 < (aus == 0).all(axis=1).mean() < 0.09  # one category in 22 is neutral
    for row in aus:
        stretched, parted = row[AUS.index("AU20")] > 0, row[AUS.index("AU25")] > 0
        assert parted or not stretched  # every category with AU20 has AU25 in its prototype
