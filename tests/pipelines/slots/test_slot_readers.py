import numpy as np
import pytest
import torch
from PIL import Image
from tiny_slots import attributes, clip

from pipelines.attributes.network import AttributeNetwork
from pipelines.procedural import identity_from_text, render
from pipelines.slots.readers import AttributesReader, ClipReader, SlotReading
from pipelines.slots.section import AttributesConfig, ClipConfig, SlotsPolicy
from pipelines.slots.verifier import SlotsVerifier, judge_slots
from samplers.identities.identity import filled
from samplers.identities.prompts import PromptIdentitiesConfig
from samplers.spec import SampleSpec
from synthgen.errors import ConfigError, WeightsError

TEMPLATE = "a {age} man with {hair} hair {extra}"
SLOTS = {"age": ["young", "old"], "hair": ["red", "gray"], "extra": ["", "wearing glasses"]}
IDENTITIES = PromptIdentitiesConfig(source="prompts", template=TEMPLATE, slots=SLOTS)
NAMES = tuple(SLOTS)


def spec(age="old", hair="red", extra="", prompt=None):
    values = {"age": age, "hair": hair, "extra": extra}
    return SampleSpec(
        index=0,
        split="train",
        position=0,
        replacement=0,
        stratum="",
        conditions={},
        emotion=None,
        identity_id="anna",
        identity=values,
        identity_seed=1,
        prompt=prompt or filled(TEMPLATE, values),
        negative_prompt="",
    )


