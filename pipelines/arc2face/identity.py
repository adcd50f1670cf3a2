"""A person as Arc2Face's text encoder reads it: an ArcFace embedding in the place of a word.

The prompt is always "photo of a id person" (arXiv 2403.11641, §3.2). The token embedding of "id" is
replaced by the L2-normalised embedding v, filled up with zeros to the width of the text; the text
encoder's output is what the UNet attends to.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from pipelines.arc2face.section import PROMPT
from samplers.identities.identity import FACEID_WIDTH
from synthgen.errors import FaceEmbeddingError, WeightsError

# pyright: reportPrivateImportUsage=false
# transformers exports its names lazily, which the type checker does not see.

IdEmbeddings = Any
"""Numbers of the shape [batch, 512] or [512] in any array type."""

WORD = "id"
"""Word of the prompt whose token embedding gives way to the person's."""


def id_batch(embeddings: IdEmbeddings) -> Float[Tensor, "people 512"]:
    """Return the embeddings of people, each of length 1.

    Args:
        embeddings: ArcFace embeddings [batch, 512], or [512] of one person; of any length but 0.

    Returns:
        One row for each person, float32, on the CPU.

    Raises:
        FaceEmbeddingError: if they are no numbers, are not finite, have another shape, or one is
            zero.
    """
    try:
        rows = torch.as_tensor(embeddings, dtype=torch.float32, device="cpu").detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise FaceEmbeddingError(
            f"id_embeds must be numbers [batch, {FACEID_WIDTH}] or [{FACEID_WIDTH}]; got "
            f"{type(embeddings).__name__}"
        ) from error
    if rows.ndim not in (1, 2) or rows.shape[-1] != FACEID_WIDTH or not rows.numel():
        raise FaceEmbeddingError(
            f"id_embeds have the shape {list(rows.shape)}; it must be [batch, {FACEID_WIDTH}] or "
            f"[{FACEID_WIDTH}]"
        )
    rows = rows.reshape(-1, FACEID_WIDTH)
    if not rows.isfinite().all():
        raise FaceEmbeddingError("id_embeds hold NaN or infinity; they must be finite numbers")
    # Divided by the largest number first: the square of a very large one is no number.
    largest = rows.abs().amax(dim=1, keepdim=True)
    if not largest.all():
        zero = int((largest[:, 0] == 0).nonzero()[0])
        raise FaceEmbeddingError(
            f"id_embeds: row {zero} (from 0) is zero; a person's embedding has a direction"
        )
    return nn.functional.normalize(rows / largest)


@torch.no_grad()
def encode_people(
    people: Float[Tensor, "people 512"], tokenizer: Any, text_encoder: nn.Module, device: Any
) -> Float[Tensor, "people tokens width"]:
    """Return the text encoder's output for people: the formula above.

    Args:
        people: embeddings of length 1.
        tokenizer: the text encoder's.
        text_encoder: Arc2Face's own.
        device: where the text encoder computes.

    Raises:
        WeightsError: as `check_text`.
    """
    check_text(tokenizer, text_encoder)
    told = torch.ones(len(people), dtype=torch.bool, device=device)
    return PersonText(tokenizer).encode(text_encoder, people.to(device), told)


class PersonText:
    """The prompt that tells a person, and the empty one that tells nobody, as tokens.

    Args:
        tokenizer: the text encoder's; "id" must be one token of its own.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokens: Int[Tensor, "2 tokens"] = tokenizer(
            ["", PROMPT],
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        self._place = self._tokens[1].tolist().index(_tokens(tokenizer, WORD)[0])

    def encode(
        self,
        text_encoder: nn.Module,
        people: Float[Tensor, "rows 512"],
        told: Bool[Tensor, " rows"],
    ) -> Float[Tensor, "rows tokens width"]:
        """Return the text encoder's output; gradients reach the text encoder.

        Args:
            text_encoder: Arc2Face's own, on the embeddings' device.
            people: embeddings of length 1.
            told: rows that tell their person; the others tell nobody.
        """
        tokens = self._tokens.to(people.device)[told.long()]
        with _word_replaced(text_encoder, self._place, people, told):
            return text_encoder(tokens)[0]


def check_text(tokenizer: Any, text_encoder: Any) -> None:
    """Refuse a text encoder that cannot carry an embedding, and a tokenizer without its word.

    Raises:
        WeightsError: if the width is below 512, or "id" is no single token of its own.
    """
    width = text_encoder.config.hidden_size
    if width < FACEID_WIDTH:
        raise WeightsError(
            f"the text encoder's embeddings are {width} wide; Arc2Face puts a face embedding of "
            f"{FACEID_WIDTH} numbers into one, so they must be at least as wide (Stable Diffusion "
            "1.5 has 768)"
        )
    word = _tokens(tokenizer, WORD)
    if len(word) != 1 or _tokens(tokenizer, PROMPT).count(word[0]) != 1:
        fault = (
            f"splits {WORD!r} into {len(word)} tokens"
            if len(word) != 1
            else (f"does not tell {WORD!r} from the other words of {PROMPT!r}")
        )
        raise WeightsError(
            f"the tokenizer {fault}; Arc2Face puts the face embedding in the place of that one "
            "token, so take the tokenizer of Stable Diffusion 1.5"
        )


def _tokens(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False).input_ids


@contextlib.contextmanager
def _word_replaced(
    text_encoder: Any,
    place: int,
    people: Float[Tensor, "rows 512"],
    told: Bool[Tensor, " rows"],
) -> Iterator[None]:
    """Let the token embedding at a place be the people's, as long as it is entered."""

    def replace(_: nn.Module, __: tuple[Any, ...], embeddings: Tensor) -> Tensor:
        padded = nn.functional.pad(people, (0, embeddings.shape[-1] - FACEID_WIDTH))
        replaced = embeddings.clone()  # [rows, tokens, width]
        replaced[told, place] = padded[told].to(embeddings.dtype)
        return replaced

    hook = text_encoder.get_input_embeddings().register_forward_hook(replace)
    try:
        yield
    finally:
        hook.remove()
