"""Tiny models of the kind image-text-to-text, as folders that `from_pretrained` loads."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipImageProcessorPil,
    PreTrainedTokenizerFast,
)

_TEXT = "yes no Yes No is this a photo ? a photo of a person Question : Answer :"


def tiny_tokenizer(text: str = _TEXT) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on a line of text."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<pad>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    made.train_from_iterator([text] * 10, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", bos_token="</s>"
    )


def write_blip2(folder: Path, seed: int = 0, tokenizer: Any = None) -> Path:
    """Write a BLIP-2 with random weights."""
    image_processor = BlipImageProcessorPil(size={"height": 32, "width": 32})
    processor = Blip2Processor(image_processor, tokenizer or tiny_tokenizer(), num_query_tokens=4)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Blip2Config(
        vision_config={**small, "intermediate_size": 16, "image_size": 32, "patch_size": 16},
        qformer_config={**small, "intermediate_size": 16, "vocab_size": 64},
        text_config={
            **small,
            "model_type": "opt",
            "vocab_size": len(processor.tokenizer),
            "ffn_dim": 16,
            "max_position_embeddings": 128,
            "word_embed_proj_dim": 16,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 1,
        },
        num_query_tokens=4,
        image_text_hidden_size=8,
        image_token_index=processor.tokenizer.convert_tokens_to_ids("<image>"),
        initializer_range=0.5,
    )
    torch.manual_seed(seed)
    Blip2ForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
