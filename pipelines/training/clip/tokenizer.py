"""A byte-level BPE tokenizer of our own, in the format of CLIP's.

The vocabulary is laid out as CLIP's: 256 bytes, 256 bytes that end a word, the merges, and the two
special tokens (Radford et al. 2021; Sennrich et al. 2016 for the merges).
"""

import json
from collections.abc import Iterable

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from synthgen.errors import TrainingError

START, END = "<|startoftext|>", "<|endoftext|>"
_END_OF_WORD = "</w>"


def train_tokenizer(captions: Iterable[str], size: int, max_length: int) -> CLIPTokenizer:
    """Learn merges from captions.

    Args:
        captions: the text; it is lower-cased as CLIP does.
        size: most tokens [at least 514]; fewer where the text has no more pairs.
        max_length: tokens of a text, start and end included.

    Raises:
        TrainingError: if there is no text, or none that repeats.
    """
    merges = _merges(captions, size)
    letters = _alphabet()
    words = [*letters, *(letter + _END_OF_WORD for letter in letters)]
    words += ["".join(pair) for pair in merges]
    vocabulary = list(dict.fromkeys(words))[: size - 2]
    known = set(vocabulary)
    vocabulary += [START, END]
    return CLIPTokenizer(
        vocab={word: place for place, word in enumerate(vocabulary)},
        merges=[pair for pair in merges if "".join(pair) in known],  # pyright: ignore
        model_max_length=max_length,
    )


def _merges(captions: Iterable[str], size: int) -> list[tuple[str, str]]:
    splitter = CLIPTokenizer().backend_tokenizer
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix=_END_OF_WORD))
    tokenizer.normalizer = splitter.normalizer
    tokenizer.pre_tokenizer = splitter.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=size,  # more than fit; the last merges are left out
        min_frequency=2,
        end_of_word_suffix=_END_OF_WORD,
        initial_alphabet=_alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    merges = _trained_merges(tokenizer)
    if not merges:
        raise TrainingError(
            "there are no captions to learn a tokenizer from, or none in which two letters repeat"
        )
    return merges


def _trained_merges(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    found = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in found]


def _alphabet() -> list[str]:
    return sorted(pre_tokenizers.ByteLevel.alphabet())
