"""Text embeddings of prompts that are longer than a text encoder reads at once."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.fineface.prompts import ENDS, tokens_of


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
