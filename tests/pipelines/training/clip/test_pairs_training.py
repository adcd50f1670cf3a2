"""A pair trained on minimal pairs and read: resumed to the bit, measured, refused."""

import json

import pytest
import tiny_training as tiny
import torch
from pydantic import ValidationError
from transformers import CLIPTextModel, CLIPTokenizer

from pipelines.procedural.vocabulary import TRAITS
from pipelines.training.clip.config import CLIPConfig
from pipelines.training.clip.learner import READ, told_classes
from pipelines.training.clip.separation import measure_readers, measure_separation
from pipelines.training.clip.train import train_clip
from pipelines.training.data.captions import wordings
from pipelines.training.data.config import ProceduralData
from pipelines.training.data.examples import ProceduralExamples
from synthgen.action_units import DEFAULT_AUS
from synthgen.errors import TrainingError

DRAWN = {**tiny.DRAWN, "edition": 2, "aus": "drawn", "even": 0.5, "expression_words": 0.5}


def pairs(**changes):
    size = {"hidden_size": 16, "layers": 1, "heads": 2}
    text = {**size, "widening": 1, "vocabulary": 1100, "captions": 40, "max_length": 32}
    return tiny.clip(
        **{
            "data": DRAWN,
            "batch_size": 4,
            "minimal_pairs": {"group": 4},
            "reading": {"weight": 0.5},
            "text": {**text, "whole_words": True},
            **changes,
        }
    )


def test_stopped_and_continued_it_is_the_same_to_the_bit_and_measured(tmp_path):
    config = tiny.write(tmp_path / "clip.yaml", pairs())
    train_clip(config, tmp_path / "whole")
    for stop in (3, None):
        train_clip(config, tmp_path / "parts", stop)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for name in ("text_encoder", "image_encoder"):
        file = f"{name}/model.safetensors"
        assert (whole / file).read_bytes() == (parts / file).read_bytes()
    assert tiny.history(whole) == tiny.history(parts)
    last = tiny.history(whole)[-1]
    assert last["loss"] > last["reading"] / 2 > 0
    assert 0 <= last["read"] <= 1
    card = json.loads((whole / "text_encoder" / "card.json").read_text())["held_out"]
    assert 0 <= card["top-1"] <= card["top-1 of its group"] <= 1
    assert card["separation"].keys() == {*wordings(), "AU", "intensity"}
    hair = card["separation"]["hair"].values()
    assert sum(hair) / len(hair) == pytest.approx(1, abs=1e-3)
    assert card["readers"].keys() == {"mean", "last"}
    assert CLIPTextModel.from_pretrained(whole / "text_encoder").config.intermediate_size == 16
    tokenizer = CLIPTokenizer.from_pretrained(whole / "tokenizer")
    assert tokenizer.convert_tokens_to_ids("id</w>") != tokenizer.unk_token_id


def test_a_vocabulary_that_is_too_small_is_refused_with_the_size_that_does(tmp_path):
    text = {**pairs()["text"], "vocabulary": 600}
    config = tiny.write(tmp_path / "clip.yaml", pairs(text=text))
    with pytest.raises(TrainingError, match=r"^text\.vocabulary 600 is too small to keep '\w+' "):
        train_clip(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 6}, "batch_size 6 must be a multiple of minimal_pairs.group 4"),
        (
            {"data": {"source": "dataset", "path": "faces", "size": 64}},
            "minimal_pairs are drawn, and data.source is 'dataset'; set data.source: procedural",
        ),
    ],
)
def test_what_has_no_minimal_pairs_is_refused(changes, said):
    with pytest.raises(ValidationError) as caught:
        CLIPConfig.model_validate(pairs(**changes))
    assert [error["msg"] for error in caught.value.errors()] == [f"Value error, {said}"]


def test_new_keys_at_their_defaults_are_not_stored():
    stored = CLIPConfig.model_validate(tiny.clip()).model_dump()
    assert not {"minimal_pairs", "reading"} & stored.keys()
    assert not {"whole_words", "widening"} & stored["text"].keys()
    assert "widening" not in stored["vision"]


def test_what_a_caption_does_not_tell_is_a_class_of_its_own():
    told = told_classes("a portrait of an old man with curly hair and without glasses")
    found = {
        trait: TRAITS[trait][place - 1]
        for trait, place in zip(READ, told.tolist(), strict=True)
        if place
    }
    wanted = {"age": "old", "person": "man", "hair_style": "curly", "glasses": "no"}
    assert found == wanted


def by_word(weights):
    """Return a text encoder whose states are the mean of its words' vectors."""
    words: dict[str, int] = {}

    def encode(captions):
        states = torch.zeros(len(captions), 2, 512)
        for row, caption in enumerate(captions):
            for word in caption.replace(",", "").split():
                place = words.setdefault(word, len(words))
                states[row, :, place] += weights.get(word, 1.0)
        return states

    return encode


def test_a_word_that_changes_nothing_separates_nothing():
    even = measure_separation(by_word({}), DEFAULT_AUS, pairs=6)
    deaf = measure_separation(by_word({"moustache": 0.0, "curly": 9.0}), DEFAULT_AUS, pairs=6)
    assert deaf["beard"]["a moustache"] < even["beard"]["a moustache"]
    assert deaf["hair_style"]["curly"] > 4 * even["hair_style"]["curly"]
    assert even["skin"]["dark"] == pytest.approx(1, abs=0.4)


def test_a_reader_reads_words_that_are_there_and_not_those_that_are_not():
    examples = ProceduralExamples(ProceduralData.model_validate(DRAWN), 3, held_out=True)
    found = measure_readers(by_word({}), examples, 400)
    assert found["mean"]["person"] > 0.95
    deaf = dict.fromkeys(("man", "guy", "gentleman", "male", "boy", "woman", "lady", "female"), 0.0)
    assert measure_readers(by_word(deaf), examples, 400)["mean"]["person"] < 0.95
