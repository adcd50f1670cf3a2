"""How well a CLIP pair tells held-out captions apart."""

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from pipelines.training.clip.config import CLIPConfig
from pipelines.training.clip.examples import ClipExamples
from pipelines.training.clip.learner import ClipLearner
from pipelines.training.data.examples import examples_of
from pipelines.training.data.loader import load_batches

_AT_ONCE = 50


def measure_pairs(
    learner: ClipLearner, config: CLIPConfig, tokenizer: CLIPTokenizer
) -> dict[str, float]:
    """Tell how often a held-out image's own caption is the nearest of all.

    Args:
        learner: whose average is measured.
        config: the training run.
        tokenizer: tokenizer of the captions.

    Returns:
        `pairs`, the number of pairs; `top-1`, the share that is told rightly.
    """
    there = examples_of(config.data, config.seed, held_out=True).count
    count = config.held_out if there is None else min(config.held_out, there)
    pairs = ClipExamples(config, tokenizer, held_out=True)
    images, texts = [], []
    for start in range(0, count, _AT_ONCE):
        places = [range(start, min(start + _AT_ONCE, count))]
        for batch in load_batches(pairs, places, workers=0):
            image, text = embed_pairs(learner.average, *learner.parts(batch)[0])
            images.append(image)
            texts.append(text)
    return {"pairs": float(count), "top-1": top1(torch.cat(images), torch.cat(texts))}


@torch.inference_mode()
def embed_pairs(clip: CLIPModel, pixels: Tensor, input_ids: Tensor) -> tuple[Tensor, Tensor]:
    """Return the unit vectors of images and captions in the common space.

    Args:
        clip: the pair.
        pixels: normalised images, float32 [n, 3, h, w].
        input_ids: tokens, int64 [n, L].
    """
    found = clip(input_ids=input_ids, pixel_values=pixels)
    return found.image_embeds.float().cpu(), found.text_embeds.float().cpu()


def top1(images: Float[Tensor, "n d"], texts: Float[Tensor, "n d"]) -> float:
    """Return how often an image's own caption is the nearest of all n."""
    near = (images @ texts.T).argmax(1)
    return float((near == torch.arange(len(near))).float().mean())
