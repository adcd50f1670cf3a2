"""Networks that recognise expressions: any image classifier of transformers, or a small new one.

A network is one of `AutoModelForImageClassification` with a logit for each category and, behind
them, an intensity for each Action Unit, in the order of its `id2label`.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModelForImageClassification,
    PreTrainedConfig,
    PreTrainedModel,
    ResNetConfig,
    ViTConfig,
    set_seed,
)
from transformers.utils import logging as transformers_logging

from pipelines.hub import commit_of, resolve
from pipelines.recognition.labels import Vocabulary
from synthgen.action_units import MAX_INTENSITY, MIN_INTENSITY
from synthgen.errors import ConfigError, WeightsError
from synthgen.foreign import excerpt, first_line, reading

RESNET, VIT = "resnet", "vit"
"""Names of the networks that are made anew."""

_SIDE, _USUAL_SIDE = 64, 224
_HALF = (0.5, 0.5, 0.5)
_LEAST_SIDE, _MOST_SIDE = 16, 1024
_PATCHES = 8
"""Patches of the small ViT along a side."""


@dataclass(frozen=True, slots=True)
class Design:
    """A network before it is made.

    Attributes:
        model: `resnet`, `vit`, a folder, or a Hub id.
        side: pixels of a side that it takes.
        mean: mean of each channel that it expects, of pixels from 0 to 1.
        deviation: standard deviation of each channel.
        folder: its files; None where it is made anew.
        revision: commit of a Hub id; None where there is none.
    """

    model: str
    side: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    folder: Path | None = None
    revision: str | None = None


def design(model: str, side: int | None = None, revision: str | None = None) -> Design:
    """Look a network up; what is on the Hub is fetched.

    Args:
        model: `resnet` or `vit`: a small one, of random weights; else a folder or a Hub id.
        side: pixels of a side; None: 64, or what the files say.
        revision: branch, tag or commit on the Hub.

    Raises:
        WeightsError: if there are no such weights, or they are no image classifier's.
        ConfigError: if a side is no whole number of patches, or out of bounds.
    """
    if model in (RESNET, VIT):
        return Design(model, _checked_side(model, side or _SIDE), _HALF, _HALF)
    folder = resolve(
        model,
        revision=revision,
        files=("config.json",),
        patterns=("*.safetensors", "*.safetensors.index.json", "preprocessor_config.json"),
        setting="--model",
    )
    config = _config_of(folder, model)
    said = _preprocessing(folder)
    own: Any = getattr(config, "image_size", None)
    own = own[0] if isinstance(own, Sequence) else own
    return Design(
        model,
        _checked_side(model, int(side or _side_of(said) or own or _USUAL_SIDE)),
        tuple(said.get("image_mean") or _HALF),
        tuple(said.get("image_std") or _HALF),
        folder,
        commit_of(folder),
    )


def build(design: Design, vocabulary: Vocabulary, seed: int) -> PreTrainedModel:
    """Make a network whose new weights, all of them or the head's, are drawn by a seed.

    Raises:
        WeightsError: if its weights cannot be read.
    """
    names = [*vocabulary.categories, *vocabulary.aus]
    labels: dict[str, Any] = {
        "id2label": dict(enumerate(names)),
        "label2id": {name: number for number, name in enumerate(names)},
    }
    set_seed(seed % 2**32)
    if design.folder is None:
        return AutoModelForImageClassification.from_config(_small(design, labels))
    with quiet():
        try:
            network = AutoModelForImageClassification.from_pretrained(
                design.folder,
                config=AutoConfig.from_pretrained(design.folder, **labels),
                ignore_mismatched_sizes=True,
                use_safetensors=True,
                dtype=torch.float32,
            )
        except Exception as error:
            raise WeightsError(
                f"{excerpt(design.model)} cannot be loaded as an image classifier: "
                f"{first_line(error)}"
            ) from error
    _try_out(network, design, len(names))
    return network


def loss_of(categories: int, au_weight: float) -> Callable[..., Tensor]:
    """Return the loss that the Trainer of transformers calls with logits and labels.

    It is the cross-entropy with the probabilities of the categories, mean over the faces that have
    a category, and, weighted, the squared error of the intensities, mean over those that are known.

    Args:
        categories: number of the categories.
        au_weight: weight of the squared error.
    """

    def loss(outputs: Any, labels: Tensor, num_items_in_batch: Any = None) -> Tensor:
        logits = outputs["logits"].float()
        wanted, aus = labels[:, :categories], labels[:, categories:]
        total = logits.sum() * 0
        if categories:
            told = wanted.sum(1).count_nonzero().clamp(min=1)
            total = (
                total - (wanted * functional.log_softmax(logits[:, :categories], 1)).sum() / told
            )
        if aus.shape[1]:
            known = aus.isfinite()
            error = logits[:, categories:] - torch.where(known, aus, 0)
            squares = torch.where(known, error.square(), 0)
            total = total + au_weight * squares.sum() / known.count_nonzero().clamp(min=1)
        return total

    return loss


def read_logits(
    logits: Float[np.ndarray, "n outputs"], vocabulary: Vocabulary
) -> tuple[Float[np.ndarray, "n C"], Float[np.ndarray, "n A"]]:
    """Return the probabilities of the categories, and the intensities [0–5]."""
    split = len(vocabulary.categories)
    raw = logits[:, :split].astype(np.float64)
    if split:
        raw = np.exp(raw - raw.max(1, keepdims=True))
        raw /= raw.sum(1, keepdims=True)
    return raw, np.clip(logits[:, split:].astype(np.float64), MIN_INTENSITY, MAX_INTENSITY)


def _small(design: Design, labels: dict[str, Any]) -> PreTrainedConfig:
    """Describe a network of 1.2 million (ResNet) or 0.8 million (ViT) parameters."""
    if design.model == RESNET:
        return ResNetConfig(
            embedding_size=32,
            hidden_sizes=[32, 64, 128, 192],
            depths=[1, 1, 1, 1],
            layer_type="basic",
            **labels,
        )
    return ViTConfig(
        image_size=design.side,
        patch_size=design.side // _PATCHES,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=256,
        **labels,
    )


def _checked_side(model: str, side: int) -> int:
    if not _LEAST_SIDE <= side <= _MOST_SIDE:
        raise ConfigError(
            f"pictures of {side} pixels are too {'small' if side < _LEAST_SIDE else 'large'} for "
            f"--size; it must be {_LEAST_SIDE} to {_MOST_SIDE}"
        )
    if model == VIT and side % _PATCHES:
        raise ConfigError(f"--size {side} is no multiple of {_PATCHES}, as --model vit needs")
    return side


def _config_of(folder: Path, model: str) -> PreTrainedConfig:
    try:
        return AutoConfig.from_pretrained(folder)
    except Exception as error:
        raise WeightsError(
            f"config.json of {excerpt(model)} is none that transformers knows: {first_line(error)}"
        ) from error


def _preprocessing(folder: Path) -> dict[str, Any]:
    if not (folder / "preprocessor_config.json").is_file():
        return {}
    path = folder / "preprocessor_config.json"
    with reading(path, WeightsError):
        return dict(json.loads(path.read_text(encoding="utf-8")))


def _side_of(said: Mapping[str, Any]) -> int | None:
    """Return the side of the pictures that a processor makes: of the crop, or of the resizing."""
    for key in ("crop_size", "size"):
        value = said.get(key)
        if isinstance(value, Mapping):
            value = value.get("height") or value.get("shortest_edge")
        if isinstance(value, int) and (key == "size" or said.get("do_center_crop", True)):
            return value
    return None


def _try_out(network: PreTrainedModel, design: Design, outputs: int) -> None:
    """Ask a network for one picture: whether it takes them shows only then."""
    blank = torch.zeros(1, 3, design.side, design.side)
    try:
        with torch.no_grad():
            shape = tuple(network.eval()(pixel_values=blank)["logits"].shape)
    except Exception as error:
        raise WeightsError(
            f"{excerpt(design.model)} takes no pictures of {design.side} pixels: "
            f"{first_line(error)}"
        ) from error
    if shape != (1, outputs):
        raise WeightsError(
            f"{excerpt(design.model)} gives {list(shape)} numbers for a picture; it must give "
            f"{[1, outputs]}"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Let transformers say nothing but errors: that a head is new is what was asked for."""
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(before)
