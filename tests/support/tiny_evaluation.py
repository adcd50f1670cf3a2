"""A tiny world to evaluate: a base with an image encoder, FineFace files, a second judge."""

import json
from pathlib import Path

import torch
from tiny_fineface import make_fineface, make_sd
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from pipelines.evaluation.judge_network import JudgeNetwork, save_judge


def make_base(folder: Path) -> Path:
    """Save the tiny Stable Diffusion with an image encoder beside."""
    base = make_sd(folder)
    torch.manual_seed(7)
    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
        projection_dim=8,
    )
    CLIPVisionModelWithProjection(config).save_pretrained(base / "image_encoder")
    processor = CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    processor.save_pretrained(base / "feature_extractor")
    return base


def make_adapter(folder: Path, encoder: str = "res_mlp64", smoothed: bool = True) -> Path:
    """Write FineFace files with the card of a training."""
    published = make_fineface(folder / "fineface")
    share = 0.2 if smoothed else 0.0
    configuration = {
        "encoder": encoder,
        "smoothing": {"variance": share, "rounding": share},
        "batch_size": 4,
    }
    card = {"steps": 1200, "configuration": configuration}
    (published / "card.json").write_text(json.dumps(card))
    return folder


def make_judge_file(path: Path) -> Path:
    """Save a tiny second judge with random weights."""
    torch.manual_seed(11)
    save_judge(JudgeNetwork((4, 4, 4, 4), 2, 8), path)
    return path
