"""Readers of slots that take a moment: a network that sees what it is told to, and a tiny CLIP."""

from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTextConfig,
    CLIPTokenizer,
    CLIPVisionConfig,
)

from pipelines.attributes.network import AttributeNetwork
from pipelines.procedural.vocabulary import TRAITS

# pyright: reportPrivateImportUsage=false

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def attributes(path: Path, sees: Mapping[str, str], traits: Mapping[str, tuple] = TRAITS) -> Path:
    """Write an attribute network whose heads see the same in every picture: 9 to 1 at least."""
    torch.manual_seed(5)
    network = AttributeNetwork((4, 4, 4, 4), 2, 8, traits).eval()
    with torch.no_grad():
        for trait, value in sees.items():
            head, values = network.heads[trait], traits[trait]
            head.weight.zero_()
            head.bias.zero_()
            head.bias[values.index(value)] = 8.0
    network.save(path, {"licence": "free"})
    return path


def clip(folder: Path, places: int = 77) -> Path:
    """Write a CLIP of one layer, random, that reads single letters."""
    torch.manual_seed(7)
    words = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    names = {word: place for place, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    shared = {**size, "num_attention_heads": 2, "projection_dim": 8}
    ends = {"bos_token_id": len(names) - 2, "eos_token_id": len(names) - 1}
    text = CLIPTextConfig(
        vocab_size=len(names), max_position_embeddings=places, pad_token_id=0, **ends, **shared
    )
    vision = CLIPVisionConfig(image_size=32, patch_size=16, **shared)
    config = CLIPConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=8
    )
    CLIPModel(config).eval().save_pretrained(folder)
    CLIPTokenizer(vocab=names, merges=[], model_max_length=places).save_pretrained(folder)
    sides = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    CLIPImageProcessor(**sides).save_pretrained(folder)
    return folder
