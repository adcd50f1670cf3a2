"""The face embedder: its people, its loss, its training."""

import json
import math

import pytest
import torch
import yaml
from tiny_face_embedder import face_embedder
from torch.nn import functional

from pipelines.faceid.network import load_face_network
from pipelines.procedural import renderer_version
from pipelines.training.face_embedder import (
    FIRST_HELD_OUT,
    FaceEmbedderConfig,
    FaceEmbedderLearner,
    MarginConfig,
    Pictures,
    TrainingPictures,
    draw_picture,
    evaluate_embedder,
    margin_loss,
    train_face_embedder,
)
from pipelines.training.judge import FIRST_HELD_OUT as LAST_OF_OTHERS
from pipelines.weight_files import file_sha256
from synthgen.config.loading import load_section
from synthgen.errors import ConfigError, OutputError, WeightsError

TINY = {
    "seed": 3,
    "cycles": [{"steps": 4, "learning_rate": 0.01, "schedule": "constant", "warmup": 0.0}],
    "batch_size": 4,
    "people": {"count": 5, "expressions": [{"share": 1.0, "rate": 0.4}]},
    "model": {"channels": [8, 8, 8, 8], "blocks": [1, 1, 1, 1]},
    "evaluation": {"people": 3, "pictures": 2},
    "device": "cpu",
    "workers": 0,
    "log_every": 1,
}


@pytest.fixture
def config():
    return FaceEmbedderConfig.model_validate(TINY)


def write(folder, **changes):
    path = folder / "face-embedder.yaml"
    path.write_text(yaml.safe_dump(TINY | changes))
    return path


def test_a_picture_is_a_function_of_its_index(config):
    pictures = TrainingPictures(config)
    one, again = pictures[3], TrainingPictures(config)[3]
    assert torch.equal(one.pixels, again.pixels)
    assert one.people == again.people
    numbers = {int(pictures[index].people) for index in range(20)}
    assert numbers <= set(range(5))
    assert len(numbers) > 2
    same = [draw_picture(config.people, 3, "train", 9, number) for number in range(2)]
    assert same[0].tobytes() != same[1].tobytes()


def test_nobody_else_meets_these_people(config):
    assert config.people.first > LAST_OF_OTHERS + 2**40
    assert config.people.first + config.people.count < FIRST_HELD_OUT


def cosines():
    torch.manual_seed(0)
    return torch.rand(3, 5) * 1.8 - 0.9, torch.tensor([1, 4, 0])


def test_without_a_margin_it_is_the_softmax():
    values, people = cosines()
    for kind in ("cosface", "arcface"):
        loss = margin_loss(values, people, MarginConfig(kind=kind, margin=0.0, scale=8.0))
        torch.testing.assert_close(loss, functional.cross_entropy(8 * values, people))
    unrisen = margin_loss(values, people, MarginConfig(scale=8.0), share=0.0)
    torch.testing.assert_close(unrisen, functional.cross_entropy(8 * values, people))


def test_margins_are_those_of_the_papers():
    values, people = cosines()
    right = values[torch.arange(3), people]
    changed = {
        "cosface": right - 0.2,
        "arcface": torch.cos(torch.acos(right) + 0.2),
    }
    for kind, hard in changed.items():
        logits = values.clone()
        logits[torch.arange(3), people] = hard
        wanted = functional.cross_entropy(8 * logits, people)
        found = margin_loss(values, people, MarginConfig(kind=kind, margin=0.2, scale=8.0))
        torch.testing.assert_close(found, wanted)


def test_an_angle_never_goes_beyond_the_opposite():
    values = torch.tensor([[-1.0, 0.0]], requires_grad=True)
    config = MarginConfig(kind="arcface", margin=1.0, scale=8.0)
    loss = margin_loss(values, torch.tensor([0]), config)
    loss.backward()
    assert math.isfinite(loss.item())
    assert values.grad is not None
    assert values.grad.isfinite().all()


def test_it_learns_whom_it_is_shown(config):
    learner = FaceEmbedderLearner(config, torch.device("cpu"))
    pictures = [TrainingPictures(config)[index] for index in range(4)]
    batch = Pictures(*(torch.stack(part) for part in zip(*pictures, strict=True)))
    losses = [learner.learn(batch)["loss"] for _ in range(20)]
    assert sum(losses[-4:]) < 0.9 * sum(losses[:4])


