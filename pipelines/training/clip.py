"""Training of the small CLIP: tokenizer, text and image encoders.

The tokenizer is a byte-level BPE of our own. Its vocabulary is laid out as CLIP's: 256 bytes, 256
bytes that end a word, the merges, and the two special tokens (Radford et al. 2021; Sennrich et al.
2016 for the merges). The loss is that of Radford et al. 2021, Fig. 3.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float, Int
from PIL.Image import Image
from pydantic import Field, model_validator
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import CLIPConfig as CLIPModelConfig
from transformers import (
    CLIPImageProcessor,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)
from transformers.utils.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from pipelines.diffusion.prompts import load_tokenizer
from pipelines.training.data.augmentation import to_pixels
from pipelines.training.data.config import DataConfig
from pipelines.training.data.drawing import ROUND, RoundCache, face_number
from pipelines.training.data.examples import examples_of, first_rows, warn_of_cut_captions
from pipelines.training.data.loader import Order, load_batches, load_steps
from pipelines.training.diffusion.config import ENCODER_WEIGHTS, IMAGE, PROCESSOR, TEXT, TOKENIZER
from pipelines.training.files import writing
from pipelines.training.learner import Learner, seeded
from pipelines.training.provenance import CARD, write_card
from pipelines.training.recipe import Recipe, run_recipe
from pipelines.training.session import CHECKPOINT
from pipelines.training.settings import Cycle, TrainingSettings, pick_training_device
from pipelines.weight_files import file_sha256
from synthgen.config.base import Section
from synthgen.errors import TrainingError


class Transformer(Section):
    """Size of a transformer."""

    hidden_size: int = Field(default=128, ge=8, description="Width of a token.")
    layers: int = Field(default=4, ge=1, le=48, description="Layers.")
    heads: int = Field(default=4, ge=1, le=64, description="Attention heads.")

    @model_validator(mode="after")
    def _whole_heads(self) -> "Transformer":
        if self.hidden_size % self.heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of heads {self.heads}"
            )
        return self


class TextModel(Transformer):
    """Size of the text encoder; the UNet sees its tokens."""

    vocabulary: int = Field(
        default=2048, ge=515, le=65536, description="Most tokens of the byte-level BPE."
    )
    captions: int = Field(
        default=20_000, ge=1, description="Captions that the tokenizer is learned from."
    )
    max_length: int = Field(
        default=64, ge=8, le=77, description="Tokens of a text, start and end included."
    )


class VisionModel(Transformer):
    """Size of the image encoder."""

    image_size: int = Field(default=128, ge=16, description="Side of the input [pixels].")
    patch_size: int = Field(default=16, ge=4, description="Side of a patch [pixels].")

    @model_validator(mode="after")
    def _whole_patches(self) -> "VisionModel":
        if self.image_size % self.patch_size:
            raise ValueError(
                f"image_size {self.image_size} must be a multiple of patch_size {self.patch_size}"
            )
        return self


class CLIPConfig(TrainingSettings):
    """A training run of the CLIP pair; the weights are a function of it."""

    cycles: tuple[Cycle, ...] = Field(
        min_length=1,
        description="The steps; a finished training goes on when a cycle is added at the end.",
    )
    data: DataConfig = Field(description="What is learned from.")
    views: int = Field(
        default=1, ge=1, le=1000, description="How often an image is seen, each time newly told."
    )
    text: TextModel = Field(default=TextModel(), description="The text encoder.")
    vision: VisionModel = Field(default=VisionModel(), description="The image encoder.")
    projection: int = Field(default=128, ge=8, description="Width of the common space.")
    held_out: int = Field(
        default=500, ge=8, description="Held-out pairs that the result is measured on."
    )

    @model_validator(mode="after")
    def _fitting(self) -> "CLIPConfig":
        if self.vision.image_size != self.data.size:
            raise ValueError(
                f"vision.image_size {self.vision.image_size} must be data.size {self.data.size}"
            )
        if self.accumulate != 1:
            raise ValueError(
                f"accumulate is {self.accumulate}; CLIP tells each pair from all others of the "
                "batch, so it must be 1"
            )
        return self


START, END = "<|startoftext|>", "<|endoftext|>"
_END_OF_WORD = "</w>"


def train_tokenizer(captions: Iterable[str], size: int, max_length: int) -> CLIPTokenizer:
    """Learn merges from captions.

    Args:
        captions: the text; it is lower-cased as CLIP does.
        size: most tokens [at least 514]; fewer where the text has no more pairs.
        max_length: tokens of a text, start and end included.

    Raises:
        TrainingError: if there is no text, or none that repeats.
    """
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    splitter = CLIPTokenizer().backend_tokenizer
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix=_END_OF_WORD))
    tokenizer.normalizer = splitter.normalizer
    tokenizer.pre_tokenizer = splitter.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=size,  # more than fit; the last merges are left out
        min_frequency=2,
        end_of_word_suffix=_END_OF_WORD,
        initial_alphabet=letters,
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    found = json.loads(tokenizer.to_str())["model"]["merges"]
    merges = [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in found]
    if not merges:
        raise TrainingError(
            "there are no captions to learn a tokenizer from, or none in which two letters repeat"
        )
    words = [*letters, *(letter + _END_OF_WORD for letter in letters)]
    words += ["".join(pair) for pair in merges]
    vocabulary = list(dict.fromkeys(words))[: size - 2]
    known = set(vocabulary)
    vocabulary += [START, END]
    return CLIPTokenizer(
        vocab={word: place for place, word in enumerate(vocabulary)},
        merges=[pair for pair in merges if "".join(pair) in known],  # pyright: ignore
        model_max_length=max_length,
    )


_MEAN = torch.tensor(OPENAI_CLIP_MEAN).view(3, 1, 1)
_STD = torch.tensor(OPENAI_CLIP_STD).view(3, 1, 1)


class ClipBatch(NamedTuple):
    """Images and what they show; without the batch axis, one of them.

    Attributes:
        pixels: normalised as CLIP does, float32.
        input_ids: tokens of the captions, int64.
    """

    pixels: Float[Tensor, "*B 3 h w"]
    input_ids: Int[Tensor, "*B L"]


class ClipExamples(Dataset[ClipBatch]):
    """Examples by their place in the training; each image comes `views` times, newly told.

    Args:
        config: the training run.
        tokenizer: tokenizer of the captions.
        held_out: those that are not learned from, in their own order.
    """

    def __init__(
        self, config: CLIPConfig, tokenizer: CLIPTokenizer, held_out: bool = False
    ) -> None:
        self._views = 1 if held_out else config.views
        self._tokenizer = tokenizer
        self._examples = examples_of(config.data, config.seed, held_out)
        count = None if held_out else self._examples.count
        self._order = Order(count, config.seed, "clip/order")
        self._images = RoundCache(self._examples.image)

    def __getitem__(self, place: int) -> ClipBatch:
        row, epoch = self._order(face_number(place, self._views))
        telling = epoch * self._views + place // ROUND % self._views
        tokens = self._tokenizer(
            self._examples.caption(row, telling),
            padding="max_length",
            truncation=True,
            return_tensors="pt",
        )
        return ClipBatch(normalised(self._images[row]), tokens.input_ids[0])


def normalised(image: Image) -> Float[Tensor, "3 h w"]:
    """Return an RGB image as CLIP's image encoder takes it."""
    return (0.5 * to_pixels(image) + 0.5 - _MEAN) / _STD


