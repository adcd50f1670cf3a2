"""The tokenizer: a byte-level BPE of our own.

Its vocabulary is laid out as CLIP's: 256 bytes, 256 bytes that end a word, the merges, and the two
special tokens (Radford et al. 2021; Sennrich et al. 2016 for the merges).
"""

import json
from collections.abc import Iterable, Sequence
from itertools import chain

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from synthgen.errors import TrainingError

START, END = "<|startoftext|>", "<|endoftext|>"
_END_OF_WORD = "</w>"
_ALL = 65_536
_OFTEN = 1000
"""Times that a whole word is told: before rare words of captions, of which there may be many."""


def train_tokenizer(
    captions: Iterable[str], size: int, max_length: int, whole: Sequence[str] = ()
) -> CLIPTokenizer:
    """Learn merges from captions.

    Args:
        captions: the text; it is lower-cased as CLIP does.
        size: most tokens [at least 514]; fewer where the text has no more pairs.
        max_length: tokens of a text, start and end included.
        whole: lower-case words, of letters alone, each of which becomes one token.

    Raises:
        TrainingError: if there is no text, or none that repeats; or if `size` is too small for
            the whole words.
    """
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    splitter = CLIPTokenizer().backend_tokenizer
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix=_END_OF_WORD))
    tokenizer.normalizer = splitter.normalizer
    tokenizer.pre_tokenizer = splitter.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=_ALL if whole else size,  # more than fit; the last merges are left out
        min_frequency=2,
        end_of_word_suffix=_END_OF_WORD,
        initial_alphabet=letters,
        show_progress=False,
    )
    told = (word for word in whole for _ in range(_OFTEN))
    tokenizer.train_from_iterator(chain(captions, told), trainer)
    found = json.loads(tokenizer.to_str())["model"]["merges"]
    merges = [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in found]
    if not merges:
        raise TrainingError(
            "there are no captions to learn a tokenizer from, or none in which two letters repeat"
        )
    words = [*letters, *(letter + _END_OF_WORD for letter in letters)]
    words += ["".join(pair) for pair in merges]
    words = list(dict.fromkeys(words))
    _check_whole(whole, words, size)
    vocabulary = words[: size - 2]
    known = set(vocabulary)
    vocabulary += [START, END]
    return CLIPTokenizer(
        vocab={word: place for place, word in enumerate(vocabulary)},
        merges=[pair for pair in merges if "".join(pair) in known],  # pyright: ignore
        model_max_length=max_length,
    )


def _check_whole(whole: Sequence[str], tokens: list[str], size: int) -> None:
    """Refuse a size that leaves out the token of a whole word."""
    places = {token: place for place, token in enumerate(tokens)}
    needed = {word: places[word + _END_OF_WORD] + 3 for word in whole}
    if needed and (most := max(needed.values())) > size:
        word = next(word for word in whole if needed[word] > size)
        raise TrainingError(
            f"text.vocabulary {size} is too small to keep {word!r} one token; {most} would do"
        )
