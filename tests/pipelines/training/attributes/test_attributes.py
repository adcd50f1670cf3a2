"""The attribute network's portraits and its training."""

import json
from collections import Counter

import pytest
import torch
import yaml
from tiny_training import make_vae_folder
from torch.utils.data import default_collate

from pipelines.attributes.network import AttributeNetwork
from pipelines.procedural.vocabulary import TRAITS
from pipelines.training.attributes import (
    AttributePortraits,
    AttributesConfig,
    AttributesLearner,
    draw_person,
    train_attributes,
)
from pipelines.training.data.portraits import (
    NOT_SHOWN,
    Portraits,
    read_rightly,
    trait_classes,
    trait_losses,
)
from synthgen.config.loading import load_section
from synthgen.errors import ConfigError, OutputError, WeightsError

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


def write(folder, **changes):
    path = folder / "attributes.yaml"
    path.write_text(yaml.safe_dump(TINY | changes))
    return path


def test_a_portrait_is_a_function_of_its_index():
    config = AttributesConfig.model_validate(TINY)
    one, other = AttributePortraits(config)[3], AttributePortraits(config)[3]
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    later = AttributePortraits(config)[1024 + 3]  # its second view
    assert torch.equal(one.pixels, later.pixels)
    assert not torch.equal(one.pixels, AttributePortraits(config)[4].pixels)


def test_even_people_have_each_value_of_each_trait_whatever_the_others_are():
    people = [draw_person(1, "train", number, 1.0) for number in range(600)]
    for trait, values in TRAITS.items():
        counts = Counter(person.traits[trait] for person in people)
        assert min(counts[value] for value in values) > 0.6 * 600 / len(values)
    women = [person for person in people if person.person == "woman"]
    assert sum(person.beard != "none" for person in women) > 0.6 * len(women)


def test_other_people_are_as_drawn_people_are():
    people = [draw_person(1, "train", number, 0.0) for number in range(200)]
    assert all(person.beard == "none" for person in people if person.person == "woman")
    assert not {person.seed for person in people} & {
        draw_person(1, "held-out", number, 0.0).seed for number in range(200)
    }


def test_people_of_the_second_edition_show_its_aus():
    faces = TINY["faces"] | {"edition": 2, "aus": "drawn"}
    config = AttributesConfig.model_validate(TINY | {"faces": faces})
    portraits = AttributePortraits(config)
    assert portraits[0].aus.shape == (18,)
    people = [draw_person(1, "train", number, 1.0, edition=2) for number in range(300)]
    assert {person.edition for person in people} == {2}
    assert any(person.beard == "beard" and person.person == "woman" for person in people)
    shown = portraits[3].traits.tolist()
    person = draw_person(TINY["seed"], "train", 3, config.faces.even, edition=2)
    assert shown == trait_classes(person, TRAITS)


def test_the_examples_are_allowed():
    for path, edition in (("", 1), ("second/", 2)):
        config = load_section(f"examples/train/{path}attributes.yaml", AttributesConfig)
        assert (config.faces.edition, config.faces.even) == (edition, 0.6)


def test_a_trait_that_is_not_shown_costs_nothing_and_counts_nowhere():
    logits = {"hair": torch.tensor([[9.0, 0.0], [0.0, 9.0]]), "glasses": torch.zeros(2, 2)}
    classes = torch.tensor([[NOT_SHOWN, 1], [NOT_SHOWN, 0]])
    losses = trait_losses(logits, classes)
    assert losses["hair"].item() == 0
    assert losses["glasses"].item() == pytest.approx(0.6931, abs=1e-3)
    assert read_rightly(logits, classes).isnan().tolist() == [[True, False], [True, False]]


def test_it_learns_what_it_is_shown():
    size = {"channels": [8, 8, 8, 8], "narrow": 8, "hidden": 32}
    cycles = [{"steps": 60, "learning_rate": 0.003, "schedule": "constant", "warmup": 0.0}]
    unchanged = {"augmentation": {"chance": 0.0}, "model": size, "cycles": cycles}
    config = AttributesConfig.model_validate(TINY | unchanged)
    learner, portraits = AttributesLearner(config, torch.device("cpu")), AttributePortraits(config)
    batch = Portraits(*default_collate([portraits[i] for i in range(4)]))
    losses = [learner.learn(batch)["loss"] for _ in range(60)]
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])


def test_a_stopped_training_with_decoded_faces_ends_in_the_same_weights(tmp_path):
    decoded = {"vae": str(make_vae_folder(tmp_path / "vae")), "share": 0.5}
    path = write(tmp_path, decoded=decoded)
    whole = train_attributes(path, tmp_path / "whole")
    assert not train_attributes(path, tmp_path / "stopped", stop_at=2).exists()
    stopped = train_attributes(path, tmp_path / "stopped")
    one, other = (AttributeNetwork.from_file(path) for path in (stopped, whole))
    assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))
    assert one.shape == TINY["model"]
    card = json.loads((tmp_path / "whole" / "card.json").read_text())
    assert card["command"] == "synthgen train attributes attributes.yaml --to whole"
    assert len(card["vae_sha256"]) == 64
    assert set(card["held_out"]["drawn"]) == set(card["held_out"]["decoded"]) == set(TRAITS)
    assert set(card["held_out"]["values"]["glasses"]) == {"no", "yes"}


def test_a_checkpoint_of_another_vae_is_refused(tmp_path):
    folder = make_vae_folder(tmp_path / "vae")
    path = write(tmp_path, decoded={"vae": str(folder)})
    train_attributes(path, tmp_path / "out", stop_at=1)
    make_vae_folder(folder, seed=8)
    with pytest.raises(OutputError, match=r"checkpoint\.pt was trained with vae_sha256"):
        train_attributes(path, tmp_path / "out")


def test_a_vae_that_is_not_there_is_named(tmp_path):
    path = write(tmp_path, decoded={"vae": str(tmp_path / "none")})
    with pytest.raises(WeightsError) as caught:
        train_attributes(path, tmp_path / "out")
    assert str(caught.value) == (
        f"VAE {tmp_path}/none/diffusion_pytorch_model.safetensors does not exist"
    )
    assert not (tmp_path / "out").exists()


def test_a_batch_of_one_cannot_be_normalised(tmp_path):
    path = write(tmp_path, batch_size=4, accumulate=4)
    with pytest.raises(ConfigError) as caught:
        load_section(path, AttributesConfig)
    assert str(caught.value) == (
        f"{path}: batch_size 4 over accumulate 4 must leave at least 2 portraits in a part"
    )
