"""The tokenizer of the second mini world: each word of the drawings one token, and `id` too."""

import re

import pytest
from transformers import AutoTokenizer, CLIPTokenizer, PreTrainedTokenizerFast

from pipelines.procedural import random_identity
from pipelines.procedural.expression import DRAWN_AUS
from pipelines.training.clip.tokenizer import train_tokenizer
from pipelines.training.data.captions import caption_words, describe
from synthgen.action_units import FACS
from synthgen.errors import TrainingError

CAPTIONS = [describe(random_identity(seed=i), i) for i in range(60)]
WORDS = [*caption_words(DRAWN_AUS), "id"]
TOKENIZER = train_tokenizer(CAPTIONS, 1100, 64, WORDS)


def test_each_word_of_the_drawings_is_one_token_and_so_is_id():
    assert {"curly", "moustache", "spectacles", "dimpler", "id", "wearing", "grandmother"} <= {
        *WORDS
    }
    tokens = TOKENIZER(WORDS, add_special_tokens=False).input_ids
    assert {word: len(found) for word, found in zip(WORDS, tokens, strict=True)} == dict.fromkeys(
        WORDS, 1
    )
    assert len({found[0] for found in tokens}) == len(WORDS)
    assert len(TOKENIZER) <= 1100


def test_id_stays_whole_in_a_sentence():
    token = TOKENIZER.convert_tokens_to_ids("id</w>")
    for text in ("photo of a id person", "a photo of id", "id, smiling"):
        assert TOKENIZER(text).input_ids.count(token) == 1


def test_no_caption_has_a_word_that_is_not_listed():
    names = DRAWN_AUS.names
    for seed in range(400):
        person = random_identity(seed, edition=2, even=True)
        aus = DRAWN_AUS.vector({names[seed % 18]: 1 + seed % 5, names[seed % 7]: 3})
        words = re.findall("[a-z]+", describe(person, seed, aus, DRAWN_AUS))
        assert {*words} <= {*WORDS}


def test_the_readmes_words_are_listed():
    readme = "young middle aged old elderly man woman boy girl grandfather grandmother black brown "
    readme += (
        "blond red gray short long curly wavy tied back cropped bald pale light fair tan olive "
    )
    readme += "dark blue green glasses stubble moustache goatee beard"
    assert {*readme.split()} <= {*WORDS}
    assert {word for name in DRAWN_AUS.names for word in re.findall("[a-z]+", FACS[name])} <= {
        *WORDS
    }


def test_the_tokenizers_of_transformers_agree(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    loaded = CLIPTokenizer.from_pretrained(tmp_path)
    found = AutoTokenizer.from_pretrained(tmp_path)
    fast = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    for text in (*CAPTIONS, "A Photo of a id person, naïve & 50 % grau!"):
        wanted = TOKENIZER(text).input_ids
        assert [each(text).input_ids for each in (loaded, found)] == [wanted] * 2
        assert fast.convert_ids_to_tokens(fast(text).input_ids[: len(wanted)]) == (
            TOKENIZER.convert_ids_to_tokens(wanted)
        )


def test_a_size_that_is_too_small_for_the_words_is_refused():
    needed = len(train_tokenizer(CAPTIONS, 4096, 64, WORDS))
    with pytest.raises(TrainingError) as caught:
        train_tokenizer(CAPTIONS, 600, 64, WORDS)
    said = re.fullmatch(
        r"text\.vocabulary 600 is too small to keep '(\w+)' one token; (\d+) would do",
        str(caught.value),
    )
    assert said is not None
    assert said[1] in WORDS
    assert 600 < int(said[2]) <= needed
    enough = train_tokenizer(CAPTIONS, int(said[2]), 64, WORDS)
    assert all(len(found) == 1 for found in enough(WORDS, add_special_tokens=False).input_ids)
