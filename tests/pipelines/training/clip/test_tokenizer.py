import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders
from transformers import CLIPTokenizer

from pipelines.procedural import random_identity
from pipelines.training.clip.tokenizer import END, START, train_tokenizer
from pipelines.training.data.captions import describe
from synthgen.errors import TrainingError

CAPTIONS = [describe(random_identity(seed=i), i) for i in range(300)]
TOKENIZER = train_tokenizer(CAPTIONS, 700, 32)


def plain(text: str, tokenizer: CLIPTokenizer = TOKENIZER) -> list[int]:
    return tokenizer(text, add_special_tokens=False).input_ids


@pytest.mark.parametrize("size", [515, 520, 600, 700])
def test_it_has_at_most_the_tokens_asked_for(size):
    tokenizer = train_tokenizer(CAPTIONS, size, 32)
    assert 514 < len(tokenizer) <= size
    assert max(max(plain(caption, tokenizer)) for caption in CAPTIONS) < len(tokenizer)


def test_a_text_begins_ends_and_is_cut_as_clips():
    start, end = (TOKENIZER.convert_tokens_to_ids(token) for token in (START, END))
    short = TOKENIZER("a man", padding="max_length", truncation=True).input_ids
    long = TOKENIZER("a man " * 99, padding="max_length", truncation=True).input_ids
    assert (len(short), len(long)) == (32, 32)
    assert (short[0], short[-1], long[0], long[-1]) == (start, end, start, end)


def test_common_words_are_few_tokens():
    lengths = [len(plain(caption)) / len(caption.split()) for caption in CAPTIONS]
    assert sum(lengths) / len(lengths) < 2


@settings(max_examples=60)
@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"]), min_size=1, max_size=12))
def test_the_tokens_of_any_text_spell_it(text):
    pieces = [piece.removesuffix("</w>") for piece in TOKENIZER.convert_ids_to_tokens(plain(text))]
    spelled = decoders.ByteLevel().decode(pieces)
    assert spelled == TOKENIZER.backend_tokenizer.normalizer.normalize_str(text)


def test_letters_of_other_scripts_are_kept_apart():
    words = ["naïve", "женщина", "女性", "👩", "woman"]
    assert len({tuple(plain(word)) for word in words}) == len(words)
    assert [TOKENIZER.decode(plain(word)).strip() for word in words] == words


def test_saved_and_loaded_it_is_the_same(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    loaded = CLIPTokenizer.from_pretrained(tmp_path)
    assert loaded.model_max_length == 32
    for text in (*CAPTIONS[:20], "Ein älterer Mann, 50 % grau!"):
        assert loaded(text).input_ids == TOKENIZER(text).input_ids


def test_without_text_there_is_no_tokenizer():
    with pytest.raises(TrainingError) as caught:
        train_tokenizer([], 700, 32)
    assert str(caught.value) == (
        "there are no captions to learn a tokenizer from, or none in which two letters repeat"
    )
