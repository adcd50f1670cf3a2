"""One step after another for the CLIP pair (Radford et al. 2021, Fig. 3)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPConfig as CLIPModelConfig
from transformers import CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig

from pipelines.training.clip.config import CLIPConfig, Transformer
from pipelines.training.clip.examples import ClipBatch
from pipelines.training.loop.learner import Learner


class ClipLearner(Learner):
    """Learns a `CLIPModel` by telling which caption belongs to which image."""

    def __init__(self, config: CLIPConfig, tokenizer: CLIPTokenizer, device: torch.device) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            clip = make_clip(config, tokenizer)
        super().__init__(config, config.cycles, clip, device)

    def losses(self, batch: ClipBatch) -> dict[str, Tensor]:
        """Return the contrastive loss, and how often the right caption was the nearest."""
        with self.autocast():
            output = self.network(
                input_ids=batch.input_ids, pixel_values=batch.pixels, return_loss=True
            )
        logits = output.logits_per_image.detach()
        hits = (logits.argmax(1) == torch.arange(len(logits), device=logits.device)).float()
        return {"loss": output.loss.float(), "top-1": hits.mean()}

    def parts(self, batch: ClipBatch) -> Sequence[ClipBatch]:
        """Return the batch whole: each pair is told from all others."""
        return [ClipBatch(*(part.to(self.device) for part in batch))]


def make_clip(config: CLIPConfig, tokenizer: CLIPTokenizer) -> CLIPModel:
    """Make an untrained pair whose text encoder fits the tokenizer."""
    marks: dict[str, Any] = {
        name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")
    }
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=config.text.max_length,
        **marks,
        projection_dim=config.projection,
        **_sizes(config.text),
    )
    vision = CLIPVisionConfig(
        image_size=config.vision.image_size,
        patch_size=config.vision.patch_size,
        projection_dim=config.projection,
        **_sizes(config.vision),
    )
    return CLIPModel(
        CLIPModelConfig(
            text_config=text.to_dict(),
            vision_config=vision.to_dict(),
            projection_dim=config.projection,
        )
    )


def _sizes(model: Transformer) -> dict[str, Any]:
    return {
        "hidden_size": model.hidden_size,
        "intermediate_size": 4 * model.hidden_size,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
    }
