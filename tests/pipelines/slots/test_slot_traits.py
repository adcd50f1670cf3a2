from pipelines.procedural.vocabulary import TRAITS
from pipelines.slots.traits import asked_of, slot_traits
from samplers.identities.faceid import FaceIdIdentitiesConfig
from samplers.identities.prompts import PromptIdentitiesConfig


def section(template, **slots):
    return PromptIdentitiesConfig(source="prompts", template=template, slots=slots)


def test_a_value_is_read_where_it_stands():
    found = slot_traits(
        section(
            "an {age} {person} with {colour} hair and {tone} skin {extra} in a {place}",
            age=["young", "old"],
            person=["man", "woman"],
            colour=["black", "chestnut"],
            tone=["black", "fair"],
            extra=["", "wearing glasses", "with a beard"],
            place=["park", "street"],
        ),
        TRAITS,
    )
    assert {slot: about.traits for slot, about in found.items()} == {
        "age": ("age",),
        "person": ("person",),
        "colour": ("hair",),
        "tone": ("skin",),
        "extra": ("beard", "glasses"),
    }
    assert found["colour"].values == {"black": {"hair": "black"}, "chestnut": {"hair": "brown"}}
    assert found["tone"].values == {"black": {"skin": "dark"}, "fair": {"skin": "light"}}
    assert found["extra"].values == {
        "": {"glasses": "no"},
        "wearing glasses": {"glasses": "yes"},
        "with a beard": {"glasses": "no", "beard": "beard"},
    }


def test_people_of_a_store_may_have_slots_too():
    people = FaceIdIdentitiesConfig(
        source="faceid",
        store="mini",
        template="a person {extra} in a {place}",
        slots={"extra": {"": 2.0, "wearing glasses": 1.0}, "place": ["park", "street"]},
    )
    assert {slot: about.traits for slot, about in slot_traits(people, TRAITS).items()} == {
        "extra": ("glasses",)
    }


def test_a_slot_of_traits_that_the_reader_does_not_know_is_absent():
    one = section("a {age} man with {hair} hair", age=["young", "old"], hair=["red", "gray"])
    assert list(slot_traits(one, ("hair",))) == ["hair"]
    assert slot_traits(one, ()) == {}


def test_a_prompt_asks_for_what_it_names():
    prompt = "a portrait of an old man with red hair"
    assert asked_of(prompt, ("age", "hair", "beard", "glasses")) == {
        "age": "old",
        "hair": "red",
        "glasses": "no",
    }
    assert asked_of("a bald man with red hair", ("hair", "hair_style")) == {"hair_style": "bald"}


def test_what_was_read_is_said_by_a_value_of_the_slot_where_one_names_it():
    (about,) = slot_traits(section("a man {extra}", extra=["", "wearing glasses"]), TRAITS).values()
    assert about.in_words({"glasses": "yes"}, "wearing glasses", True) == "wearing glasses"
    assert about.in_words({"glasses": "yes"}, "", False) == "wearing glasses"
    assert about.in_words({"glasses": "no"}, "wearing glasses", False) == ""
    (one,) = slot_traits(section("a man {extra}", extra=["wearing glasses"]), TRAITS).values()
    assert one.in_words({"glasses": "no"}, "wearing glasses", False) == "no glasses"
    (hair,) = slot_traits(section("{hair} hair", hair=["red", "chestnut"]), TRAITS).values()
    assert hair.in_words({"hair": "gray"}, "red", False) == "gray"
    assert hair.in_words({"hair": "brown"}, "red", False) == "chestnut"
