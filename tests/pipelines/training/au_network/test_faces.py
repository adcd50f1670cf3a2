import torch
from torch.utils.data import DataLoader

from pipelines.training.au_network.faces import HeldOutFaces, TrainingFaces
from pipelines.training.au_network.learner import AUNetworkConfig

CONFIG = AUNetworkConfig.model_validate(
    {
        "seed": 3,
        "cycles": [{"steps": 3}],
        "batch_size": 4,
        "input_size": 56,
        "faces": {"size": 64, "expressions": [{"share": 1, "rate": 0.3}]},
    }
)


def test_a_face_is_the_same_alone_and_in_any_batch():
    faces = TrainingFaces(CONFIG)
    assert len(faces) == 12
    batch = next(iter(DataLoader(faces, 4, sampler=range(8, 12), num_workers=1)))
    alone = faces[10]
    assert torch.equal(batch.pixels[2], alone.pixels)
    assert torch.equal(batch.aus[2], alone.aus)
    assert alone.pixels.shape == (3, 56, 56)


def test_held_out_faces_are_others_and_do_not_depend_on_their_number():
    few, many = HeldOutFaces(CONFIG, 2), HeldOutFaces(CONFIG, 9)
    assert (len(few), len(many)) == (2, 9)
    assert torch.equal(few[1].pixels, many[1].pixels)
    assert not torch.equal(few[1].aus, TrainingFaces(CONFIG)[1].aus)
