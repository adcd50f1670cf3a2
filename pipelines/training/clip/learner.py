"""Examples that the CLIP pair learns from, and its learner.

The loss is that of Radford et al. 2021, Fig. 3.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float, Int
from PIL.Image import Image
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import CLIPConfig as CLIPModelConfig
from transformers import CLIPModel, CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig
from transformers.utils.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from pipelines.procedural.vocabulary import TRAITS, traits_in
from pipelines.training.clip.config import CLIPConfig, Transformer
from pipelines.training.data.augmentation import to_pixels
from pipelines.training.data.captions import wordings
from pipelines.training.data.config import ProceduralData
from pipelines.training.data.contrasts import MinimalPairExamples
from pipelines.training.data.drawing import ROUND, RoundCache, face_number
from pipelines.training.data.examples import Examples, examples_of
from pipelines.training.data.loader import Order
from pipelines.training.learner import Learner, seeded

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


class ToldBatch(NamedTuple):
    """A `ClipBatch`, and what its captions tell.

    Attributes:
        told: class of each of `READ`: 0 where it is not told, else 1 + the value's place in
            `TRAITS`, int64.
    """

    pixels: Float[Tensor, "*B 3 h w"]
    input_ids: Int[Tensor, "*B L"]
    told: Int[Tensor, "*B traits"]


def clip_examples(config: CLIPConfig, held_out: bool = False) -> Examples:
    """Open what a training learns from: people in groups of minimal pairs, or as they come."""
    if config.minimal_pairs and isinstance(config.data, ProceduralData):
        size = config.minimal_pairs.group
        return MinimalPairExamples(config.data, config.seed, size, held_out)
    return examples_of(config.data, config.seed, held_out)


class ClipExamples(Dataset[ClipBatch | ToldBatch]):
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
        self._reading = config.reading is not None
        self._examples = clip_examples(config, held_out)
        count = None if held_out else self._examples.count
        self._order = Order(count, config.seed, "clip/order")
        self._images = RoundCache(self._examples.image)

    def __getitem__(self, place: int) -> ClipBatch | ToldBatch:
        row, epoch = self._order(face_number(place, self._views))
        telling = epoch * self._views + place // ROUND % self._views
        caption = self._examples.caption(row, telling)
        tokens = self._tokenizer(
            caption,
            padding="max_length",
            truncation=True,
            return_tensors="pt",
        )
        pair = ClipBatch(normalised(self._images[row]), tokens.input_ids[0])
        return ToldBatch(*pair, told_classes(caption)) if self._reading else pair


def normalised(image: Image) -> Float[Tensor, "3 h w"]:
    """Return an RGB image as CLIP's image encoder takes it."""
    return (0.5 * to_pixels(image) + 0.5 - _MEAN) / _STD


READ = tuple(wordings())
"""Traits that captions tell, in the order of the readers."""

_CLASSES = [1 + len(TRAITS[trait]) for trait in READ]


def told_classes(caption: str) -> Int[Tensor, " traits"]:
    """Return the classes of what a caption tells, as `ToldBatch` has them."""
    told = traits_in(caption)
    return torch.tensor(
        [1 + TRAITS[trait].index(told[trait]) if trait in told else 0 for trait in READ]
    )


class ReadClip(nn.Module):
    """A CLIP pair, and linear readers of what a caption tells.

    One reads the state at the end of the text, which stands for it in the loss; the other any
    single state from there on, the padding's among them: a UNet sees states, not what is pooled.

    Args:
        clip: the pair.
        width: width of a state.
    """

    def __init__(self, clip: CLIPModel, width: int) -> None:
        super().__init__()
        self.clip = clip
        self.pooled = nn.Linear(width, sum(_CLASSES))
        self.single = nn.Linear(width, sum(_CLASSES))

    def read(self, states: Float[Tensor, "B L d"], batch: ToldBatch) -> tuple[Tensor, Tensor]:
        """Return the mean cross-entropy of both readers, and the share that they read rightly."""
        tokens = batch.input_ids
        rows, length = torch.arange(len(tokens), device=tokens.device), tokens.shape[1]
        end = (tokens == tokens.max()).int().argmax(1)  # the end has the highest number
        chance = torch.rand(len(tokens)).to(tokens.device)  # of the CPU: alike on each device
        place = end + (chance * (length - end)).long()
        losses, hits = [], []
        for reader, where in ((self.pooled, end), (self.single, place)):
            logits = reader(states[rows, where]).float().split(_CLASSES, dim=1)
            for part, classes in zip(logits, batch.told.T, strict=True):
                losses.append(nn.functional.cross_entropy(part, classes))
                hits.append((part.argmax(1) == classes).float().mean())
        return torch.stack(losses).mean(), torch.stack(hits).mean().detach()


class ClipLearner(Learner):
    """Learns a `CLIPModel` by telling which caption belongs to which image."""

    def __init__(self, config: CLIPConfig, tokenizer: CLIPTokenizer, device: torch.device) -> None:
        self._weight = config.reading.weight if config.reading else 0.0
        with seeded(config.seed):
            clip: nn.Module = make_clip(config, tokenizer)
            if config.reading:
                clip = ReadClip(cast("CLIPModel", clip), config.text.hidden_size)
        super().__init__(config, config.cycles, clip, device)

    @property
    def clip(self) -> CLIPModel:
        """Moving average of the pair."""
        average = self.average
        return average.clip if isinstance(average, ReadClip) else average

    def losses(self, batch: ClipBatch | ToldBatch) -> dict[str, Tensor]:
        """Return the contrastive loss, and how often the right caption was the nearest.

        Where captions are read, `reading` is the cross-entropy of the readers, `read` how often
        they are right, and `loss` the weighted sum.
        """
        clip = self.network.clip if isinstance(self.network, ReadClip) else self.network
        with self.autocast():
            output = clip(input_ids=batch.input_ids, pixel_values=batch.pixels, return_loss=True)
            logits = output.logits_per_image.detach()
            hits = (logits.argmax(1) == torch.arange(len(logits), device=logits.device)).float()
            found = {"loss": output.loss.float(), "top-1": hits.mean()}
            if isinstance(batch, ToldBatch) and isinstance(self.network, ReadClip):
                states = output.text_model_output.last_hidden_state
                reading, read = self.network.read(states, batch)
                found |= {"loss": found["loss"] + self._weight * reading, "reading": reading}
                found["read"] = read
        return found

    def parts(self, batch: ClipBatch | ToldBatch) -> Sequence[ClipBatch | ToldBatch]:
        """Return the batch whole: each pair is told from all others."""
        return [type(batch)(*(part.to(self.device) for part in batch))]


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
        "intermediate_size": model.widening * model.hidden_size,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
    }