class ClipLearner(Learner):
    """Learns a `CLIPModel` by telling which caption belongs to which image."""

    def __init__(self, config: CLIPConfig, tokenizer: CLIPTokenizer, device: torch.device) -> None:
        with seeded(config.seed):
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


_AT_ONCE = 50


def measure_pairs(
    learner: Learner, config: CLIPConfig, tokenizer: CLIPTokenizer
) -> dict[str, float]:
    """Tell how often a held-out image's own caption is the nearest of all.

    Args:
        learner: whose average is measured.
        config: the training run.
        tokenizer: tokenizer of the captions.

    Returns:
        `pairs`, the number of pairs; `top-1`, the share that is told rightly.
    """
    held_out = examples_of(config.data, config.seed, held_out=True)
    count = len(first_rows(held_out, config.held_out))
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
        examples = examples_of(config.data, config.seed)
        self.facts = examples.fingerprint
        path = folder / TOKENIZER
        if path.exists() and (folder / CHECKPOINT).exists():
            self._tokenizer = load_tokenizer(path)
        else:
            told = map(examples.caption, first_rows(examples, config.text.captions))
            self._tokenizer = train_tokenizer(told, config.text.vocabulary, config.text.max_length)
            with writing(path):
                self._tokenizer.save_pretrained(path)
        warn_of_cut_captions(examples, self._tokenizer)
        self.learner = ClipLearner(config, self._tokenizer, device)
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
        measured = measure_pairs(self.learner, self.config, self._tokenizer)
        clip = self.learner.average
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
