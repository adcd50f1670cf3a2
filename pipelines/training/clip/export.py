"""What a finished CLIP training leaves: text encoder, tokenizer, image encoder, and a card."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    CLIPImageProcessor,
    CLIPModel,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionModelWithProjection,
)

from pipelines.training.diffusion.part_names import (
    ENCODER_WEIGHTS,
    IMAGE,
    PROCESSOR,
    TEXT,
    TOKENIZER,
)
from pipelines.training.loop.card import write_card
from pipelines.weight_files import file_sha256


def export_clip(
    clip: CLIPModel,
    tokenizer: CLIPTokenizer,
    folder: Path,
    held_out: dict[str, float],
    about: dict[str, Any],
) -> Path:
    """Write both encoders in half precision, as Stable Diffusion's folders are named.

    Args:
        clip: the trained pair.
        tokenizer: tokenizer of the captions.
        folder: folder of the training.
        held_out: how well captions are told apart.
        about: what the card says besides.

    Returns:
        The folder, with `text_encoder`, `tokenizer`, `image_encoder` and `feature_extractor`.
    """
    sizes: Any = clip.config
    text: Any = CLIPTextModel(sizes.text_config)
    _fill(text, clip)
    image: Any = CLIPVisionModelWithProjection(sizes.vision_config)
    _fill(image, clip)
    text.to(torch.float16).save_pretrained(folder / TEXT)
    image.to(torch.float16).save_pretrained(folder / IMAGE)
    tokenizer.save_pretrained(folder / TOKENIZER)
    _processor(sizes.vision_config.image_size).save_pretrained(folder / PROCESSOR)
    files = {part: file_sha256(folder / part / ENCODER_WEIGHTS) for part in (TEXT, IMAGE)}
    for part, sha256 in files.items():
        card = {**about, "file": ENCODER_WEIGHTS, "sha256": sha256, "held_out": held_out}
        write_card(folder / part / "card.json", card)
    return folder


def _fill(part: torch.nn.Module, clip: CLIPModel) -> None:
    """Copy the part's weights from the pair, whose names are the same."""
    state = clip.state_dict()
    own = part.state_dict()
    part.load_state_dict({name: state[_name(name, state)] for name in own})


def _name(name: str, state: dict[str, Tensor]) -> str:
    for prefix in ("", "text_model."):
        if prefix + name in state:
            return prefix + name
    raise KeyError(name)


def _processor(side: int) -> Any:
    make: Any = CLIPImageProcessor
    return make(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
