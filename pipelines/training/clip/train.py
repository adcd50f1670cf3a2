"""The training of the small CLIP: tokenizer, text and image encoders."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm
from transformers import (
    CLIPImageProcessor,
    CLIPModel,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionModelWithProjection,
)

from pipelines.diffusion.prompts import load_tokenizer
from pipelines.training.clip.config import CLIPConfig
from pipelines.training.clip.learner import ClipBatch, ClipExamples, ClipLearner, clip_examples
from pipelines.training.clip.separation import (
    measure_readers,
    measure_separation,
    states_of,
    states_text,
)
from pipelines.training.clip.tokenizer import train_tokenizer
from pipelines.training.data.captions import caption_words
from pipelines.training.data.config import ProceduralData
from pipelines.training.data.examples import examples_of, first_rows, warn_of_cut_captions
from pipelines.training.data.loader import load_batches, load_steps
from pipelines.training.diffusion.config import ENCODER_WEIGHTS, IMAGE, PROCESSOR, TEXT, TOKENIZER
from pipelines.training.files import writing
from pipelines.training.provenance import CARD, write_card
from pipelines.training.recipe import Recipe, run_recipe
from pipelines.training.session import CHECKPOINT
from pipelines.training.settings import pick_training_device
from pipelines.weight_files import file_sha256

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
        `pairs`, the number of pairs; `top-1`, the share that is told rightly; where people come in
        groups of minimal pairs, `top-1 of its group`, the same among those of the group.
    """
    held_out = clip_examples(config, held_out=True)
    count = len(first_rows(held_out, config.held_out))
    pairs = ClipExamples(config, tokenizer, held_out=True)
    images, texts = [], []
    for start in range(0, count, _AT_ONCE):
        places = [range(start, min(start + _AT_ONCE, count))]
        for batch in load_batches(pairs, places, workers=0):
            image, text = embed_pairs(learner.clip, *learner.parts(batch)[0][:2])
            images.append(image)
            texts.append(text)
    found = {"pairs": float(count), "top-1": top1(torch.cat(images), torch.cat(texts))}
    if config.minimal_pairs:
        size = config.minimal_pairs.group
        groups = zip(torch.cat(images).split(size), torch.cat(texts).split(size), strict=True)
        hits = [top1(image, text) for image, text in groups if len(image) == size]
        found["top-1 of its group"] = sum(hits) / len(hits)
    return found


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


class ClipRecipe(Recipe[CLIPConfig]):
    """The training of the CLIP pair, which begins with its tokenizer."""

    name = "clip"
    settings = CLIPConfig
    makes = "."
    what = "CLIP pair: a text encoder that conditions the UNet, and the image encoder beside it"

    def __init__(self, config: CLIPConfig, folder: Path) -> None:
        super().__init__(config, folder)
        self.data = config.data
        device = pick_training_device(config.device)
        examples = clip_examples(config)
        self.facts = examples.fingerprint
        path = folder / TOKENIZER
        if path.exists() and (folder / CHECKPOINT).exists():
            self._tokenizer = load_tokenizer(path)
        else:
            told = map(examples.caption, first_rows(examples, config.text.captions))
            whole = [*caption_words(examples.action_units), "id"] if config.text.whole_words else []
            self._tokenizer = train_tokenizer(
                told, config.text.vocabulary, config.text.max_length, whole
            )
            with writing(path):
                self._tokenizer.save_pretrained(path)
        warn_of_cut_captions(examples, self._tokenizer)
        self._learner = self.learner = ClipLearner(config, self._tokenizer, device)
        self._pairs = ClipExamples(config, self._tokenizer)

    def batches(self, first: int, last: int) -> Iterable[ClipBatch]:
        """Read or draw the pairs of each step."""
        config = self.config
        return load_steps(self._pairs, config.batch_size, first, last, config.workers)

    def export(self, about: dict[str, Any]) -> None:
        """Write both encoders in half precision, as Stable Diffusion's folders are named.

        Beside `text_encoder` and `image_encoder`, each with a card, come `tokenizer` and
        `feature_extractor`.
        """
        clip = self._learner.clip
        measured: dict[str, Any] = measure_pairs(self._learner, self.config, self._tokenizer)
        if isinstance(self.config.data, ProceduralData):
            measured |= self._measure_states(clip)
        sizes: Any = clip.config
        parts = {
            TEXT: CLIPTextModel(sizes.text_config),
            IMAGE: CLIPVisionModelWithProjection(sizes.vision_config),
        }
        for name, part in parts.items():
            _fill(part, clip)
            half: Any = part.to(torch.float16)  # pyright: ignore
            half.save_pretrained(self.folder / name)
        self._tokenizer.save_pretrained(self.folder / TOKENIZER)
        side, make_processor = sizes.vision_config.image_size, cast("Any", CLIPImageProcessor)
        crop = {"height": side, "width": side}
        processor = make_processor(size={"shortest_edge": side}, crop_size=crop)
        processor.save_pretrained(self.folder / PROCESSOR)
        for name in parts:
            sha256 = file_sha256(self.folder / name / ENCODER_WEIGHTS)
            file = {"file": ENCODER_WEIGHTS, "sha256": sha256, "held_out": measured}
            write_card(self.folder / name / CARD, {**about, **file})

    def _measure_states(self, clip: CLIPModel) -> dict[str, Any]:
        """Measure what single words change in the states, print it, and return it."""
        held_out = examples_of(self.config.data, self.config.seed, held_out=True)
        encode = states_of(clip.text_model, self._tokenizer)
        found = {
            "separation": measure_separation(encode, held_out.action_units),
            "readers": measure_readers(encode, held_out, 4 * self.config.held_out),
        }
        tqdm.write(states_text(found))
        return found


def _fill(part: nn.Module, clip: CLIPModel) -> None:
    """Copy a part's weights from the pair, whose names are the same but for the text's prefix."""
    state = clip.state_dict()
    own = part.state_dict()
    part.load_state_dict(
        {name: state[name if name in state else f"text_model.{name}"] for name in own}
    )


def train_clip(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train a CLIP pair, measure it on held-out pairs, and export it, as `run_recipe` says.

    Returns:
        The folder, with `text_encoder`, `tokenizer` and `image_encoder` when the training has
        reached its end.
    """
    return run_recipe(ClipRecipe, config_path, out, stop_at, overrides)
