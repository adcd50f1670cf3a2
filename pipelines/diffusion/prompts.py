"""Prompts against the length that a text encoder reads: warnings, and embeddings in pieces.

CLIP reads a fixed number of tokens (77 for Stable Diffusion, 64 for mini), its begin and end among
them, and its tokenizer cuts what lies beyond. Loads no torch.
"""

import math
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import CLIPTokenizer

from pipelines.weight_files import check_tokenizer_files
from synthgen.config.identities.base import IdentitySection
from synthgen.errors import PromptError, WeightsError
from synthgen.foreign import excerpt, first_line

# pyright: reportPrivateImportUsage=false
# transformers exports its names lazily, which the type checker does not see.


MAX_PIECES = 4
"""Pieces of a long prompt at most."""

ENDS = 2
"""Tokens of each piece that stand for its begin and its end."""

_COMBINATIONS = 20_000
"""Combinations of values that touch each other which are counted at most, the longest first."""

_SHOWN = 160


@dataclass(frozen=True, slots=True)
class LongestPrompt:
    """The longest prompt that a template makes.

    Attributes:
        prompt: the text.
        values: slot → value.
    """

    prompt: str
    values: Mapping[str, str]


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """Load a CLIP tokenizer.

    Raises:
        WeightsError: if its files cannot be read.
    """
    check_tokenizer_files(folder)
    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # tokenizers raises bare exceptions
        raise WeightsError(
            f"{folder} cannot be loaded as a tokenizer: {first_line(error)}"
        ) from error


def check_run_prompts(tokenizer: Any, identities: IdentitySection, long_prompts: str) -> int:
    """Refuse a run some prompt of which would be cut, before work begins.

    Args:
        tokenizer: the text encoder's.
        identities: template, slots and negative prompt.
        long_prompts: `refuse` or `chunk`.

    Returns:
        The pieces that its longest prompt falls into.

    Raises:
        PromptError: if the template makes a prompt that is too long, or the negative prompt is.
    """
    slots = {name: list(values) for name, values in identities.weighted_slots().items()}
    longest = longest_prompt(tokenizer, identities.template, slots)
    named = ", ".join(f"{name} {excerpt(value, 40)!r}" for name, value in longest.values.items())
    what = f"identities.template: {f'with {excerpt(named)} ' if named else ''}the prompt"
    refuse_long(tokenizer, [longest.prompt], what, long_prompts)
    negative = identities.negative_prompt
    refuse_long(tokenizer, [negative], "identities.negative_prompt", long_prompts)
    return piece_count(tokenizer, [longest.prompt, negative])


