"""The second judge: its portraits and its training."""

import json

import numpy as np
import pytest
import torch
import yaml

from pipelines.evaluation.judge_network import JUDGED_TRAITS, load_judge
from pipelines.evaluation.judges import SecondJudge
from pipelines.procedural import DRAWN_AUS, random_identity, render, renderer_version
from pipelines.procedural.vocabulary import TRAITS
from pipelines.training.data.examples import HELD_OUT
from pipelines.training.data.portraits import NOT_SHOWN, trait_classes
from pipelines.training.judge import (
    FIRST_HELD_OUT,
    FIRST_IDENTITY,
    HeldOutPortraits,
    JudgeConfig,
    JudgeLearner,
    JudgePortraits,
    train_judge,
)
from synthgen.action_units import AUS
from synthgen.config.loading import load_section
from synthgen.errors import ConfigError, OutputError

TINY = {
    "seed": 3,
    "cycles": [{"steps": 4, "learning_rate": 0.01, "schedule": "constant", "warmup": 0.0}],
    "batch_size": 4,
    "faces": {"expressions": [{"share": 1.0, "rate": 0.4}], "views": 2},
    "model": {"channels": [4, 4, 4, 4], "narrow": 2, "hidden": 8},
    "evaluation": {"faces": 8},
    "device": "cpu",
    "workers": 0,
    "log_every": 1,
}


@pytest.fixture
def config():
    return JudgeConfig.model_validate(TINY)


def write(folder, **changes):
    path = folder / "judge.yaml"
    path.write_text(yaml.safe_dump(TINY | changes))
    return path


def test_a_portrait_is_a_function_of_its_index(config):
    one, other = JudgePortraits(config)[3], JudgePortraits(config)[3]
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    later = JudgePortraits(config)[1024 + 3]  # its second view
    assert all(torch.equal(a, b) for a, b in zip(one, later, strict=True))
    assert not torch.equal(one.pixels, JudgePortraits(config)[4].pixels)
    assert len(JudgePortraits(config)) == 16


def test_held_out_portraits_show_others(config):
    assert FIRST_IDENTITY > 2 * HELD_OUT + 2**40
    assert FIRST_HELD_OUT > FIRST_IDENTITY + 2**40
    assert not torch.equal(HeldOutPortraits(config)[0].pixels, JudgePortraits(config)[0].pixels)


def test_traits_are_classes_and_bald_hair_has_no_colour():
    identity = random_identity(seed=1, hair="red", hair_style="long", skin="dark", age="old")
    classes = dict(zip(JUDGED_TRAITS, trait_classes(identity, JUDGED_TRAITS), strict=True))
    assert TRAITS["hair"][classes["hair"]] == "red"
    assert TRAITS["skin"][classes["skin"]] == "dark"
    assert TRAITS["age"][classes["age"]] == "old"
    bald = random_identity(seed=1, person="man", hair_style="bald")
    assert trait_classes(bald, JUDGED_TRAITS)[JUDGED_TRAITS.index("hair")] == NOT_SHOWN


def test_it_learns_what_it_is_shown(config):
    learner = JudgeLearner(config, torch.device("cpu"))
    portraits = [JudgePortraits(config)[i] for i in range(4)]
    batch = type(portraits[0])(*(torch.stack(part) for part in zip(*portraits, strict=True)))
    losses = [learner.learn(batch)["loss"] for _ in range(20)]
    assert sum(losses[-4:]) < 0.95 * sum(losses[:4])


def test_a_portrait_without_hair_teaches_nothing_about_hair(config):
    learner = JudgeLearner(config, torch.device("cpu"))
    portraits = [JudgePortraits(config)[i] for i in range(4)]
    batch = type(portraits[0])(*(torch.stack(part) for part in zip(*portraits, strict=True)))
    hidden = batch._replace(traits=batch.traits.index_fill(1, torch.tensor([0]), NOT_SHOWN))
    assert learner.losses(hidden)["hair"].item() == 0


def test_a_stopped_training_ends_in_the_same_weights(tmp_path):
    path = write(tmp_path)
    whole = train_judge(path, tmp_path / "whole")
    assert not train_judge(path, tmp_path / "stopped", stop_at=2).exists()
    stopped = train_judge(path, tmp_path / "stopped")
    one, other = load_judge(stopped).state_dict(), load_judge(whole).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in other)
    assert load_judge(whole).shape == TINY["model"]
    histories = [(tmp_path / name / "history.jsonl").read_text() for name in ("whole", "stopped")]
    assert histories[0] == histories[1]
    card = json.loads((tmp_path / "whole" / "card.json").read_text())
    assert card["command"] == "synthgen train judge judge.yaml --to whole"
    assert card["steps"] == 4
    assert set(card["held_out"]["traits"]) == set(JUDGED_TRAITS)
    assert len(card["held_out"]["aus"]) == 12


def test_a_judge_of_the_second_edition_reads_its_aus_and_judges_the_twelve(tmp_path):
    faces = TINY["faces"] | {"edition": 2, "aus": "drawn", "even": 0.5}
    file = train_judge(write(tmp_path, faces=faces), tmp_path / "out")
    network = load_judge(file)
    assert network.action_units == DRAWN_AUS
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["renderer"] == renderer_version(2)
    assert list(card["held_out"]["aus"]) == list(DRAWN_AUS.names)
    picture = JudgePortraits(JudgeConfig.model_validate(TINY | {"faces": faces}))[1]
    assert picture.aus.shape == (18,)
    face = render(random_identity(1, edition=2), picture.aus.tolist())
    found = SecondJudge.from_file(file).measure([face])
    pixels = torch.from_numpy(np.array(face.crop((8, 8, 120, 120)))).permute(2, 0, 1) / 255
    with torch.inference_mode():
        whole = network(pixels[None]).aus.clamp(0, 5).numpy()
    places = [DRAWN_AUS.index(name) for name in AUS]
    np.testing.assert_allclose(found, whole[:, places], atol=1e-5)


def test_the_examples_are_allowed():
    first = load_section("examples/train/judge.yaml", JudgeConfig)
    second = load_section("examples/train/second/judge.yaml", JudgeConfig)
    assert (first.faces.edition, second.faces.edition, second.faces.aus) == (1, 2, "drawn")


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    train_judge(write(tmp_path), tmp_path / "out", stop_at=1)
    with pytest.raises(OutputError) as caught:
        train_judge(write(tmp_path, trait_weight=0.5), tmp_path / "out")
    assert str(caught.value) == (
        f"{tmp_path}/out/checkpoint.pt was trained with trait_weight 0.2, now it is 0.5; "
        "train into another folder with --to"
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"faces": {"expressions": [{"share": 0.5, "rate": 0.4}]}},
            "faces: the shares of expressions add up to 0.5; they must to 1",
        ),
        (
            {"batch_size": 4, "accumulate": 4},
            "batch_size 4 must be a multiple of accumulate 4, with at least 2 portraits in a part",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(tmp_path, changes, said):
    path = write(tmp_path, **changes)
    with pytest.raises(ConfigError) as caught:
        load_section(path, JudgeConfig)
    assert str(caught.value) == f"{path}: {said}"