def portrait(seed, text="an old man with red hair"):
    return Image.fromarray(np.asarray(render(identity_from_text(text, seed), (0.0,) * 12)))


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Return the file of a network that sees young people with gray hair, and no glasses."""
    sees = {"age": "young", "hair": "gray", "glasses": "no"}
    return attributes(tmp_path_factory.mktemp("network") / "attributes.safetensors", sees)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return clip(tmp_path_factory.mktemp("clip") / "tiny")


def attribute_reader(file):
    config = AttributesConfig(kind="attributes", weights=str(file))
    return AttributesReader.from_config(config, IDENTITIES, "cpu")


def clip_reader(folder, **keys):
    config = ClipConfig(kind="clip", model=str(folder), **keys)
    return ClipReader.from_config(config, IDENTITIES, "cpu")


def test_the_network_s_traits_become_values_of_slots(network):
    found = attribute_reader(network).read(portrait(1), spec("old", "gray", ""), NAMES)
    assert (found["age"].value, found["age"].right) == ("young", False)
    assert (found["hair"].value, found["hair"].right) == ("gray", True)
    assert (found["extra"].value, found["extra"].right) == ("", True)
    assert found["age"].probability > 0.99 > 0.01 > found["age"].asked
    assert found["hair"].probability == found["hair"].asked > 0.99


def test_probabilities_are_those_of_the_network_on_the_whole_square(network, tmp_path):
    random = attributes(tmp_path / "random.safetensors", {})
    wide = Image.new("RGB", (200, 128), "white")
    wide.paste(portrait(2), (36, 0))
    pixels = torch.from_numpy(np.asarray(portrait(2), np.float32) / 255).permute(2, 0, 1)
    shares = AttributeNetwork.from_file(random)(pixels[None])["age"][0]
    found = attribute_reader(random).read(wide, spec("old"), NAMES)["age"]
    assert found.probability == pytest.approx(float(shares.max()))
    assert found.asked == pytest.approx(float(shares[2]))  # young, middle-aged, old


def test_what_a_prompt_leaves_open_is_not_judged(network):
    reader = attribute_reader(network)
    bald = spec(prompt="an old bald man with red hair")
    assert reader.read(portrait(1), bald, NAMES)["hair"] is None
    row = SlotsVerifier(reader, NAMES).measure([portrait(1)], [bald])[0]
    assert row["slot_hair_read"] is row["slot_hair_probability"] is row["slot_hair_right"] is None
    policy = SlotsPolicy(refuse=["hair"])
    assert SlotsVerifier(reader, NAMES, policy).verdict(bald, row).accepted


def test_columns_hold_what_was_read(network):
    verifier = SlotsVerifier(attribute_reader(network), ["extra"])
    assert list(verifier.columns) == [
        "slot_extra_read",
        "slot_extra_probability",
        "slot_extra_right",
    ]
    asked = spec(extra="wearing glasses")
    (found,) = verifier.measure([portrait(3)], [asked])
    assert (found["slot_extra_read"], found["slot_extra_right"]) == ("", False)
    assert verifier.verdict(asked, found).accepted  # it only measures
    assert verifier.fingerprint()["licences"] == {"attributes.safetensors": "free"}


def test_a_policy_refuses_other_values_and_doubtful_ones():
    asked = {"age": "old", "extra": "wearing glasses"}
    wrong = {"age": SlotReading("young", 0.75, 0.2, False), "extra": None}
    right = {"age": SlotReading("old", 0.6, 0.6, True), "extra": None}
    policy = SlotsPolicy(refuse=["extra", "age"])
    assert judge_slots(asked, right, policy).accepted
    found = judge_slots(asked, wrong, policy)
    assert (found.reason, found.detail) == (
        "age",
        "the slot age is read as 'young' (0.75); 'old' (0.20) was asked for",
    )
    assert found.distance == pytest.approx(5 * 0.55)
    found = judge_slots(asked, right, SlotsPolicy(refuse=["age"], min_probability=0.7))
    assert (found.reason, found.detail) == (
        "age",
        "the slot age is read as 'old' with a probability of 0.60; the least allowed is 0.7",
    )
    assert found.distance == pytest.approx(5 * 0.1)


def test_clip_compares_an_image_with_a_sentence_for_each_value(model):
    reader = clip_reader(model)
    assert reader.sentences(spec("old", "red", ""), "extra") == {
        "": "an old man with red hair",
        "wearing glasses": "an old man with red hair wearing glasses",
    }
    assert reader.sentences(spec("old", "red", ""), "age")["young"] == "a young man with red hair"
    found = reader.read(portrait(1), spec(), NAMES)
    for slot, asked in spec().identity.items():
        each = found[slot]
        assert each.value in SLOTS[slot]
        assert each.right == (each.value == asked)
        assert each.probability >= 0.5
        others = reader.read(portrait(1), spec(**{slot: each.value}), [slot])[slot]
        assert others.right or slot == "age"  # a sentence of another age has other neighbours


def test_clip_s_probabilities_are_a_softmax_of_scaled_cosines(model):
    from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

    texts = {"young": "a child", "old": "an elder"}
    reader = clip_reader(model, texts={"age": texts})
    found = reader.read(portrait(4), spec("young"), ["age"])["age"]
    tokens = CLIPTokenizer.from_pretrained(model)
    pixels = CLIPImageProcessor.from_pretrained(model)(portrait(4), return_tensors="pt")
    words = tokens(list(texts.values()), padding=True, return_tensors="pt")
    logits = CLIPModel.from_pretrained(model)(**words, **pixels).logits_per_image
    assert found.asked == pytest.approx(float(logits.softmax(1)[0, 0].detach()), abs=1e-5)


def test_a_template_of_one_s_own_names_value_and_slot(model):
    reader = clip_reader(model, template="a face, {slot}: {value}")
    assert reader.sentences(spec(), "hair") == {
        "red": "a face, hair: red",
        "gray": "a face, hair: gray",
    }


def test_sentences_that_clip_reads_alike_are_refused(tmp_path):
    folder = clip(tmp_path / "short", places=8)
    with pytest.raises(ConfigError) as caught:
        clip_reader(folder).check(spec(), NAMES)
    assert str(caught.value) == (
        f"the check slots cannot tell hair 'gray' from 'red': {folder} reads the same tokens of "
        "both sentences (an old man with gray hair); set reader.template or reader.texts"
    )
    clip_reader(folder, template="{value}").check(spec(), ["hair"])


def test_a_folder_that_holds_no_clip_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError) as caught:
        clip_reader(tmp_path / "empty")
    assert str(caught.value).startswith(f"{tmp_path}/empty has no file config.json; it must hold ")


def test_images_do_not_depend_on_their_neighbours(model, network):
    for reader in (clip_reader(model), attribute_reader(network)):
        verifier = SlotsVerifier(reader, NAMES)
        images = [portrait(1), portrait(2)]
        together = verifier.measure(images, [spec(), spec("young")])
        assert verifier.measure(images[1:], [spec("young")]) == together[1:]