def test_the_margin_rises_with_the_steps():
    margin = {"margin": 0.3, "rise": 0.5}
    learner = FaceEmbedderLearner(
        FaceEmbedderConfig.model_validate(TINY | {"margin": margin}), torch.device("cpu")
    )
    shares = []
    for learner.step in range(4):
        shares.append(learner.margin_share())
    assert shares == [0.5, 1.0, 1.0, 1.0]


def test_a_stopped_training_ends_in_the_same_weights(tmp_path):
    path = write(tmp_path)
    whole = train_face_embedder(path, tmp_path / "whole")
    assert not train_face_embedder(path, tmp_path / "stopped", stop_at=2).exists()
    stopped = train_face_embedder(path, tmp_path / "stopped")
    one, other = (load_face_network(file)[0].state_dict() for file in (stopped, whole))
    assert all(torch.equal(one[name], other[name]) for name in other)
    card = json.loads((tmp_path / "whole" / "card.json").read_text())
    assert card["command"] == "synthgen train face-embedder face-embedder.yaml --to whole"
    assert set(card["held_out"]) == {
        "people", "pictures", "same", "others", "others_most", "rank1", "told_apart"
    }  # fmt: skip
    assert card["held_out"]["pictures"] == 6


def test_a_checkpoint_of_other_people_is_refused(tmp_path):
    train_face_embedder(write(tmp_path), tmp_path / "out", stop_at=1)
    people = {**TINY["people"], "count": 6}
    with pytest.raises(OutputError) as caught:
        train_face_embedder(write(tmp_path, people=people), tmp_path / "out")
    assert str(caught.value) == (
        f"{tmp_path}/out/checkpoint.pt was trained with people.count 5, now it is 6; "
        "train into another folder with --to"
    )


def test_an_embedder_is_measured_on_people_it_never_saw(config, tmp_path):
    found = evaluate_embedder(face_embedder(tmp_path), config)
    assert (found["people"], found["pictures"]) == (3, 6)
    assert -1 <= found["others"] <= found["others_most"] <= 1
    assert 0 <= found["rank1"] <= 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"people": {"expressions": [{"share": 0.5, "rate": 0.4}]}},
            "people: the shares of expressions add up to 0.5; they must to 1",
        ),
        (
            {"accumulate": 4},
            "batch_size 4 over accumulate 4 must leave at least 2 pictures in a part",
        ),
    ],
)
def test_what_cannot_be_learned_is_refused(tmp_path, changes, said):
    with pytest.raises(ConfigError) as caught:
        load_section(write(tmp_path, **changes), FaceEmbedderConfig)
    assert str(caught.value).endswith(said)


def test_it_begins_from_another_and_draws_people_of_the_second_edition(tmp_path, config):
    (tmp_path / "a").mkdir()
    first = train_face_embedder(write(tmp_path), tmp_path / "a")
    people = {**TINY["people"], "edition": 2, "aus": "drawn", "even": 0.5}
    second = train_face_embedder(write(tmp_path, people=people, init=str(first)), tmp_path / "b")
    card = json.loads((tmp_path / "b" / "card.json").read_text())
    assert card["started_from"]["sha256"] == file_sha256(first)
    assert card["started_from"]["new"] == []
    assert card["renderer"] == renderer_version(2)
    assert load_face_network(second)[0].shape == load_face_network(first)[0].shape
    of_second = FaceEmbedderConfig.model_validate(TINY | {"people": people})
    pictures = [TrainingPictures(one)[0].pixels for one in (config, of_second)]
    assert not torch.equal(*pictures)


def test_a_file_that_is_missing_is_no_start(tmp_path):
    with pytest.raises(WeightsError) as error:
        train_face_embedder(write(tmp_path, init=str(tmp_path / "no.safetensors")), tmp_path / "a")
    assert str(error.value) == f"face embedder {tmp_path / 'no.safetensors'} does not exist"


@pytest.mark.parametrize("folder", ["", "second/"])
def test_the_examples_are_configurations(folder):
    config = load_section(f"examples/train/{folder}face-embedder.yaml", FaceEmbedderConfig)
    assert config.people.count == 4096
