import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_vision_language import tiny_tokenizer, write_blip2

from pipelines.preparation.vision_language import VisionLanguageModel
from synthgen.errors import WeightsError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_blip2(tmp_path_factory.mktemp("blip2") / "tiny")


@pytest.fixture(scope="module")
def model(folder):
    return VisionLanguageModel.from_pretrained(str(folder))


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)) for _ in range(3)]


def test_p_yes_is_the_share_of_yes_at_the_first_token(model, images):
    inputs = model._processor(
        images=images, text=[model.words.question] * 3, return_tensors="pt", padding=True
    )
    with torch.inference_mode():
        logits = model._model(**inputs).logits[:, -1].double()
    shares = logits.softmax(dim=-1)
    tokenizer = model._processor.tokenizer
    words = {
        answer: {
            tokenizer(word, add_special_tokens=False)["input_ids"][0]
            for word in (answer, f" {answer}", answer.title(), f" {answer.title()}", answer.upper())
        }
        for answer in ("yes", "no")
    }
    blank = tokenizer(" ", add_special_tokens=False)["input_ids"][0]
    yes, no = (shares[:, sorted(words[answer] - {blank})].sum(dim=1) for answer in ("yes", "no"))
    expected = (yes / (yes + no)).tolist()
    assert model.photo(images) == pytest.approx(expected, abs=1e-5)
    assert len(set(expected)) == 3


def test_captions_begin_as_they_are_asked_to_and_are_one_line(model, images):
    captions = model.captions(images)
    assert len(captions) == 3
    for caption in captions:
        assert caption == "" or caption.startswith("a photo of ")
        assert "\n" not in caption
    assert model.captions(images) == captions


def test_words_may_be_said(folder, images):
    named = VisionLanguageModel.from_pretrained(
        str(folder), question="Question: is it painted? Answer:", caption="a picture of"
    )
    assert named.fingerprint()["question"] == "Question: is it painted? Answer:"
    assert all(one == "" or one.startswith("a picture of ") for one in named.captions(images))


def test_a_model_that_chats_is_asked_in_a_chat(folder, images):
    chats = VisionLanguageModel.from_pretrained(str(folder))
    chats._processor.chat_template = (
        "{% for message in messages %}{% for part in message.content %}"
        "{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}{% endfor %}"
    )
    made = VisionLanguageModel(chats._model, chats._processor)
    assert made.chats
    assert made.words.caption == "Describe this picture in one short sentence."
    assert all(0 < one < 1 for one in made.photo(images))
    assert not any(one.startswith(made.words.caption) for one in made.captions(images))


def test_answers_that_begin_with_one_token_are_refused(tmp_path):
    bytes_alone = tiny_tokenizer("")
    found = write_blip2(tmp_path / "bytes", tokenizer=bytes_alone)
    made = VisionLanguageModel.from_pretrained(str(found))  # y and n differ, so bytes will do
    tokenizer = made._processor.tokenizer
    tokenizer.backend_tokenizer.normalizer = None
    made._processor.tokenizer = _Numb(tokenizer)
    text = (
        "tiny: its tokenizer begins 'yes' and 'no' with the same token, so its first token is no "
        "answer; take another model"
    )
    with pytest.raises(WeightsError, match=f"^{re.escape(text)}$"):
        VisionLanguageModel(made._model, made._processor, name="tiny")


class _Numb:
    """A tokenizer to which all words begin alike."""

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer
        self.padding_side = "left"

    def __call__(self, *words, **options):
        return {"input_ids": [5]}

    def decode(self, tokens):
        return "?"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("model.safetensors", "{folder} has no .safetensors file, and no other kind is read"),
        ("config.json", "{folder} has no file config.json; it must hold config.json"),
    ],
)
def test_a_folder_without_its_files_is_refused(folder, tmp_path, spoil, said):
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in Path(folder).iterdir():
        if file.name != spoil:
            (copy / file.name).write_bytes(file.read_bytes())
    with pytest.raises(WeightsError, match=f"^{re.escape(said.format(folder=copy))}$"):
        VisionLanguageModel.from_pretrained(str(copy))