def token_counts(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """Return how many tokens each text has, begin and end not counted."""
    return [len(tokens) for tokens in tokens_of(tokenizer, texts)]


def refuse_long(
    tokenizer: Any, texts: Iterable[str], what: str, long_prompts: str, mend: str = ""
) -> None:
    """Refuse texts of which a text encoder would not see the end.

    Args:
        tokenizer: the text encoder's.
        texts: the texts.
        what: what the sentence calls the text.
        long_prompts: `refuse`: they are read as they are; `chunk`: in pieces.
        mend: what the sentence says to do besides shortening it; "": the configuration's key.

    Raises:
        PromptError: if one is too long; the sentence says by how much, and what would be cut off.
    """
    shown = list(texts)
    one = tokenizer.model_max_length - ENDS
    room = one * (MAX_PIECES if long_prompts == "chunk" else 1)
    for tokens in tokens_of(tokenizer, shown):
        if len(tokens) > room:
            cut = _both_ends(excerpt(tokenizer.decode(tokens[room:]).strip(), 10_000))
            key = "" if long_prompts == "chunk" else ", or set pipeline.long_prompts: chunk"
            raise PromptError(
                f"{what} has {len(tokens)} tokens besides begin and end, and {room} are read; "
                f"unseen would stay {cut!r}; shorten it{mend or key}"
            )


def longest_prompt(
    tokenizer: Any, template: str, slots: Mapping[str, Sequence[str]]
) -> LongestPrompt:
    """Find the longest prompt of a template, without trying all tuples of values.

    CLIP's tokens never reach over blanks. So the template falls into words; only slots within one
    word, and words that share a slot, are tried together.

    Args:
        tokenizer: the text encoder's.
        template: prompt with slots in braces.
        slots: slot → its values.
    """
    values: dict[str, str] = {}
    for words, names in _groups(template):
        values |= _longest_values(tokenizer, words, {name: slots[name] for name in names})
    values = {name: values[name] for name in slots}
    return LongestPrompt(" ".join(template.format(**values).split()), values)


def piece_count(tokenizer: Any, texts: Sequence[str]) -> int:
    """Return into how many pieces the longest of some texts falls, at least one."""
    room = tokenizer.model_max_length - ENDS
    return max((-(-count // room) for count in token_counts(tokenizer, texts)), default=1) or 1


def tokens_of(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Return the tokens of each text, all of them, without begin and end."""
    # Not verbose: transformers would warn of the very length that is looked for.
    found = tokenizer(list(texts), add_special_tokens=False, verbose=False) if texts else {}
    return found.get("input_ids", [])


def _both_ends(text: str) -> str:
    """Leave out the middle of a long text: slots stand at the end as often as at the start."""
    half = _SHOWN // 2
    return text if len(text) <= _SHOWN else f"{text[:half]} … {text[-half:]}"


def _groups(template: str) -> list[tuple[list[str], list[str]]]:
    """Split a template into words with slots; words that share a slot stand together.

    Returns:
        The words of each group, as templates, and its slots.
    """
    groups: list[tuple[list[str], list[str]]] = []
    for word, names in _words(template):
        joined, rest = ([word], list(names)), []
        for group in groups:
            if set(group[1]) & set(names):
                joined = (group[0] + joined[0], [*dict.fromkeys([*group[1], *joined[1]])])
            else:
                rest.append(group)
        groups = [*rest, joined]
    return groups


def _words(template: str) -> list[tuple[str, list[str]]]:
    """Return the words of a template that hold a slot, and the slots of each."""
    words: list[tuple[str, list[str]]] = [("", [])]
    for literal, name, _, _ in string.Formatter().parse(template):
        first, *others = _split(literal)
        words[-1] = (words[-1][0] + first, words[-1][1])
        words += [(part, []) for part in others]
        if name is not None:
            words[-1] = (f"{words[-1][0]}{{{name}}}", [*words[-1][1], name])
    return [word for word in words if word[1]]


def _split(literal: str) -> list[str]:
    """Split a literal at its blanks, escaped anew; a blank at an end leaves an empty part there."""
    marked = "".join(" " if letter.isspace() else letter for letter in literal)
    return [part.replace("{", "{{").replace("}", "}}") for part in marked.split(" ")]


def _longest_values(
    tokenizer: Any, words: Sequence[str], slots: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Find the values with which some words together have the most tokens."""
    text = " ".join(words)
    if math.prod(map(len, slots.values())) > _COMBINATIONS:
        kept = int(_COMBINATIONS ** (1 / len(slots)))
        slots = {name: _longest(tokenizer, values, kept) for name, values in slots.items()}
    tuples = [dict(zip(slots, values, strict=True)) for values in product(*slots.values())]
    filled = [" ".join(text.format(**values).split()) for values in tuples]
    counts = token_counts(tokenizer, filled)
    return tuples[counts.index(max(counts))]


def _longest(tokenizer: Any, values: Sequence[str], number: int) -> list[str]:
    counts = token_counts(tokenizer, values)
    order = sorted(range(len(values)), key=lambda place: (-counts[place], -len(values[place])))
    return [values[place] for place in order[: max(number, 1)]]


@torch.no_grad()
def encode_in_pieces(
    pipeline: Any, texts: Sequence[str], length: int
) -> Float[Tensor, "batch tokens width"]:
    """Encode texts of any length: in pieces, each with begin and end, one after another.

    A text of fewer pieces than others is repeated to their length: attention to a key that stands
    there n times over, as all others do, is attention to it once. So a text means the same
    whatever stands beside it, and a short one what it means alone.

    Args:
        pipeline: a Stable Diffusion with `tokenizer` and `text_encoder`.
        texts: the texts.
        length: pieces of each result; a multiple of each text's own, as `common_length` gives.
    """
    return torch.stack([_encoded(pipeline, text, length) for text in texts])


def common_length(pieces: int) -> int:
    """Return the number of pieces that texts of up to some pieces can all be repeated to."""
    return math.lcm(*range(1, pieces + 1))


def _encoded(pipeline: Any, text: str, length: int) -> Float[Tensor, "tokens width"]:
    """Encode one text, alone: bits would depend on how many pieces stand beside its own."""
    tokenizer, encoder = pipeline.tokenizer, pipeline.text_encoder
    pieces = _pieces(tokenizer, tokens_of(tokenizer, [text])[0])
    padded = tokenizer.pad(
        {"input_ids": pieces},
        padding="max_length",
        max_length=tokenizer.model_max_length,
        return_tensors="pt",
    ).to(encoder.device)
    masked = getattr(encoder.config, "use_attention_mask", False)
    mask = padded.attention_mask if masked else None
    embeds = encoder(padded.input_ids, attention_mask=mask)[0]  # [pieces, places, width]
    return embeds.flatten(0, 1).repeat(length // len(pieces), 1)


def _pieces(tokenizer: Any, tokens: list[int]) -> list[list[int]]:
    room = tokenizer.model_max_length - ENDS
    cut = [tokens[start : start + room] for start in range(0, len(tokens), room)] or [[]]
    return [[tokenizer.bos_token_id, *piece, tokenizer.eos_token_id] for piece in cut]
